"""Tail, directory and local headers of an archive in one bounded parse (spec/1, 4.2 to 4.6).

Bad bytes never raise: what cannot be read is a finding, and ``Archive.readable`` says whether the directory could be
walked to its end. Only I/O raises (:class:`~llamafile_format.errors.SourceError`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from llamafile_format import limits
from llamafile_format.findings import Finding, Where
from llamafile_format.source import ByteSource
from llamafile_format.zip.entry import NOWHERE, Entry, apply_zip64, decode_name
from llamafile_format.zip.records import (
    DIRECTORY_MAGIC,
    DIRECTORY_RECORD,
    LOCAL_HEADER,
    LOCAL_MAGIC,
    DirectoryRecord,
    LocalHeader,
    parse_directory_record,
    parse_local_header,
)
from llamafile_format.zip.tail import Tail, read_tail

MAX_DIRECTORY = limits.DIRECTORY_BYTES
MAX_ENTRIES = limits.DIRECTORY_ENTRIES
MAX_LONG_HEADERS = 16 << 20  # clause 4.13: bytes of local headers longer than their records let expect, all together
_DIGITAL_SIGNATURE = b"PK\x05\x05"  # APPNOTE 4.3.13
_DIRECTORY_SIGNATURE = DIRECTORY_MAGIC.to_bytes(4, "little")
_LOCAL_SIGNATURE = LOCAL_MAGIC.to_bytes(4, "little")
_SLACK = 64  # local extra fields of every known writer fit in what is read beside the name
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Generation:
    """An earlier directory that was left in the file by a tool that appends: dead bytes, listed but never used."""

    directory_offset: int
    directory_size: int
    eocd_offset: int
    eocd_end: int
    count: int
    entries: tuple[Entry, ...] = ()
    start: int = 0
    """Offset of its first end record (the Zip64 record where there is one)."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What the directory at the end of a file says. ``findings`` are the faults that the parse itself met.

    ``readable`` is True if the directory was walked to its last byte; ``entries`` holds what was read before that.
    ``capped`` is True if it was not because it has more than is read (12.4): the rest may be right all the same.
    ``stale`` is filled only by ``read_archive(source, generations=True)``.
    """

    tail: Tail | None
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    readable: bool
    stale: tuple[Generation, ...] = ()
    capped: bool = False

    @property
    def directory_offset(self) -> int:
        """Where the directory starts (0 if there is no end record)."""
        return self.tail.directory_offset if self.tail else 0

    @property
    def directory_size(self) -> int:
        """Bytes of the directory (0 if there is no end record)."""
        return self.tail.directory_size if self.tail else 0

    def entry(self, path: str) -> Entry | None:
        """The first entry named ``path``, or None."""
        return next((entry for entry in self.entries if entry.path == path), None)


def read_directory(source: ByteSource, tail: Tail, *, headers: bool = True) -> Archive:
    """The directory that ``tail`` names, and the local headers of its entries unless ``headers`` is False."""
    findings: list[Finding] = []
    data = _directory_bytes(source, tail, findings)
    if data is None:
        return Archive(tail, (), tuple(findings), readable=False, capped=_is_capped(findings))
    records, whole = _walk(data, tail, findings)
    capped = _is_capped(findings)
    bare = [_entry(index, at, record, findings) for index, (at, record) in enumerate(records)]
    if (whole and len(bare) != tail.count) or (capped and len(bare) > tail.count):
        where = Where(tail.directory_offset, tail.directory_size, field="eocd.count")
        findings.append(Finding("LF2006", where, {"count": tail.count, "records": len(bare)}))
    entries = _with_headers(source, bare, findings) if headers else bare
    return Archive(tail, tuple(entries), tuple(findings), readable=whole, capped=capped)


def _is_capped(findings: list[Finding]) -> bool:
    return any(finding.rule == "LF2014" for finding in findings)


def _directory_bytes(source: ByteSource, tail: Tail, findings: list[Finding]) -> bytes | None:
    """The directory's bytes, or None with the reason in ``findings``."""
    offset, size = tail.directory_offset, tail.directory_size
    where = Where(tail.start, tail.end - tail.start, field="eocd.offset")
    if offset + size == tail.start:
        return _capped(source, tail, where, findings)
    real = tail.start - size
    if real != offset and size and real >= 0 and source.read_at(real, 4) == _DIRECTORY_SIGNATURE:
        # Readers that compensate (Python, unzip) see an archive here; the engine, which does not, sees none.
        at_offset = source.read_at(offset, 4) if offset + 4 <= source.size else b""
        if at_offset != _DIRECTORY_SIGNATURE:
            findings.append(Finding("LF2008", where, {"offset": offset, "real": real, "shift": real - offset}))
            return None
    findings.append(Finding("LF2007", where, {"offset": offset, "size": size, "end": tail.start}))
    if offset + size > tail.start:
        return None
    slack = source.read_at(offset + size, min(4, tail.start - offset - size))
    if slack == _DIGITAL_SIGNATURE:
        findings[-1] = Finding("LF2029", Where(offset + size, 4), {"what": "a digital signature record"})
    return _capped(source, tail, where, findings)


def _capped(source: ByteSource, tail: Tail, where: Where, findings: list[Finding]) -> bytes | None:
    """As much of the directory as is read; None if it is too large and does not even begin like one."""
    offset, size = tail.directory_offset, tail.directory_size
    if size <= MAX_DIRECTORY:
        return source.read_at(offset, size)
    findings.append(_past_cap("bytes of the directory", size, MAX_DIRECTORY, where))
    if source.read_at(offset, 4) != _DIRECTORY_SIGNATURE:
        findings.append(Finding("LF2013", Where(offset, 4), {"index": 0}))
        return None
    return source.read_at(offset, MAX_DIRECTORY)


def _past_cap(what: str, found: int, limit: int, where: Where) -> Finding:
    return Finding("LF2014", where, {"what": what, "found": found, "limit": limit})


def _walk(data: bytes, tail: Tail, findings: list[Finding]) -> tuple[list[tuple[int, DirectoryRecord]], bool]:
    """(absolute offset, record) of every record, and whether the walk reached the directory's end."""
    records: list[tuple[int, DirectoryRecord]] = []
    base, at, names = tail.directory_offset, 0, 0
    short = len(data) < tail.directory_size
    while at < len(data):
        where = Where(base + at, len(data) - at)
        if len(records) >= MAX_ENTRIES:
            findings.append(_past_cap("records of the directory", len(records) + 1, MAX_ENTRIES, where))
            return records, False
        if names > limits.DIRECTORY_NAME_BYTES:
            findings.append(_past_cap("bytes of names", names, limits.DIRECTORY_NAME_BYTES, where))
            return records, False
        if data.startswith(_DIGITAL_SIGNATURE, at):
            findings.append(Finding("LF2029", Where(base + at, 4), {"what": "a digital signature record"}))
            return records, False
        record = None
        if data.startswith(_DIRECTORY_SIGNATURE, at) and at + DIRECTORY_RECORD.size <= len(data):
            record = parse_directory_record(data, at)
            if at + _announced(data, at) > len(data):
                record = None
        if record is None:
            if not short:
                findings.append(Finding("LF2013", where, {"index": len(records)}))
            return records, False
        records.append((base + at, record))
        names += len(record.name)
        at += record.length
    return records, not short


def _announced(data: bytes, at: int) -> int:
    """Length of the record at ``at`` as its own three length fields tell it."""
    lengths: tuple[int, ...] = DIRECTORY_RECORD.unpack_from(data, at)[10:13]
    return DIRECTORY_RECORD.size + sum(lengths)


def _entry(index: int, offset: int, record: DirectoryRecord, findings: list[Finding]) -> Entry:
    values = apply_zip64(record.extra, record.size, record.compressed_size, record.header_offset)
    path = decode_name(record.name)
    if values is None:
        values = (record.size, record.compressed_size, record.header_offset)
        findings.append(Finding("LF2012", Where(offset, record.length, path), {"what": "a directory record"}))
    size, compressed, header_offset = values
    return Entry(
        index, path, record, offset, None, header_offset, NOWHERE, size, compressed, record.crc32, record.method
    )


def _with_headers(source: ByteSource, entries: list[Entry], findings: list[Finding]) -> list[Entry]:
    """``entries`` with their local headers, read a batch of ranges at a time."""
    result: list[Entry] = []
    budget = [MAX_LONG_HEADERS]
    for start in range(0, len(entries), _BATCH):
        batch = entries[start : start + _BATCH]
        ranges = [_header_range(source.size, entry) for entry in batch]
        for entry, head in zip(batch, source.read_ranges(ranges), strict=True):
            result.append(_locate(source, entry, head, budget, findings))
    return result


def _header_range(size: int, entry: Entry) -> tuple[int, int]:
    if entry.header_offset >= size:
        return 0, 0
    wanted = LOCAL_HEADER.size + len(entry.record.name) + _SLACK
    return entry.header_offset, min(wanted, size - entry.header_offset)


def _locate(source: ByteSource, entry: Entry, head: bytes, budget: list[int], findings: list[Finding]) -> Entry:
    """``entry`` with header and data offset, or unchanged with LF2015 or LF2016 in ``findings``."""
    at = entry.header_offset
    header = _header(source, at, head, budget)
    if header is None:
        where = Where(entry.record_offset, entry.record.length, entry.path, "header_offset")
        findings.append(Finding("LF2015", where, {"offset": at, "path": entry.path}))
        return entry
    if header.name == entry.record.name:
        header = replace(header, name=entry.record.name)  # one object for both: memory for many entries
    data = at + header.length
    if data + entry.compressed_size > source.size:
        where = Where(at, header.length, entry.path, "compressed_size")
        end = data + entry.compressed_size
        findings.append(Finding("LF2016", where, {"path": entry.path, "end": end, "size": source.size}))
        data = NOWHERE
    return replace(entry, header=header, data_offset=data)


def _header(source: ByteSource, at: int, head: bytes, budget: list[int]) -> LocalHeader | None:
    """The local header at ``at`` whose first bytes are ``head``; None if there is none, or none within the budget."""
    if len(head) < LOCAL_HEADER.size or not head.startswith(_LOCAL_SIGNATURE):
        return None
    names, extras = LOCAL_HEADER.unpack_from(head)[9:11]
    length = LOCAL_HEADER.size + names + extras
    if length > len(head):
        budget[0] -= length
        if budget[0] < 0 or at + length > source.size:
            return None
        head = source.read_at(at, length)
    end = LOCAL_HEADER.size + names
    return parse_local_header(head[: LOCAL_HEADER.size], head[LOCAL_HEADER.size : end], head[end:length])


def iter_live(archive: Archive) -> Iterator[Entry]:
    """The located entries, in the order in which they lie in the file."""
    yield from sorted((entry for entry in archive.entries if entry.located), key=lambda entry: entry.header_offset)


def overlapping(entries: Iterable[Entry]) -> set[int]:
    """Indices of entries whose bytes are also another entry's."""
    crossing: set[int] = set()
    last: Entry | None = None
    for entry in sorted((e for e in entries if e.located), key=lambda e: (e.header_offset, e.data_end)):
        if last is not None and entry.header_offset < last.data_end:
            crossing |= {entry.index, last.index}
        if last is None or entry.data_end > last.data_end:
            last = entry
    return crossing


def read_archive(source: ByteSource) -> Archive:
    """Tail, directory and local headers of ``source``. Never raises for bad bytes."""
    tail, findings = read_tail(source)
    if tail is None:
        return Archive(None, (), tuple(findings), readable=False)
    archive = read_directory(source, tail)
    more = list(archive.findings)
    if any(finding.rule == "LF2009" for finding in findings):  # a record that cannot be found explains the distance
        more = [finding for finding in more if finding.rule != "LF2007"]
    return replace(archive, findings=(*findings, *more))
