"""Earlier directories that appending tools left in a file (spec/1, 9.4).

Each run of ``zipalign`` appends a new directory and leaves the old one where it was. They are looked for only between
the spans that the live directory accounts for, and only within a budget: a full scan of a large file never happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.limits import STALE_BYTES
from llamafile_format.source import ByteSource
from llamafile_format.spans import merge_ranges
from llamafile_format.zip.archive import MAX_DIRECTORY, Archive, Generation, iter_live, read_directory
from llamafile_format.zip.records import EOCD, EOCD_SIGNATURE
from llamafile_format.zip.tail import Tail, read_tail_at

SEARCH_BUDGET = 1 << 20  # clause 9.4: bytes read in all
SEARCH_EDGE = 1 << 17  # clause 9.4: bytes searched at each end of a hole
MAX_GENERATIONS = 64
_MIN_GENERATION = 46 + EOCD.size


def holes(archive: Archive, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the byte ranges in front of the live directory that no live record accounts for."""
    if archive.tail is None:
        return
    limit = min(archive.tail.directory_offset, archive.tail.start, size)
    used = [(entry.header_offset, entry.data_end) for entry in iter_live(archive)]
    at = 0
    for low, high in merge_ranges(used):
        if at < min(low, limit):
            yield at, min(low, limit)
        at = max(at, high)
    if at < limit:
        yield at, limit


def find_generations(source: ByteSource, archive: Archive, *, budget: int = SEARCH_BUDGET) -> tuple[Generation, ...]:
    """The earlier directories in the holes of ``archive``, in file order; reads at most ``budget`` bytes to find them.

    The hole that ends the file is searched first, since the newest generations lie at the end. The bytes in front of
    the first member are executable code, where signatures mean nothing: only their last 128 KiB are searched.
    """
    found: dict[int, Generation] = {}
    room = _Room(STALE_BYTES)
    for start, end in reversed(list(holes(archive, source.size))):
        for low, high in _windows(start, end):
            if budget <= 0 or len(found) >= MAX_GENERATIONS:
                return _ordered(found)
            low = max(low, high - budget)
            budget -= high - low
            for generation in _search(source, low, high, room):
                found[generation.eocd_offset] = generation
    return _ordered(found)


def _ordered(found: dict[int, Generation]) -> tuple[Generation, ...]:
    return tuple(found[at] for at in sorted(found))


def _windows(start: int, end: int) -> Iterator[tuple[int, int]]:
    if end - start < _MIN_GENERATION:
        return
    if start and end - start > 2 * SEARCH_EDGE:
        yield end - SEARCH_EDGE, end
        yield start, start + SEARCH_EDGE
    else:
        yield (start or max(0, end - SEARCH_EDGE)), end


@dataclass(slots=True)
class _Room:
    """Bytes of directories that may still be parsed: a false end record may name a long directory that fails late."""

    left: int

    def take(self, size: int) -> bool:
        """True if there was room for ``size`` bytes more."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


def _search(source: ByteSource, low: int, high: int, room: _Room) -> Iterator[Generation]:
    data = source.read_at(low, high - low)
    at = data.rfind(EOCD_SIGNATURE)
    tries = 256  # machine code holds a handful of false signatures; more than this is somebody's attempt to delay us
    while at >= 0 and tries:
        tries -= 1
        generation = generation_at(source, low + at, room)
        if generation is not None:
            yield generation
        at = data.rfind(EOCD_SIGNATURE, 0, at + len(EOCD_SIGNATURE) - 1)


def generation_at(source: ByteSource, offset: int, room: _Room) -> Generation | None:
    """The generation whose end record is at ``offset``, or None if the record is not a whole and faultless one."""
    if offset + EOCD.size > source.size:
        return None
    head = source.read_at(offset, EOCD.size)
    if offset + EOCD.size + int.from_bytes(head[-2:], "little") > source.size:
        return None
    tail, findings = read_tail_at(source, offset)
    if findings or not tail.count or tail.directory_size > SEARCH_BUDGET or not _adjacent(tail):
        return None
    if not room.take(tail.directory_size):
        return None
    directory = read_directory(source, tail, headers=False)
    if directory.findings:
        return None
    return Generation(
        tail.directory_offset, tail.directory_size, offset, tail.end, tail.count, directory.entries, tail.start
    )


def _adjacent(tail: Tail) -> bool:
    """True if nothing lies between the directory and its end records."""
    return tail.directory_offset + tail.directory_size == tail.start


def recover_tail(source: ByteSource, *, budget: int = 1 << 30) -> Generation | None:
    """The last whole archive inside a file whose tail was lost: a full backward scan, only for who asks for it.

    Reads at most ``budget`` bytes from the end (1 GiB unless told).
    """
    step = SEARCH_BUDGET
    high, room = source.size, _Room(MAX_DIRECTORY)
    floor = max(0, source.size - budget)
    while high > floor:
        low = max(floor, high - step)
        for generation in _search(source, low, high, room):
            return generation
        if low == floor:
            return None
        high = low + len(EOCD_SIGNATURE) - 1
    return None
