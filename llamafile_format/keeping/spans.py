"""Which bytes of a file were proven when: spans that tile it, each with the run that read it last. Pure functions.

Run 0 is none: nobody has read these bytes yet. Runs are counted and not timed, because clocks are set back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NEVER = 0


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """``[start, stop)`` was found right by ``run``."""

    start: int
    stop: int
    run: int = NEVER

    @property
    def length(self) -> int:
        """Bytes."""
        return self.stop - self.start


def tiled(reads: Iterable[Read], size: int) -> tuple[Read, ...]:
    """``reads`` as a tiling of ``[0, size)``: where none of them is, :data:`NEVER`; what overlaps counts once."""
    result: list[Read] = []
    at = 0
    for read in sorted(reads):
        start, stop = max(read.start, at), min(read.stop, size)
        if start >= stop:
            continue
        if at < start:
            result.append(Read(at, start))
        result.append(Read(start, stop, read.run))
        at = stop
    if at < size:
        result.append(Read(at, size))
    return _joined(result)


def with_read(reads: Sequence[Read], new: Read) -> tuple[Read, ...]:
    """The tiling ``reads`` with ``new`` laid over it."""
    result: list[Read] = []
    for read in reads:
        if read.start < new.start:
            result.append(Read(read.start, min(read.stop, new.start), read.run))
        if read.stop > new.stop:
            result.append(Read(max(read.start, new.stop), read.stop, read.run))
    return _joined(sorted([*result, new]))


def _joined(reads: Iterable[Read]) -> tuple[Read, ...]:
    result: list[Read] = []
    for read in reads:
        if result and result[-1].run == read.run and result[-1].stop == read.start:
            result[-1] = Read(result[-1].start, read.stop, read.run)
        elif read.length > 0:
            result.append(read)
    return tuple(result)


def oldest(reads: Iterable[Read]) -> int:
    """The run since which every byte has been proven: :data:`NEVER` if some byte never was."""
    return min((read.run for read in reads), default=NEVER)


@dataclass(frozen=True, slots=True)
class Everything:
    """Read every byte."""


@dataclass(frozen=True, slots=True)
class Part:
    """Read part ``number`` of ``total`` equal ones of every file; parts 1 to ``total`` are all of it."""

    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Read so many bytes, or so many percent of all that is watched: what was proven longest ago first."""

    size: int = 0
    percent: int = 0


Share = Everything | Part | Budget
Tiles = tuple[tuple[str, tuple[Read, ...]], ...]
"""Of each file, its name and its tiling."""


def share_of(files: Tiles, share: Share, run: int, done: int = 0) -> Iterator[tuple[str, Read]]:
    """What ``run`` has to read of ``files``, oldest first; it has read ``done`` bytes before, and those not again."""
    wanted = [
        (read.run, name, part)
        for name, tiles in files
        for read in tiles
        if read.run != run
        for part in _within(name, read, tiles[-1].stop, share)
    ]
    wanted.sort(key=lambda each: (each[0], each[1], each[2].start))
    left: int | None = None
    if isinstance(share, Budget):
        total = sum(tiles[-1].stop for _, tiles in files if tiles)
        left = max(0, (share.size or -(-total * share.percent // 100)) - done)
    for _, name, read in wanted:
        if left is None:
            yield name, read
        elif left > 0:
            stop = min(read.stop, read.start + left)
            left -= stop - read.start
            yield name, Read(read.start, stop, read.run)


def _within(name: str, read: Read, size: int, share: Share) -> Iterator[Read]:
    """The bytes of ``read`` that belong to the part. Files begin with different parts, or the last run read most."""
    if not isinstance(share, Part):
        yield read
        return
    turn = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    index = (share.number - 1 + turn) % share.total
    start, stop = max(read.start, size * index // share.total), min(read.stop, size * (index + 1) // share.total)
    if start < stop:
        yield Read(start, stop, read.run)


def cut(read: Read, most: int) -> Iterator[Read]:
    """``read`` in pieces of at most ``most`` bytes."""
    for start in range(read.start, read.stop, most):
        yield Read(start, min(start + most, read.stop), read.run)
