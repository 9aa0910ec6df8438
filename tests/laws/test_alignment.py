"""Where members lie: aligned, ordered, without overlap, at all sizes up to 2^42 and with Zip64 only where needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.manifest.layout import line_length, plan, tiles
from llamafile_format.manifest.merkle import CHUNK_SIZE, combine_crcs
from llamafile_format.zip.records import EOCD64, LOCATOR, SENTINEL32
from llamafile_format.zip.writer import MARK, directory_record, end_records, layout, local_header

SIZES = st.one_of(
    st.integers(0, 1 << 20),
    st.integers(0, 1 << 42),
    st.sampled_from([SENTINEL32 - 1, SENTINEL32, SENTINEL32 + 1, 1 << 32, 1 << 42]),
)
ALIGNMENTS = st.integers(0, 24).map(lambda power: 1 << power)
PATHS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
MEMBERS = st.lists(st.tuples(PATHS, SIZES, ALIGNMENTS), max_size=8)
PREFIXES = st.integers(0, 1 << 20).map(lambda units: units * 65536)


@given(PREFIXES, MEMBERS)
def test_data_is_aligned_and_nothing_overlaps(prefix: int, members: list[tuple[str, int, int]]) -> None:
    cursor = prefix
    for placed, (path, size, alignment) in zip(layout(prefix, members), members, strict=True):
        assert placed.gap_offset == cursor
        assert placed.data_offset % alignment == 0
        assert placed.header_offset - placed.gap_offset < alignment
        header = local_header(placed, 0) if placed.header_offset - placed.gap_offset < 1 << 16 else None
        if header is not None:
            assert len(header) == placed.data_offset - placed.gap_offset
            zip64 = b"\x01\x00\x10\x00" + size.to_bytes(8, "little") * 2
            assert header.endswith(zip64) == (size >= SENTINEL32)
        record = directory_record(placed, 0, 0o100644)
        extra = (16 if size >= SENTINEL32 else 0) + (8 if placed.header_offset >= SENTINEL32 else 0)
        assert len(record) == 46 + len(path.encode()) + (extra + 4 if extra else 0)
        cursor = placed.end


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 30), st.integers(1, 65534))
def test_zip64_end_exactly_where_needed(offset: int, size: int, count: int) -> None:
    tail = end_records(offset, size, count)
    assert tail.endswith(MARK)
    far = EOCD64.size + LOCATOR.size if offset >= SENTINEL32 else 0
    assert len(tail) == 22 + len(MARK) + far


@given(
    PREFIXES.filter(lambda size: size <= 1 << 26),
    st.lists(st.tuples(st.text("abc/", min_size=1, max_size=9), st.integers(0, 1 << 26), ALIGNMENTS), max_size=5),
    st.booleans(),
)
def test_chunk_lines_tile_everything(prefix: int, members: list[tuple[str, int, int]], wide: bool) -> None:
    where = plan(prefix, members, sha512=wide)
    at = 0
    for tile in tiles(prefix, where.members):
        assert tile.offset == at
        assert 0 < tile.length <= CHUNK_SIZE
        at += tile.length
    assert at == where.chunks.gap_offset == where.chunks.header_offset
    assert where.chunks.size == sum(line_length(tile, sha512=wide) for tile in tiles(prefix, where.members))


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_combined_crc_is_the_crc_of_the_whole(parts: list[bytes]) -> None:
    import zlib

    assert combine_crcs([(zlib.crc32(part), len(part)) for part in parts]) == zlib.crc32(b"".join(parts))
