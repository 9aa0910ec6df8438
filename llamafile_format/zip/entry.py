"""One archive member as directory and local header tell it, with Zip64 applied (spec/1, 4.3 and 4.6).

Offsets are absolute from byte 0 of the file, sizes are bytes. Nothing here judges: that is the work of
:mod:`llamafile_format.checks.archive`. Values that a record announces but does not hold stay at their sentinel, and
the reader reports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.zip.records import (
    EXTRA_HEADER,
    EXTRA_ZIP64,
    SENTINEL32,
    DirectoryRecord,
    LocalHeader,
)

NOWHERE = -1
"""``data_offset`` of an entry whose data cannot be located inside the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The ``index``-th record of the central directory, joined with the local header it points at.

    ``path`` is the name as text (bytes that are not UTF-8 appear as ``\\xNN``), ``record_offset`` where the directory
    record starts, ``header_offset`` where the local header should start. ``header`` is None and ``data_offset`` is -1
    if there is no local header there or its data would leave the file. ``size`` and ``compressed_size`` are the
    directory's.
    """

    index: int
    path: str
    record: DirectoryRecord
    record_offset: int
    header: LocalHeader | None
    header_offset: int
    data_offset: int
    size: int
    compressed_size: int
    crc32: int
    method: int

    @property
    def located(self) -> bool:
        """True if header and data lie inside the file."""
        return self.data_offset != NOWHERE

    @property
    def data_end(self) -> int:
        """Offset of the first byte behind the data; ``header_offset`` if the data is not located."""
        return self.data_offset + self.compressed_size if self.located else self.header_offset


def decode_name(name: bytes) -> str:
    """``name`` as text. The engine compares bytes; bytes that are not UTF-8 are shown as ``\\xNN``."""
    return name.decode("utf-8", "backslashreplace")


def extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The (id, body) pairs of an extra field, as far as whole ones reach."""
    at = 0
    while at + EXTRA_HEADER.size <= len(extra):
        kind, length = EXTRA_HEADER.unpack_from(extra, at)
        at += EXTRA_HEADER.size
        if at + length > len(extra):
            return
        yield kind, extra[at : at + length]
        at += length


def extra_is_whole(extra: bytes) -> bool:
    """True if ``extra`` is a sequence of complete fields with no bytes left over."""
    return sum(EXTRA_HEADER.size + len(body) for _, body in extra_fields(extra)) == len(extra)


def zip64_body(extra: bytes) -> bytes | None:
    """The body of the first Zip64 field, or None. First, because both engine readers stop there."""
    return next((body for kind, body in extra_fields(extra) if kind == EXTRA_ZIP64), None)


def apply_zip64(extra: bytes, *values: int) -> tuple[int, ...] | None:
    """32-bit ``values`` (size, compressed size[, offset]) with sentinels replaced in that order from the Zip64 field.

    None if a value is a sentinel and the field does not hold it.
    """
    if SENTINEL32 not in values:
        return values
    body = zip64_body(extra)
    result = []
    at = 0
    for value in values:
        if value == SENTINEL32:
            if body is None or at + 8 > len(body):
                return None
            value = int.from_bytes(body[at : at + 8], "little")
            at += 8
        result.append(value)
    return tuple(result)


def local_sizes(header: LocalHeader) -> tuple[int, int] | None:
    """(size, compressed size) as the local header tells them, or None if a sentinel has no Zip64 value."""
    values = apply_zip64(header.extra, header.size, header.compressed_size)
    return None if values is None else (values[0], values[1])
