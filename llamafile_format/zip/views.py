"""What the engine itself would open: its two ZIP readers, emulated step by step (spec/1, 4.12).

A classic llamafile holds two readers that find the directory by different searches and take sizes from different
headers. A crafted file can show each of them something else, and us a third thing, so both are followed exactly, with
their leniencies, and compared with the strict reader. Neither checks a CRC. Texts of errors are upstream's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llamafile_format.source import ByteSource
from llamafile_format.zip.archive import MAX_DIRECTORY, MAX_ENTRIES
from llamafile_format.zip.entry import decode_name, extra_fields
from llamafile_format.zip.names import is_weights_name
from llamafile_format.zip.records import (
    DEFLATED,
    DIRECTORY_MAGIC,
    DIRECTORY_RECORD,
    EOCD,
    EOCD64,
    EOCD64_MAGIC,
    EOCD64_SIGNATURE,
    EOCD_MAGIC,
    EXTRA_ZIP64,
    LOCAL_HEADER,
    LOCAL_MAGIC,
    LOCATOR,
    LOCATOR_MAGIC,
    SENTINEL32,
    STORED,
)

WEIGHTS_WINDOW = 65536  # bytes from the end that the weights reader searches
ZIPOS_WINDOW = 0x11000  # bytes from the end that /zip/ searches
_LOCATOR_REACH = 128  # bytes before an end record in which /zip/ prefers a Zip64 locator
_INT_MAX = 0x7FFFFFFF
_RECORD_SIGNATURE = DIRECTORY_MAGIC.to_bytes(4, "little")
_UNIX = 3
_READABLE = 0o444

COMPRESSED = "weights stored in the zip executable can't be stored using compression"
"""What the weights reader says of deflated weights: it opens nothing, where others unpack them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reader hands to the engine for one name: ``size`` bytes from ``offset``, by ``method``."""

    offset: int
    size: int
    method: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The central directory that a reader settles on."""

    offset: int
    size: int
    count: int


@dataclass(frozen=True, slots=True)
class View:
    """One reader's view. ``error`` is what stops it altogether, ``errors`` what stops single names, upstream's words.

    Names are text as in :func:`~llamafile_format.zip.entry.decode_name`. The weights reader's view holds only the
    name that was asked for.
    """

    directory: Directory | None = None
    opened: Mapping[str, Opened] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Record:
    """The fields of a directory record that the readers use; offset and size are -1 where upstream's are."""

    name: bytes
    method: int
    compressed_size: int
    header_offset: int
    mode: int


# The weights reader: llamafile_open_zip()


def weights_directory(source: ByteSource) -> Directory | str:
    """The directory that the weights reader takes, or its message. Searches the last 64 KiB backwards by one byte.

    The first acceptable record wins, whichever kind it is. As in upstream, a failed look at a Zip64 record overwrites
    the start of the window that is being searched.
    """
    start = max(0, source.size - WEIGHTS_WINDOW)
    window = bytearray(source.read_at(start, source.size - start))
    amount = len(window)
    for at in _signatures(window, amount - LOCATOR.size):
        magic = int.from_bytes(window[at : at + 4], "little")
        if magic == LOCATOR_MAGIC and at + LOCATOR.size <= amount:
            offset = LOCATOR.unpack_from(window, at)[2]
            record = _peek(source, offset, EOCD64.size)
            window[: len(record)] = record
            if (found := _wide(record)) is not None:
                return found
        if magic == EOCD_MAGIC and at + EOCD.size <= amount:
            _, _, _, on_disk, count, size, offset, _ = EOCD.unpack_from(window, at)
            if count == on_disk and count and size <= _INT_MAX and offset != SENTINEL32:
                return Directory(offset, size, count)
    return "not a pkzip archive"


_OFF_MAX = (1 << 63) - 1


def _signatures(window: bytearray, start: int) -> Iterator[int]:
    """Offsets at or before ``start`` where an end record or locator signature stands, last first, looked up as it goes
    because the search may change the window under its own feet."""
    at = window.rfind(b"PK", 0, max(0, start + 2))
    while at >= 0:
        if bytes(window[at + 2 : at + 4]) in (b"\x05\x06", b"\x06\x07"):
            yield at
        at = window.rfind(b"PK", 0, at + 1)


def _peek(source: ByteSource, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes from ``offset``: fewer at the end of the file, none behind it."""
    return source.read_at(offset, min(length, source.size - offset)) if 0 <= offset < source.size else b""


def _wide(record: bytes) -> Directory | None:
    if len(record) < EOCD64.size:
        return None
    magic, _, _, _, _, _, on_disk, count, size, offset = EOCD64.unpack(record)
    if magic != EOCD64_MAGIC or count != on_disk or not count or size > _INT_MAX:
        return None
    count &= 0xFFFFFFFF  # kept in an unsigned int
    return Directory(offset, size, count) if count else None


def weights_reader_view(source: ByteSource, wanted: str | bytes | None = None) -> View:
    """What the weights reader opens for member ``wanted``, or for the only name ending in ``.gguf`` if None."""
    return weights_reader_views(source, [wanted])[0]


def weights_reader_views(source: ByteSource, wanted: Sequence[str | bytes | None]) -> list[View]:
    """:func:`weights_reader_view` of several names with one walk of the directory."""
    directory = weights_directory(source)
    if isinstance(directory, str):
        return [View(error=directory)] * len(wanted)
    records = _weights_records(source, directory)
    if isinstance(records, str):
        return [View(directory, error=records)] * len(wanted)
    return [_pick(source, directory, records, name) for name in wanted]


def _weights_records(source: ByteSource, directory: Directory) -> list[_Record] | str:
    """The records as far as count and bounds allow, or upstream's message."""
    if directory.offset + directory.size > source.size or directory.size > MAX_DIRECTORY:
        return "failed to pread zip cdir"
    data = source.read_at(directory.offset, directory.size)
    if data[:4] != _RECORD_SIGNATURE:
        return "failed to locate zip central directory"
    found: list[_Record] = []
    at = 0
    for _ in range(min(directory.count, MAX_ENTRIES)):
        if at + DIRECTORY_RECORD.size > len(data) or at + _record_length(data, at) > len(data):
            break
        if data[at : at + 4] != _RECORD_SIGNATURE:
            return "corrupted zip central directory entry magic"
        found.append(_record(data, at))
        at += _record_length(data, at)
    return found


def _pick(source: ByteSource, directory: Directory, records: list[_Record], wanted: str | bytes | None) -> View:
    if wanted is None:
        label = ".gguf"
        found = [record for record in records if is_weights_name(decode_name(record.name))]
    else:
        needle = wanted.encode("utf-8", "surrogateescape") if isinstance(wanted, str) else wanted
        label = decode_name(needle)
        found = [record for record in records if record.name == needle]
    if len(found) != 1:
        error = f"multiple {label} files found in zip archive" if found else f"no {label} file found in zip archive"
        return View(directory, error=error)
    return _open_weights(source, directory, found[0])


def _open_weights(source: ByteSource, directory: Directory, record: _Record) -> View:
    path = decode_name(record.name)

    def refused(text: str) -> View:
        """A view that shows nothing, and why."""
        return View(directory, errors={path: text})

    if record.method != STORED:
        return refused(COMPRESSED)
    if record.header_offset < 0 or record.header_offset + LOCAL_HEADER.size > source.size:
        return refused("failed to pread lfile")
    head = LOCAL_HEADER.unpack(source.read_at(record.header_offset, LOCAL_HEADER.size))
    if head[0] != LOCAL_MAGIC:
        return refused("corrupted zip local file magic")
    offset = record.header_offset + LOCAL_HEADER.size + head[9] + head[10]
    if record.compressed_size < 0 or offset + record.compressed_size > source.size:
        return refused("failed to map zip file")  # before September 2026 it was mapped past the end all the same
    return View(directory, opened={path: Opened(offset, record.compressed_size, STORED)})


# The /zip/ reader: zipos


def zipos_directory(source: ByteSource) -> Directory | str:
    """The directory that ``/zip/`` takes, or why it has none: Zip64 wins over a plain end record just behind it."""
    size = source.size
    start = max(0, size - ZIPOS_WINDOW - 1)
    window = bytearray(source.read_at(start, size - start))
    error = "end of central directory not found"
    for at in _signatures(window, len(window) - 4):
        here = start + at
        if window[at + 2] == 0x06:
            wide = _located(source, window, at)
            if isinstance(wide, Directory):
                return wide
            error = wide
            continue
        plain = _plain(window, at, size - here, here)
        if isinstance(plain, str):
            error = plain
            continue
        for back in range(at, max(-1, at - _LOCATOR_REACH), -1):
            if window[back : back + 4] == b"PK\x06\x07":
                wide = _located(source, window, back)
                if isinstance(wide, Directory):
                    return wide
        return plain
    return error


def _located(source: ByteSource, window: bytearray, at: int) -> Directory | str:
    """IsZipEocd64() of the record that the locator at ``window[at]`` names."""
    if at + LOCATOR.size > len(window):
        return "end of central directory not found"
    record_at = LOCATOR.unpack_from(window, at)[2]
    if record_at + EOCD64.size > source.size:
        return "zip64 end record lies outside the file"
    record = source.read_at(record_at, EOCD64.size)
    if not record.startswith(EOCD64_SIGNATURE):
        return "zip64 end record magic not found"
    _, length, _, _, _, _, _, count, size, offset = EOCD64.unpack(record)
    locator_at = record_at + 12 + length
    if locator_at + LOCATOR.size > source.size:
        return "zip64 end record size overflows the file"
    magic, _, back, _ = LOCATOR.unpack(source.read_at(locator_at, LOCATOR.size))
    if magic != LOCATOR_MAGIC:
        return "zip64 locator magic not found behind its record"
    if back != record_at:
        return "zip64 locator points elsewhere"
    if offset + size > record_at:
        return "central directory runs past its end record"
    if count * DIRECTORY_RECORD.size > size:
        return "more records than the central directory can hold"
    return Directory(offset, size, count)


def _plain(window: bytearray, at: int, rest: int, here: int) -> Directory | str:
    """IsZipEocd32() of the record at ``window[at]``, which is byte ``here`` of the file with ``rest`` bytes from it."""
    if rest < EOCD.size:
        return "end record is cut off"
    _, disk, directory_disk, on_disk, count, size, offset, comment = EOCD.unpack_from(window, at)
    if EOCD.size + comment > rest:
        return "end record comment overflows the file"
    if disk != directory_disk:
        return "end record disks differ"
    if on_disk != count:
        return "end record counts differ"
    if count * DIRECTORY_RECORD.size > size or offset == SENTINEL32:
        return "more records than the central directory can hold"
    if offset + size > here:
        return "central directory runs past its end record"
    return Directory(offset, size, count)


def zipos_view(source: ByteSource) -> View:
    """Everything that ``/zip/`` offers: names, offset and mode from the directory, method and size from local headers.

    ``Opened.size`` is the stored (compressed) size. Of a repeated name the first record counts here; upstream's choice
    depends on a sort. Records are followed by count, without a look at their signatures, as upstream does.
    """
    directory = zipos_directory(source)
    if isinstance(directory, str):
        return View(error=directory)
    if directory.size > MAX_DIRECTORY or directory.count > MAX_ENTRIES:
        return View(directory, error="central directory is too large to be emulated")
    data = source.read_at(directory.offset, directory.size)
    opened: dict[str, Opened] = {}
    errors: dict[str, str] = {}
    at = 0
    for _ in range(directory.count):
        if at + DIRECTORY_RECORD.size > len(data) or at + _record_length(data, at) > len(data):
            return View(directory, opened, errors, error="a directory record runs out of the directory")
        record = _record(data, at)
        at += _record_length(data, at)
        path = decode_name(record.name)
        if path in opened or path in errors:
            continue
        result = _open_zipos(source, record)
        if isinstance(result, str):
            errors[path] = result
        else:
            opened[path] = result
    return View(directory, opened, errors)


def _open_zipos(source: ByteSource, record: _Record) -> Opened | str:
    at = record.header_offset
    if at < 0 or at + LOCAL_HEADER.size > source.size:
        return "its local header lies outside the file (upstream crashes)"
    head = LOCAL_HEADER.unpack(source.read_at(at, LOCAL_HEADER.size))
    if head[0] != LOCAL_MAGIC:
        return "its local header has no signature"
    if not record.mode & _READABLE:
        return "EACCES: no read bit in its mode"
    offset = at + LOCAL_HEADER.size + head[9] + head[10]
    method, compressed, size = head[3], head[7], head[8]
    extra = b""
    if SENTINEL32 in (compressed, size):
        extra = _peek(source, offset - head[10], head[10])
    stored = _zip64(extra, compressed, size)
    if method not in (STORED, DEFLATED):
        return "EIO: unknown compression method"
    if method == STORED:
        stored = _zip64(extra, size)  # a stored file is read by its uncompressed size
    if stored < 0 or offset + stored > source.size:
        return "its data lies outside the file (upstream crashes)"
    return Opened(offset, stored, method)


# Shared by both


def _record_length(data: bytes, at: int) -> int:
    fields = DIRECTORY_RECORD.unpack_from(data, at)
    return int(DIRECTORY_RECORD.size + fields[10] + fields[11] + fields[12])


def _record(data: bytes, at: int) -> _Record:
    fields = DIRECTORY_RECORD.unpack_from(data, at)
    made, method, compressed, size = fields[1], fields[4], fields[8], fields[9]
    names, extras, attributes, offset = fields[10], fields[11], fields[15], fields[16]
    at += DIRECTORY_RECORD.size
    extra = data[at + names : at + names + extras]
    return _Record(
        name=data[at : at + names],
        method=method,
        compressed_size=_zip64(extra, compressed, size),
        header_offset=_zip64(extra, offset, size, compressed),
        mode=attributes >> 16 if made >> 8 == _UNIX else 0o644,
    )


def _zip64(extra: bytes, value: int, *before: int) -> int:
    """``value``, or if it is the sentinel its Zip64 value; -1 if no field holds one. ``before`` are the fields that
    take eight bytes each in front of it when they are sentinels. Upstream goes on to a second field if one is short."""
    if value != SENTINEL32:
        return value
    skip = 8 * sum(field == SENTINEL32 for field in before)
    for kind, body in extra_fields(extra):
        if kind == EXTRA_ZIP64 and skip + 8 <= len(body):
            number = int.from_bytes(body[skip : skip + 8], "little")
            return number if number <= _OFF_MAX else -1
    return -1
