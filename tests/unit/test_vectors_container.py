"""Every vector of kind ``container``: exact rules, exact verdicts, spans that tile, no exception, bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.container import Container
from llamafile_format.rules import Layer
from llamafile_format.source import BytesSource
from llamafile_format.spans import covers
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import Vector, read_vector, vector_files

VECTORS = [vector for vector in map(read_vector, vector_files(ROOT)) if vector.kind == "container"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_rules_and_verdicts(vector: Vector) -> None:
    level = "quick" if "LF9006" in vector.rules else "full" if "LF9002" in vector.rules else "exhaustive"
    report = llamafile_format.verify(vector.payload, level=level)
    assert sorted({finding.rule for finding in report.findings}) == sorted(vector.rules)
    verdicts = {layer: verdict.value for layer, verdict in report.verdicts.items()}
    assert verdicts.get(Layer.WELL_FORMED, "no") == vector.well_formed
    assert verdicts.get(Layer.VALID, "undetermined") == vector.valid


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_levels_agree(vector: Vector) -> None:
    """A cheaper level may be less sure, never of another opinion: what it calls an error, exhaustive does too."""
    full = {f.rule for f in llamafile_format.verify(vector.payload, level="full").findings}
    quick = {f.rule for f in llamafile_format.verify(vector.payload, level="quick").findings}
    exhaustive = {f.rule for f in llamafile_format.verify(vector.payload, level="exhaustive").findings}
    levels = {"LF9001", "LF9002", "LF9004", "LF9006"}
    assert quick - levels <= exhaustive
    assert full - levels <= exhaustive


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_spans_tile(vector: Vector) -> None:
    container = Container(BytesSource(vector.payload))
    assert covers(container.spans, len(vector.payload))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_memory_is_bounded(vector: Vector) -> None:
    tracemalloc.start()
    try:
        llamafile_format.verify(vector.payload, level="full")
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
