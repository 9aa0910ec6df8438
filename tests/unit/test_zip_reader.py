"""The strict reader: what it finds, what it costs, and that it never follows a number it has not checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llamafile_format.checks.archive import check_archive, compare_views
from llamafile_format.source import BytesSource
from llamafile_format.spans import covers
from llamafile_format.zip.archive import MAX_ENTRIES
from llamafile_format.zip.attribution import attribute
from llamafile_format.zip.reader import find_generations, read_archive, recover_tail
from llamafile_format.zip.writer import directory_record, end_records, layout, local_header
from spec.vectors.generate import legacy, legacy_shapes
from spec.vectors.generate.forge import End, Part, archive, good
from spec.vectors.generate.load import read_vector
from tests.unit.zip_sources import Sparse

ROOT = Path(__file__).resolve().parents[2]


def sparse_container(members: list[tuple[str, int, int]]) -> Sparse:
    """A canonical archive of zero-filled members, without a byte of data in memory."""
    placed = layout(0, members)
    pieces = {p.gap_offset: local_header(p, 0) for p in placed}
    records = b"".join(directory_record(p, 0, 0o100644) for p in placed)
    at = placed[-1].end
    pieces[at] = records + end_records(at, len(records), len(placed))
    return Sparse(at + len(pieces[at]), pieces)


def test_members_of_a_good_container() -> None:
    data = good()
    found = read_archive(BytesSource(data))
    assert found.readable
    assert not found.findings
    assert [entry.path for entry in found.entries] == [
        "META-LLAMAFILE/README.txt",
        "LICENSE.txt",
        "tiny.gguf",
        "META-LLAMAFILE/chunks.txt",
        "META-LLAMAFILE/manifest.json",
    ]
    weights = found.entry("tiny.gguf")
    assert weights is not None
    assert data[weights.data_offset : weights.data_offset + 4] == b"GGUF"
    assert weights.data_offset % 32 == 0
    assert weights.located


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 100 << 30, 1 << 42])
def test_large_members(size: int) -> None:
    """At and beyond 4 GiB, sizes, offsets and directory move to Zip64, and the reader reads kilobytes."""
    source = sparse_container([("a.txt", 5, 1), ("big.gguf", size, 65536), ("z.txt", 7, 1)])
    found = read_archive(source)
    assert found.readable
    assert [entry.size for entry in found.entries] == [5, size, 7]
    assert all(entry.located for entry in found.entries)
    assert found.entries[1].data_offset % 65536 == 0
    assert check_archive(source, found, canonical=True, prefix_size=0) == []
    assert list(compare_views(source, found)) == []
    assert covers(attribute(source, found), source.size)
    assert find_generations(source, found) == ()
    assert source.read < 2 << 20


def test_dead_space_costs_no_more_than_the_budget() -> None:
    """A hundred gigabytes that no record explains are not scanned."""
    source = sparse_container([("a.txt", 5, 1), ("b.txt", 5, 1)])
    tail = max(source.pieces)
    far = 100 << 30
    records = source.pieces[tail]
    eocd = records.index(b"PK\5\6")
    moved = Sparse(far + len(records) + 76, {**source.pieces, far: records[:eocd] + end_records(far, eocd, 2)})
    del moved.pieces[tail]
    found = read_archive(moved, generations=True)
    assert found.readable
    assert covers(attribute(moved, found), moved.size)
    check_archive(moved, found, canonical=False)
    assert moved.read < 4 << 20


def test_announced_sizes_are_not_allocated() -> None:
    for field in ("size", "offset"):
        source = Sparse(
            1 << 40, {(1 << 40) - 22: archive([], end=End(comment=b"", end={field: 0xFFFFFFF0, "count": 9}))}
        )
        read_archive(source)
        assert source.read < 1 << 20


def test_too_many_entries_stop_the_walk() -> None:
    data = archive([Part("x", b"", copies=MAX_ENTRIES + 1)], end=End(comment=b""))
    found = read_archive(BytesSource(data))
    assert not found.readable
    assert len(found.entries) == MAX_ENTRIES
    assert "LF2014" in {finding.rule for finding in found.findings}


def test_long_local_headers_have_a_budget() -> None:
    part = Part("x", b"", local={"extra": bytes(65535)})
    data = archive([Part("x", b"", local={"extra": bytes(65535)}), *[part] * 0], end=End(comment=b""))
    source = Sparse(len(data), {0: data})
    assert read_archive(source).entries[0].located
    many = archive([Part("x", b"", local={"extra": bytes(65535)}, copies=2000)], end=End(comment=b""))
    source = Sparse(len(many), {0: many})
    found = read_archive(source)
    assert any(finding.rule == "LF2015" for finding in found.findings)
    assert source.read < 20 << 20


def test_generations_in_file_order() -> None:
    data = legacy.many_directories()
    found = read_archive(BytesSource(data), generations=True)
    assert [old.count for old in found.stale] == [3, 4, 5]
    assert [entry.path for entry in found.stale[1].entries][-1] == "model.gguf"


def test_recover_finds_what_an_interrupted_run_left() -> None:
    data = legacy.interrupted()
    assert read_archive(BytesSource(data)).tail is None
    found = recover_tail(BytesSource(data))
    assert found is not None
    assert data[found.eocd_offset : found.eocd_offset + 4] == b"PK\5\6"
    assert found.count == 3


def test_span_notes_of_a_zipalign_file() -> None:
    data = legacy_shapes.llamafile()
    found = read_archive(BytesSource(data), generations=True)
    spans = attribute(BytesSource(data), found)
    kinds = [span.kind.value for span in spans]
    assert covers(spans, len(data))
    assert kinds.count("hole") == 2
    assert kinds.count("stale-directory") == 1
    assert {span.length for span in spans if span.note == "left by zipalign"} == {24}


def test_table_of_traps_names_vectors_that_show_the_rule() -> None:
    """Clause 4.14: each vector named exists, and at least one of its row's rules is what it shows."""
    text = (ROOT / "spec/1/04-archive.md").read_text()
    rows = [line.split("|")[1:4] for line in text.split("## 4.14")[1].splitlines() if line.startswith("| ")]
    names = {"A": "archive", "L": "legacy"}
    seen = 0
    for trap, rules, vectors in rows:
        wanted = set(re.findall(r"LF\d{4}", rules))
        for chapter, name in re.findall(r"\b([AL]) ([a-z0-9-]+)", vectors):
            vector = read_vector(ROOT / "spec/vectors" / names[chapter] / f"{name}.vector")
            ranged = {f"LF20{number}" for number in range(17, 37)} if " to " in rules else set()
            assert not wanted or (wanted | ranged) & set(vector.rules), f"{trap}: {name} shows {vector.rules}"
            seen += 1
    assert seen > 60
