"""Every vector of kind ``prefix``: exactly its rules, its verdicts, and places that lie inside the file."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from llamafile_format.checks.arguments import check_arguments
from llamafile_format.checks.prefix import check_prefix
from llamafile_format.checks.verdict import judge
from llamafile_format.findings import Finding
from llamafile_format.manifest.media import legacy_role
from llamafile_format.prefix.arguments import dialect_of
from llamafile_format.prefix.engine import identify_engine
from llamafile_format.prefix.identify import identify
from llamafile_format.prefix.impostors import program_with_archive, recognise
from llamafile_format.rules import Layer, all_rules, rule
from llamafile_format.source import BytesSource
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import Vector, read_vector, vector_files

FILES = [path for chapter in ("prefix", "arguments") for path in vector_files(ROOT, chapter)]


def examine(vector: Vector) -> tuple[list[Finding], bool]:
    """Findings of chapter 3 about the whole file, and whether it is a llamafile at all."""
    source = BytesSource(vector.payload)
    impostor = recognise(source)
    if impostor is not None:
        return [impostor.finding], False
    count, size, start = struct.unpack_from("<HII", vector.payload, source.size - 12)
    assert start + size + 22 == source.size
    if not count:
        return list(check_prefix(source, start, identify(source, limit=start))), True
    with zipfile.ZipFile(io.BytesIO(vector.payload)) as archive:
        first = min(info.header_offset for info in archive.infolist())
        names = archive.namelist()
        data = archive.read(".args") if ".args" in names else b""
    facts = identify(source, limit=first)
    if ".args" not in names and (other := program_with_archive(facts, count)) is not None:
        return [other.finding], False
    dialect = dialect_of(identify_engine(source, 0, first), facts.kind)
    findings = list(check_prefix(source, first, facts, legacy=True))
    return findings + check_arguments(data, dialect, members={name: legacy_role(name) for name in names}), True


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_vector(path: Path) -> None:
    vector = read_vector(path)
    findings, ours = examine(vector)
    assert {item.rule for item in findings} == set(vector.rules)
    assert judge(findings, Layer.WELL_FORMED).value == vector.well_formed
    assert judge(findings, Layer.VALID, looked=ours).value == vector.valid
    for item in findings:
        assert rule(item.rule).render(item)  # KeyError if an argument of the message is missing
        if item.where.offset is not None:
            assert 0 <= item.where.offset <= len(vector.payload) + 1


def test_each_rule_has_a_bad_vector_and_a_good_neighbour() -> None:
    vectors = [read_vector(path) for path in FILES]
    raised = {name for vector in vectors for name in vector.rules}
    near = {name for vector in vectors for name in vector.near}
    ours = {name for name in all_rules() if name.startswith(("LF10", "LF61"))}
    elsewhere = {"LF6127"}  # needs a container with a runtime: chapter options
    assert ours - raised - elsewhere <= {"LF1014"}  # needs 4 GiB: test_prefix_checks makes one that takes no space
    assert ours - elsewhere <= near
