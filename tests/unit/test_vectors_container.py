"""Every vector of kind ``container``: exact rules, exact verdicts, spans that tile, no exception, bounded memory."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import llamafile_format
from llamafile_format.container import Container
from llamafile_format.rules import Layer, all_rules
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.source import BytesSource
from llamafile_format.spans import covers
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import NOBODY, Vector, read_vector, vector_files

VECTORS = [vector for vector in map(read_vector, vector_files(ROOT)) if vector.kind == "container"]
LEVELS = {"LF9001", "LF9002", "LF9004", "LF9006", "LF8023", "LF8122", "LF8304", "LF8407"}
"""Rules that say what a level left out."""
FOLLOWS = {"LF8104", "LF8109", "LF8117", "LF8202", "LF8204"}
"""Rules that say what is missing because of it."""


def trust(vector: Vector) -> dict[str, Any]:
    """What the vector's verification is told about trust (clause 10.11)."""
    if not vector.trust:
        return {}
    moment = datetime.fromisoformat(vector.as_of).replace(tzinfo=UTC)
    if vector.trust == NOBODY:
        return {"require_signature": True, "as_of": moment}
    return {"policy": read_policy(ROOT / "trust" / f"{vector.trust}.yaml"), "as_of": moment}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_rules_and_verdicts(vector: Vector) -> None:
    if vector.trust == "sigstore" and find_spec("sigstore") is None:
        pytest.skip("the extra sigstore is not installed")
    level = "quick" if "LF9006" in vector.rules else "full" if "LF9002" in vector.rules else "exhaustive"
    report = llamafile_format.verify(vector.payload, level=level, **trust(vector))
    assert sorted({finding.rule for finding in report.findings}) == sorted(vector.rules)
    verdicts = {layer: verdict.value for layer, verdict in report.verdicts.items()}
    assert verdicts.get(Layer.WELL_FORMED, "no") == vector.well_formed
    assert verdicts.get(Layer.VALID, "undetermined") == vector.valid
    assert verdicts.get(Layer.AUTHENTIC, "") == vector.authentic
    assert verdicts.get(Layer.POLICY, "") == vector.policy
    for finding in report.findings:
        all_rules()[finding.rule].render(finding)  # KeyError: a placeholder that nothing fills


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_levels_agree(vector: Vector) -> None:
    """A cheaper level may be less sure, never of another opinion: what it calls an error, exhaustive does too."""
    told = trust(vector)
    full, quick, exhaustive = (
        {finding.rule for finding in llamafile_format.verify(vector.payload, level=level, **told).findings}
        for level in ("full", "quick", "exhaustive")
    )
    follows = FOLLOWS if quick & {"LF8023", "LF8304"} else set()
    assert quick - LEVELS - follows <= exhaustive
    assert full - LEVELS <= exhaustive


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_spans_tile(vector: Vector) -> None:
    container = Container(BytesSource(vector.payload))
    assert covers(container.spans, len(vector.payload))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_memory_is_bounded(vector: Vector) -> None:
    tracemalloc.start()
    try:
        llamafile_format.verify(vector.payload, level="full", **trust(vector))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 << 20  # 65,000 members are the most that there can be


def test_file_and_bytes_agree(tmp_path: Path) -> None:
    """The same findings from a file as from memory."""
    for vector in VECTORS[::7]:
        path = tmp_path / "vector"
        path.write_bytes(vector.payload)
        assert llamafile_format.verify(path).findings == llamafile_format.verify(vector.payload).findings
