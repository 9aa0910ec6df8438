"""The end of an archive: end record, Zip64 record and locator (spec/1, 4.6).

The end record is looked for backwards in a window of 64 KiB + 22 + 4 KiB: a comment cannot be longer than 64 KiB, and
real old files carry up to 4 KiB of zeros behind it. The last record that fits wins, because every reader does that; all
other candidates that another reader could prefer are reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.findings import Finding, Where
from llamafile_format.source import ByteSource
from llamafile_format.zip.records import (
    EOCD,
    EOCD64,
    EOCD64_MAGIC,
    EOCD_SIGNATURE,
    LOCATOR,
    LOCATOR_MAGIC,
    SENTINEL16,
    SENTINEL32,
)

MAX_COMMENT = 0xFFFF
MAX_TRAILING = 4096  # clause 4.6.2
TAIL_WINDOW = MAX_COMMENT + 1 + EOCD.size + MAX_TRAILING


@dataclass(frozen=True, slots=True)
class Zip64End:
    """Zip64 end record at ``record_offset`` and its locator, fields as stored."""

    record_offset: int
    locator_offset: int
    version_made: int
    version_needed: int
    disk: int
    directory_disk: int
    count_on_disk: int
    count: int
    directory_size: int
    directory_offset: int
    locator_disk: int
    disks: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The end record at ``eocd_offset`` with its raw fields, and the directory that it names once Zip64 is applied.

    ``end`` is the offset behind the comment, ``trailing_length`` the bytes of the file behind that. Nothing has been
    checked against the file's size except the end record itself.
    """

    eocd_offset: int
    disk: int
    directory_disk: int
    count_on_disk: int
    count16: int
    size32: int
    offset32: int
    comment: bytes
    zip64: Zip64End | None
    directory_offset: int
    directory_size: int
    count: int
    end: int
    trailing_length: int

    @property
    def start(self) -> int:
        """Offset of the first end record: the Zip64 record where there is one."""
        return self.zip64.record_offset if self.zip64 else self.eocd_offset

    @property
    def sentinel(self) -> bool:
        """True if the end record leaves a value to a Zip64 record."""
        return self.count16 == SENTINEL16 or SENTINEL32 in (self.size32, self.offset32)


def read_tail(source: ByteSource) -> tuple[Tail | None, list[Finding]]:
    """The last end record of ``source`` and what is wrong with it; (None, [LF2001]) if there is none."""
    start = max(0, source.size - TAIL_WINDOW)
    window = source.read_at(start, source.size - start)
    chosen = next((at for at in _backwards(window) if _fits(window, at)), None)
    if chosen is None:
        return None, [Finding("LF2001", Where(start, len(window)), {"size": source.size, "window": len(window)})]
    findings = list(_rivals(window, start, chosen))
    tail, more = read_tail_at(source, start + chosen)
    return tail, findings + more


def read_tail_at(source: ByteSource, offset: int) -> tuple[Tail, list[Finding]]:
    """The end record at ``offset``, whose signature and comment length the caller has checked."""
    head = source.read_at(offset, EOCD.size)
    _, disk, directory_disk, on_disk, count, size, where, length = EOCD.unpack(head)
    end = offset + EOCD.size + length
    comment = source.read_at(offset + EOCD.size, length)
    findings: list[Finding] = []
    zip64 = _read_zip64(source, offset, findings)
    tail = Tail(
        eocd_offset=offset,
        disk=disk,
        directory_disk=directory_disk,
        count_on_disk=on_disk,
        count16=count,
        size32=size,
        offset32=where,
        comment=comment,
        zip64=zip64,
        directory_offset=zip64.directory_offset if zip64 else where,
        directory_size=zip64.directory_size if zip64 else size,
        count=zip64.count if zip64 else count,
        end=end,
        trailing_length=source.size - end,
    )
    findings += _check_tail(tail)
    return tail, findings


def _backwards(window: bytes) -> Iterator[int]:
    at = window.rfind(EOCD_SIGNATURE)
    while at >= 0:
        yield at
        at = window.rfind(EOCD_SIGNATURE, 0, at + len(EOCD_SIGNATURE) - 1)


def _extent(window: bytes, at: int) -> int:
    """Offset in ``window`` of the first byte behind the end record at ``at``, or past the window if it is cut off."""
    if at + EOCD.size > len(window):
        return at + EOCD.size
    return int(at + EOCD.size + int.from_bytes(window[at + EOCD.size - 2 : at + EOCD.size], "little"))


def _fits(window: bytes, at: int) -> bool:
    return _extent(window, at) <= len(window)


def _rivals(window: bytes, start: int, chosen: int) -> Iterator[Finding]:
    """End records that another reader could take: later ones that we refused, earlier ones whose comment covers ours.

    A reader that demands that the comment ends the file takes the earlier record; one that looks for the last
    signature takes the later one (parser trap 2, ambiguity type c2).
    """
    for at in _backwards(window):
        if at > chosen or (at < chosen and _fits(window, at) and _extent(window, at) > chosen):
            yield Finding("LF2003", Where(start + at, EOCD.size), {"chosen": start + chosen, "other": start + at})
            return


def _read_zip64(source: ByteSource, eocd_offset: int, findings: list[Finding]) -> Zip64End | None:
    """The Zip64 records directly before the end record, or None; LF2009 if a locator is there but leads astray."""
    at = eocd_offset - LOCATOR.size
    if at < 0:
        return None
    magic, locator_disk, record_at, disks = LOCATOR.unpack(source.read_at(at, LOCATOR.size))
    if magic != LOCATOR_MAGIC:
        return None

    def broken(why: str) -> None:
        """Note that the Zip64 record cannot be used."""
        findings.append(Finding("LF2009", Where(at, LOCATOR.size, field="zip64"), {"why": why, "offset": record_at}))

    if record_at + EOCD64.size > at:
        broken("it points past itself")
        return None
    magic, length, made, needed, disk, directory_disk, on_disk, count, size, offset = EOCD64.unpack(
        source.read_at(record_at, EOCD64.size)
    )
    if magic != EOCD64_MAGIC:
        broken("there is no Zip64 end record where it points")
        return None
    if record_at + 12 + length != at or length != EOCD64.size - 12:
        broken("the Zip64 end record does not end where the locator starts, or has bytes of its own behind its fields")
        return None
    return Zip64End(
        record_at, at, made, needed, disk, directory_disk, on_disk, count, size, offset, locator_disk, disks
    )


def _check_tail(tail: Tail) -> Iterator[Finding]:
    where = Where(tail.start, tail.end - tail.start)
    disks = [tail.disk, tail.directory_disk, tail.count_on_disk - tail.count16]
    if tail.zip64:
        z = tail.zip64
        disks += [z.disk, z.directory_disk, z.locator_disk, z.count_on_disk - z.count, z.disks - 1]
        pairs = (
            ("count", tail.count16, SENTINEL16, z.count),
            ("size", tail.size32, SENTINEL32, z.directory_size),
            ("offset", tail.offset32, SENTINEL32, z.directory_offset),
        )
        for name, plain, sentinel, wide in pairs:
            if plain not in (sentinel, wide):
                place = Where(where.offset, where.length, field=f"eocd.{name}")
                yield Finding("LF2010", place, {"field": name, "plain": plain, "wide": wide})
    elif SENTINEL32 in (tail.size32, tail.offset32):
        yield Finding("LF2012", where, {"what": "the end record"})
    if any(disks):
        yield Finding("LF2005", where, {"disk": tail.disk})
