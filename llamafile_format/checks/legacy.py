"""What is particular about a legacy llamafile (spec/1, chapter 9): old habits explained, old damage found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llamafile_format.checks.crcs import check_crcs
from llamafile_format.findings import Finding, Where
from llamafile_format.source import ByteSource
from llamafile_format.spans import SpanKind
from llamafile_format.zip.archive import Archive, Generation
from llamafile_format.zip.attribution import MAX_GAP_CHECKS, attribute
from llamafile_format.zip.entry import Entry, decode_name, local_sizes
from llamafile_format.zip.fingerprint import ZIPALIGN_HOLE, writer_of
from llamafile_format.zip.generations import SEARCH_EDGE, holes, recover_tail
from llamafile_format.zip.names import is_weights_name, name_problems
from llamafile_format.zip.records import (
    FLAG_UTF8,
    LOCAL_HEADER,
    LOCAL_MAGIC,
    SENTINEL16,
    SENTINEL32,
    STORED,
    parse_local_header,
)
from llamafile_format.zip.tail import MAX_TRAILING, Tail

__all__ = ["Orphan", "check_crcs", "check_legacy", "find_orphans"]

ALIGNMENT = 16384  # what the weights reader warns about: Metal maps at this granularity
_UNIX = 3
_RECOVER_BUDGET = 16 << 20  # bytes from the end that are searched when the tail is gone
_MAX_ORPHANS = 64
_LOCAL_SIGNATURE = LOCAL_MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Orphan:
    """A whole local header with its data that no directory record points at."""

    path: str
    header_offset: int
    data_offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the data."""
        return self.data_offset + self.size


def check_legacy(
    source: ByteSource,
    archive: Archive,
    generations: Sequence[Generation] = (),
    *,
    image_end: int = 0,
    budget: int = MAX_GAP_CHECKS,
) -> Iterator[Finding]:
    """Findings LF7001 to LF7019. ``generations`` are the stale directories, ``image_end`` where the executable is known
    to end (bytes, 0 if unknown), ``budget`` the bytes read from gaps, and again for orphans. Raises SourceError.
    """
    archive = replace(archive, stale=tuple(generations) or archive.stale)
    tail = archive.tail
    if tail is None:
        yield from _check_lost_tail(source)
        return
    yield from _check_trailing(source, tail)
    if tail.comment:
        yield Finding("LF7004", Where(tail.end - len(tail.comment), len(tail.comment)), {"length": len(tail.comment)})
    if not archive.entries:
        return
    for entry in archive.entries:
        yield from _check_oddities(entry)
    yield from _check_zip64(archive)
    yield from _check_weights(archive)
    yield from _check_arguments(archive)
    if image_end and (inside := [e for e in archive.entries if e.located and e.header_offset < image_end]):
        first = min(entry.header_offset for entry in inside)
        yield Finding("LF7007", Where(first, None), {"count": len(inside), "image_end": image_end})
    orphans = find_orphans(source, archive, budget=budget)
    yield from _check_spans(source, archive, orphans, image_end=image_end, budget=budget)
    if archive.readable:
        yield from _check_lost(source, archive, orphans)
    for old in archive.stale:
        where = Where(old.directory_offset, old.eocd_end - old.directory_offset)
        yield Finding("LF7009", where, {"count": old.count, "offset": old.directory_offset})


def _check_lost_tail(source: ByteSource) -> Iterator[Finding]:
    found = recover_tail(source, budget=_RECOVER_BUDGET)
    if found is not None:
        where = Where(found.directory_offset, found.eocd_end - found.directory_offset)
        yield Finding("LF7018", where, {"end": found.eocd_end, "count": found.count})


def _check_trailing(source: ByteSource, tail: Tail) -> Iterator[Finding]:
    if not tail.trailing_length:
        return
    data = source.read_at(tail.end, tail.trailing_length)  # at most the tail window
    where = Where(tail.end, tail.trailing_length)
    args = {"length": tail.trailing_length}
    if _is_certificate(data):
        yield Finding("LF7003", where, args)
    elif tail.trailing_length <= MAX_TRAILING and data.count(0) == len(data):
        yield Finding("LF7001", where, args)
    else:
        yield Finding("LF7002", where, args)


def _is_certificate(data: bytes) -> bool:
    """An Authenticode WIN_CERTIFICATE (revision 2.0, PKCS#7), with at most 7 zero bytes of padding in front."""
    body = data.lstrip(b"\0")
    return (
        len(data) - len(body) < 8
        and len(body) > 8
        and int.from_bytes(body[:4], "little") in range(len(body) - 7, len(body) + 1)
        and body[4:8] == b"\x00\x02\x02\x00"
    )


def _check_oddities(entry: Entry) -> Iterator[Finding]:
    record = entry.record
    where = Where(entry.record_offset, record.length, entry.path)
    if not _date_exists(record.dos_date, record.dos_time):
        args = {"path": entry.path, "date": f"0x{record.dos_date:04x}", "time": f"0x{record.dos_time:04x}"}
        yield Finding("LF7005", where, args)
    mode = record.external_attributes >> 16
    if record.version_made >> 8 == _UNIX and not mode & 0o444:
        yield Finding("LF7012", where, {"path": entry.path, "mode": f"{mode:06o}"})
    if not record.name.isascii() and not record.flags & FLAG_UTF8:
        yield Finding("LF7017", where, {"path": entry.path})


def _date_exists(date: int, time: int) -> bool:
    month, day = date >> 5 & 15, date & 31
    return (
        1 <= month <= 12
        and 1 <= day <= (29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31)
        and time >> 11 < 24
        and (time >> 5 & 63) < 60
        and (time & 31) < 30
    )


def _check_zip64(archive: Archive) -> Iterator[Finding]:
    """zipalign writes Zip64 everywhere; said once for the file."""
    tail = archive.tail
    small = [
        entry
        for entry in archive.entries
        if SENTINEL32 in (entry.record.size, entry.record.compressed_size, entry.record.header_offset)
        and max(entry.size, entry.compressed_size, entry.header_offset) < SENTINEL32
    ]
    needless = tail is not None and tail.zip64 and tail.directory_offset < SENTINEL32 and tail.count < SENTINEL16
    if tail is not None and (small or needless):
        yield Finding("LF7008", Where(tail.start, tail.end - tail.start), {"count": len(small)})


def _check_weights(archive: Archive) -> Iterator[Finding]:
    weights = [entry for entry in archive.entries if is_weights_name(entry.path)]
    for entry in weights:
        if entry.located and entry.data_offset % ALIGNMENT and entry.method == STORED:
            where = Where(entry.data_offset, entry.compressed_size, entry.path)
            yield Finding("LF7014", where, {"path": entry.path, "offset": entry.data_offset, "alignment": ALIGNMENT})
    if len(weights) > 1:
        yield Finding("LF7015", Where(), {"count": len(weights), "names": ", ".join(e.path for e in weights[:8])})


def _check_arguments(archive: Archive) -> Iterator[Finding]:
    """The engine looks up exactly ``.args``; zipalign stores ``./.args`` as it was typed."""
    names = {entry.path for entry in archive.entries}
    if ".args" in names:
        entry = archive.entry(".args")
        if entry and entry.record.version_made >> 8 == _UNIX and not entry.record.external_attributes >> 16 & 0o444:
            yield Finding("LF7013", Where(entry.record_offset, None, ".args"), {"path": ".args"})
        return
    for entry in archive.entries:
        if entry.path.rsplit("/", 1)[-1] == ".args" and set(entry.path.split("/")[:-1]) <= {".", "..", ""}:
            yield Finding("LF7013", Where(entry.record_offset, None, entry.path), {"path": entry.path})


def find_orphans(source: ByteSource, archive: Archive, *, budget: int) -> list[Orphan]:
    """Whole members that no record points at, in the holes behind the first live member.

    Only the first 128 KiB of a hole are searched, ``budget`` bytes in all: an orphan stands where a gap ends. The
    executable in front is never searched, since machine code holds false signatures.
    """
    found: list[Orphan] = []
    for start, end in holes(archive, source.size):
        if not start:
            continue
        at = start
        while end - at > LOCAL_HEADER.size and budget > 0 and len(found) < _MAX_ORPHANS:
            length = min(SEARCH_EDGE, end - at, budget)
            budget -= length
            orphan = _first_orphan(source, at, length, end)
            if orphan is None:
                break
            found.append(orphan)
            at = orphan.end
    return found


def _first_orphan(source: ByteSource, start: int, length: int, end: int) -> Orphan | None:
    data = source.read_at(start, length)
    at = data.find(_LOCAL_SIGNATURE)
    tries = 64
    while at >= 0 and tries:
        tries -= 1
        orphan = _orphan_at(source, start + at, end)
        if orphan is not None:
            return orphan
        at = data.find(_LOCAL_SIGNATURE, at + 1)
    return None


def _orphan_at(source: ByteSource, at: int, end: int) -> Orphan | None:
    """The member at ``at`` if header, name and data make sense and fit in front of ``end``."""
    if at + LOCAL_HEADER.size > end:
        return None
    head = source.read_at(at, LOCAL_HEADER.size)
    names, extras = LOCAL_HEADER.unpack(head)[9:11]
    data = at + LOCAL_HEADER.size + names + extras
    if not names or names > 1024 or extras > 1024 or data > end:
        return None
    rest = source.read_at(at + LOCAL_HEADER.size, names + extras)
    header = parse_local_header(head, rest[:names], rest[names:])
    sizes = local_sizes(header)
    if sizes is None or data + sizes[1] > end or not header.name.isascii() or name_problems(header.name):
        return None
    return Orphan(decode_name(header.name), at, data, sizes[1])


def _check_lost(source: ByteSource, archive: Archive, orphans: list[Orphan]) -> Iterator[Finding]:
    """Members that an earlier directory had, or that still lie in the file, and that the live directory lost.

    zipalign replaces a member by dropping its record; two bugs in it drop or corrupt the record of the next one.
    """
    live = {entry.path for entry in archive.entries}
    lost: dict[str, tuple[int, int]] = {}
    for old in archive.stale:
        for entry in old.entries:
            if entry.path not in live and _is_header(source, entry.header_offset):
                lost[entry.path] = (entry.header_offset, entry.size)
    for orphan in orphans:
        if orphan.path not in live:
            lost[orphan.path] = (orphan.header_offset, orphan.size)
    for path, (offset, size) in lost.items():
        yield Finding("LF7011", Where(offset, None, path), {"path": path, "offset": offset, "size": size})


def _is_header(source: ByteSource, at: int) -> bool:
    return at + 4 <= source.size and source.read_at(at, 4) == _LOCAL_SIGNATURE


def _check_spans(
    source: ByteSource, archive: Archive, orphans: list[Orphan], *, image_end: int, budget: int
) -> Iterator[Finding]:
    """Holes: zipalign's 24 bytes, bytes in front of the directory, bytes that nothing explains."""
    spans = attribute(source, archive, image_end=image_end, gap_budget=budget)
    aligned = {entry.path for entry in archive.entries if writer_of(entry) == "zipalign"}
    small = [span for span in spans if span.kind is SpanKind.HOLE and span.note == "left by zipalign"]
    if small:
        args = {"count": len(small), "members": len(aligned), "length": ZIPALIGN_HOLE}
        yield Finding("LF7006", Where(small[0].offset, small[0].length), args)
    for span, after in zip(spans, [*spans[1:], None], strict=True):
        if span.kind is not SpanKind.HOLE or span in small:
            continue
        where = Where(span.offset, span.length)
        args = {"offset": span.offset, "length": span.length}
        if span.note == "zeros" and after is not None and after.kind is SpanKind.DIRECTORY:
            yield Finding("LF7010", where, args)
        elif span.note != "zeros" and not any(span.offset <= o.header_offset < span.end for o in orphans):
            yield Finding("LF7016", where, args)
