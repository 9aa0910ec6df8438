"""Every vector of kind gguf gives exactly the rules, and the verdict, that its header says."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamafile_format.checks.tensors import check_tensors
from llamafile_format.checks.verdict import judge
from llamafile_format.checks.weights import check_gguf
from llamafile_format.rules import Layer, all_rules, rule
from llamafile_format.source import BytesSource
from spec.vectors.generate.load import read_vector, vector_files

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"
FILES = [
    path
    for chapter in ("weights", "templates", "caps")
    for path in vector_files(VECTORS, chapter)
    if b"\nkind: gguf\n" in path.read_bytes()[:200]
]
OF_MEMBERS = {"LF5085", "LF5086", "LF5087", "LF5089"}
"""Rules about what stands around a GGUF, or in its place: the vectors that break them are containers."""
OURS = [
    name for name in all_rules() if (name.startswith("LF50") or "LF6001" <= name <= "LF6049") and name not in OF_MEMBERS
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_vector(path: Path) -> None:
    vector = read_vector(path)
    gguf, findings = check_gguf(BytesSource(vector.payload), deep=True)
    findings += check_tensors(BytesSource(vector.payload), [(gguf, 0, "")])
    assert sorted({finding.rule for finding in findings}) == sorted(vector.rules)
    assert judge(findings, Layer.VALID).value == vector.valid
    assert gguf.complete or findings
    for finding in findings:
        assert "{" not in rule(finding.rule).render(finding).replace("{{", "")
        assert finding.where.offset is None or 0 <= finding.where.offset <= len(vector.payload)


@pytest.mark.parametrize("name", OURS)
def test_rule_has_a_bad_vector_and_a_good_neighbour(name: str) -> None:
    vectors = [_header(path) for path in vector_files(VECTORS)]
    assert any(name in rules for rules, _ in vectors), f"{name} is raised by no vector"
    assert any(name in near and name not in rules for rules, near in vectors), f"{name} has no good neighbour"


def _header(path: Path) -> tuple[list[str], list[str]]:
    """Rules and neighbours as the header says, without decoding the payload."""
    header = path.read_bytes().partition(b"\n\n")[0].decode()
    lines = {key: value.split() for key, _, value in (line.partition(":") for line in header.split("\n"))}
    return lines["rules"], lines["near"]
