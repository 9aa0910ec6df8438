"""Law: whatever the bytes, the reader returns; its spans tile the file; and it gives the same answer twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.checks.archive import check_archive
from llamafile_format.checks.crcs import check_crcs
from llamafile_format.checks.legacy import check_legacy
from llamafile_format.rules import rule
from llamafile_format.source import BytesSource
from llamafile_format.spans import covers
from llamafile_format.zip.attribution import attribute
from llamafile_format.zip.reader import Archive, engine_records, read_archive
from llamafile_format.zip.views import weights_reader_view, zipos_view
from spec.vectors.generate.forge import End, Part, archive, good
from spec.vectors.generate.legacy_shapes import MODEL, aligned, engine, llamafile, plain, run

GOOD = good()
SMALL = archive([plain("a.txt", b"hello"), plain(MODEL, b"GGUF", align=32)], end=End(comment=b""))
WIDE = archive(
    [aligned("a.txt", b"hello", align=32), aligned(MODEL, b"GGUF", align=32)], end=End(comment=b"", wide=True)
)
FIELDS = ("magic", "made", "needed", "flags", "method", "time", "date", "crc", "csize", "size", "namelen", "extralen")
LATE = ("commentlen", "disk", "internal", "external", "offset")


def look_at(data: bytes, *, image_end: int = 0, prefix_size: int | None = None) -> Archive:
    """Everything that reading can do to ``data``."""
    source = BytesSource(data)
    found = read_archive(source, generations=True)
    findings = list(found.findings)
    for canonical in (True, False):
        findings += check_archive(source, found, canonical=canonical, prefix_size=prefix_size)
    findings += check_legacy(source, found, image_end=image_end)
    findings += check_crcs(source, found)
    for finding in findings:
        assert rule(finding.rule).render(finding)
        where = finding.where
        assert where.offset is None or where.offset >= 0
    spans = attribute(source, found, prefix_size=prefix_size, image_end=image_end)
    assert covers(spans, len(data))
    assert all(span.length > 0 for span in spans)
    for entry in found.entries:
        assert not entry.located or 0 <= entry.data_offset <= entry.data_end <= len(data)
    weights_reader_view(source)
    zipos_view(source)
    engine_records(source, len(data))
    assert read_archive(source, generations=True) == found
    return found


@given(st.binary(max_size=400), st.integers(0, 500))
def test_random_bytes(data: bytes, end: int) -> None:
    look_at(data, image_end=end)


@given(
    st.lists(
        st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\0" * 9, b"\xff" * 7, b"\1\0\2"]),
        max_size=60,
    )
)
def test_random_signatures(pieces: list[bytes]) -> None:
    look_at(b"".join(pieces))


@pytest.mark.parametrize("data", [GOOD, SMALL, WIDE], ids=["good", "small", "wide"])
def test_truncation_at_every_byte(data: bytes) -> None:
    for length in range(0, len(data), 1 if len(data) < 1000 else 7):
        look_at(data[:length])


@settings(max_examples=300)
@given(
    st.sampled_from([GOOD, SMALL, WIDE]), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4)
)
def test_changed_bytes(data: bytes, edits: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in edits:
        changed[len(data) - 1 - at % min(len(data), 400)] = value  # the records near the end are what matters
    look_at(bytes(changed))


def _numbers() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 300), st.sampled_from([0xFFFF, 0xFFFE, 8, 9]))


OVERRIDES = st.dictionaries(st.sampled_from(FIELDS + LATE), _numbers(), max_size=3)


@settings(max_examples=300)
@given(
    local=OVERRIDES,
    record=OVERRIDES,
    end=st.dictionaries(
        st.sampled_from(("disk", "disk_count", "count", "size", "offset", "commentlen")), _numbers(), max_size=2
    ),
    wide=st.booleans(),
    trailing=st.binary(max_size=30),
)
def test_overridden_records(
    local: dict[str, int], record: dict[str, int], end: dict[str, int], wide: bool, trailing: bytes
) -> None:
    parts = [plain("a.txt", b"hello"), Part(MODEL, b"GGUF", wide=wide, local=local, record=record), plain("z", b"z")]
    look_at(archive(parts, end=End(comment=b"", wide=wide, end=end, trailing=trailing)), image_end=60)


@settings(max_examples=60)
@given(st.integers(0, 5), st.integers(0, 400), st.binary(min_size=1, max_size=20))
def test_damaged_generations(runs: int, at: int, patch: bytes) -> None:
    out, assets = engine()
    members = [aligned(f"m{index}.gguf", b"GGUF" * 4, align=64) for index in range(runs)]
    for index, member in enumerate(members):
        out = run(out, [*assets, *members[:index]], [member])
    start = at % max(1, len(out) - len(patch))
    out[start : start + len(patch)] = patch
    look_at(bytes(out), prefix_size=at)


def test_real_shapes() -> None:
    shapes: list[Callable[[], bytes]] = [llamafile, good]
    for make in shapes:
        assert look_at(make()).readable
