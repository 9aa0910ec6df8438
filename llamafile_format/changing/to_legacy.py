"""Back to a legacy llamafile (spec/1.0, 8.7): the engine without padding, members as zipalign lays them, no manifest.

Every record carries Zip64 fields and the end record leaves its offset to the Zip64 record, so that both of the
engine's ZIP readers reach the same directory by the same way, whatever the size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llamafile_format.manifest.hashing import digest_range
from llamafile_format.manifest.model import RESERVED_FOLDER
from llamafile_format.manifest.roles import unix_mode
from llamafile_format.output.transfer import clone, copy, write_at
from llamafile_format.packing import Content, PrefixContent
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
from llamafile_format.zip.writer import VERSION_MADE, VERSION_ZIP64

ALIGNMENT = 65536  # zipalign's own, for every member
DOS_DATE, DOS_TIME = 0x576E, 0xB1AA  # zipalign's constant, 2023-11-14 22:13:20, in UTC whatever the zone
_LOCAL_EXTRA = EXTRA_HEADER.size + 16


@dataclass(frozen=True, slots=True)
class _Written:
    content: Content
    header_offset: int
    crc32: int


def legacy_contents(contents: Sequence[Content], order: Sequence[str]) -> list[Content]:
    """The members that a legacy file gets, in ``order``: everything but the format's own."""
    by_path = {content.path: content for content in contents}
    return [by_path[path] for path in order if not path.startswith(RESERVED_FOLDER)]


def write_legacy(
    out: int,
    prefix: PrefixContent,
    contents: Sequence[Content],
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int, dict[str, int]]:
    """Write a legacy file to the empty file ``out``; its size, bytes shared with the inputs, and CRC-32 by path."""
    cursor = prefix.engine.size
    shared = copy(prefix.engine, 0, cursor, out, 0, progress=progress)
    written: list[_Written] = []
    for content in contents:
        name = content.path.encode("utf-8")
        length = LOCAL_HEADER.size + len(name) + _LOCAL_EXTRA
        data = -(-(cursor + length) // ALIGNMENT) * ALIGNMENT
        crc, common = _data(out, content, data, progress)
        write_at(out, data - length, _local_header(name, content.source.size, crc))
        written.append(_Written(content, data - length, crc))
        shared += common
        cursor = data + content.source.size
    records = [*prefix.records, *(_record(item) for item in written)]
    tail = _tail(cursor, records)
    write_at(out, cursor, tail)
    os.ftruncate(out, cursor + len(tail))
    return cursor + len(tail), shared, {item.content.path: item.crc32 for item in written}


def _data(out: int, content: Content, at: int, progress: Callable[[int], None] | None) -> tuple[int, int]:
    """Bring a member's data over; its CRC-32, known or computed on the way, and how many bytes are shared."""
    size = content.source.size
    if content.known is not None:
        return content.known.crc32, copy(content.source, 0, size, out, at, progress=progress)
    shared = clone(content.source, 0, size, out, at)

    def sink(offset: int, view: memoryview) -> None:
        if offset + len(view) > shared:
            write_at(out, at + offset, view)

    digests = digest_range(content.source, 0, size, whole=False, sink=sink, progress=progress)
    return digests.crc32, shared


def _local_header(name: bytes, size: int, crc32: int) -> bytes:
    header = LocalHeader(
        version_needed=VERSION_ZIP64,
        flags=FLAG_UTF8,
        method=STORED,
        dos_time=DOS_TIME,
        dos_date=DOS_DATE,
        crc32=crc32,
        compressed_size=SENTINEL32,
        size=SENTINEL32,
        name=name,
        extra=_zip64(size, size),
    )
    return header.pack()


def _record(item: _Written) -> bytes:
    size = item.content.source.size
    record = DirectoryRecord(
        version_made=VERSION_MADE,
        version_needed=VERSION_ZIP64,
        flags=FLAG_UTF8,
        method=STORED,
        dos_time=DOS_TIME,
        dos_date=DOS_DATE,
        crc32=item.crc32,
        compressed_size=SENTINEL32,
        size=SENTINEL32,
        disk=0,
        internal_attributes=0,
        external_attributes=unix_mode(item.content.role) << 16,
        header_offset=SENTINEL32,
        name=item.content.path.encode("utf-8"),
        extra=_zip64(size, size, item.header_offset),
        comment=b"",
    )
    return record.pack()


def _tail(offset: int, records: Sequence[bytes]) -> bytes:
    """Directory, Zip64 record, locator, and an end record whose offset is the sentinel and whose comment is empty."""
    directory = b"".join(records)
    count, size = len(records), len(directory)
    wide = EOCD64.pack(EOCD64_MAGIC, EOCD64.size - 12, VERSION_MADE, VERSION_ZIP64, 0, 0, count, count, size, offset)
    locator = LOCATOR.pack(LOCATOR_MAGIC, 0, offset + size, 1)
    short = count & SENTINEL16
    end = EOCD.pack(EOCD_MAGIC, 0, 0, short, short, size & SENTINEL32, SENTINEL32, 0)
    return directory + wide + locator + end


def _zip64(*values: int) -> bytes:
    return EXTRA_HEADER.pack(EXTRA_ZIP64, 8 * len(values)) + b"".join(value.to_bytes(8, "little") for value in values)
