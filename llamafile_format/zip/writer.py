"""The encoder (spec/1, chapter 4): the only place that lays out bytes of an archive.

Given the prefix and the manifest there is exactly one legal byte string for every byte that is not member data. Writer
and verifier both call these functions: one writes what they return, the other compares. Legacy files (8.7) are written
by the same functions in another style.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.zip.records import (
    EOCD,
    EOCD64,
    EOCD64_MAGIC,
    EOCD_MAGIC,
    EXTRA_HEADER,
    EXTRA_ZIP64,
    FLAG_UTF8,
    LOCAL_HEADER,
    LOCATOR,
    LOCATOR_MAGIC,
    SENTINEL16,
    SENTINEL32,
    STORED,
    DirectoryRecord,
    LocalHeader,
)

MARK = b"llamafile-format/1"  # clause 4.7: the comment that identifies the format from the end of the file
VERSION_MADE = 0x032D  # clause 4.3: Unix, APPNOTE 4.5
VERSION_STORED = 10
VERSION_ZIP64 = 45


@dataclass(frozen=True, slots=True)
class Style:
    """What records may look like beyond what they say: a constant date, and whether every field is in Zip64 form."""

    dos_date: int
    dos_time: int
    wide: bool


CANONICAL = Style(dos_date=0x0021, dos_time=0, wide=False)
"""1980-01-01, the first day that the field can hold: no clock in the bytes. Zip64 only where a value needs it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a member lies: zero gap [gap_offset, header_offset), header, then ``size`` bytes from ``data_offset``."""

    path: str
    size: int
    gap_offset: int
    header_offset: int
    data_offset: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the data."""
        return self.data_offset + self.size


def place(cursor: int, path: str, size: int, alignment: int, style: Style = CANONICAL) -> Placed:
    """The place of a member of ``size`` bytes behind ``cursor``: the first one with aligned data (clause 4.4)."""
    large = style.wide or size >= SENTINEL32
    header = LOCAL_HEADER.size + len(path.encode("utf-8")) + (EXTRA_HEADER.size + 16 if large else 0)
    data = -(-(cursor + header) // alignment) * alignment
    return Placed(path, size, cursor, data - header, data)


def local_header(placed: Placed, crc32: int, style: Style = CANONICAL) -> bytes:
    """Gap and local header of a member: the bytes [gap_offset, data_offset)."""
    large = style.wide or placed.size >= SENTINEL32
    size32 = SENTINEL32 if large else placed.size
    extra = _zip64(placed.size, placed.size) if large else b""
    header = LocalHeader(
        version_needed=VERSION_ZIP64 if large else VERSION_STORED,
        flags=FLAG_UTF8,
        method=STORED,
        dos_time=style.dos_time,
        dos_date=style.dos_date,
        crc32=crc32,
        compressed_size=size32,
        size=size32,
        name=placed.path.encode("utf-8"),
        extra=extra,
    )
    return b"\0" * (placed.header_offset - placed.gap_offset) + header.pack()


def directory_record(placed: Placed, crc32: int, mode: int, style: Style = CANONICAL) -> bytes:
    """The central directory record of a member with Unix ``mode``."""
    large = style.wide or placed.size >= SENTINEL32
    far = style.wide or placed.header_offset >= SENTINEL32
    size32 = SENTINEL32 if large else placed.size
    values = ((placed.size, placed.size) if large else ()) + ((placed.header_offset,) if far else ())
    record = DirectoryRecord(
        version_made=VERSION_MADE,
        version_needed=VERSION_ZIP64 if values else VERSION_STORED,
        flags=FLAG_UTF8,
        method=STORED,
        dos_time=style.dos_time,
        dos_date=style.dos_date,
        crc32=crc32,
        compressed_size=size32,
        size=size32,
        disk=0,
        internal_attributes=0,
        external_attributes=mode << 16,
        header_offset=SENTINEL32 if far else placed.header_offset,
        name=placed.path.encode("utf-8"),
        extra=_zip64(*values) if values else b"",
        comment=b"",
    )
    return record.pack()


def end_records(
    directory_offset: int, directory_size: int, count: int, *, mark: bytes = MARK, style: Style = CANONICAL
) -> bytes:
    """Zip64 record and locator (only where the directory lies past 4 GiB), end record and mark (clauses 4.6, 4.7).

    In a wide style the offset is always left to the Zip64 record, so that all readers come there by the same way.
    """
    far = style.wide or directory_offset >= SENTINEL32
    tail = b""
    if far:
        tail += EOCD64.pack(
            EOCD64_MAGIC,
            EOCD64.size - 12,
            VERSION_MADE,
            VERSION_ZIP64,
            0,
            0,
            count,
            count,
            directory_size,
            directory_offset,
        )
        tail += LOCATOR.pack(LOCATOR_MAGIC, 0, directory_offset + directory_size, 1)
    offset32 = SENTINEL32 if far else directory_offset
    short, size32 = (count & SENTINEL16, directory_size & SENTINEL32) if style.wide else (count, directory_size)
    return tail + EOCD.pack(EOCD_MAGIC, 0, 0, short, short, size32, offset32, len(mark)) + mark


def _zip64(*values: int) -> bytes:
    return EXTRA_HEADER.pack(EXTRA_ZIP64, 8 * len(values)) + b"".join(value.to_bytes(8, "little") for value in values)


def layout(prefix_size: int, members: Iterable[tuple[str, int, int]]) -> list[Placed]:
    """Places of (path, size, alignment) triples, one behind the other, the first behind the prefix."""
    cursor = prefix_size
    places = []
    for path, size, alignment in members:
        placed = place(cursor, path, size, alignment)
        places.append(placed)
        cursor = placed.end
    return places
