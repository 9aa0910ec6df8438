"""Sums of slices times powers of their constants: what recovery slices are, band by band (spec/1, 17.3).

Recovery slice e is the sum over all i of slice i times the e-th power of the constant of i. Columns do not depend on
one another, so a band of them is computed in bounded memory whatever the size of a slice. Eight powers come out of one
look into a table of 65,536 rows of 128 bits: what costs is the looking, not the width of what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llamafile_format.manifest.hashing import cores
from llamafile_format.progress import Advance
from llamafile_format.recovery.field import Elements, constants, times

Read = Callable[[int, int, int], bytes]
"""(slice, offset in it, length) to bytes, filled up with zeros behind the end of the range."""

BAND_BYTES = 64 << 20
"""Of all rows of a band together."""

_LANE = 1 << 13  # elements worked on at a time: the table, what comes out of it and a lane of sums fit the cache
_TOGETHER = 8  # powers in a row of the table
_WORDS = _TOGETHER // 4
Packed = npt.NDArray[np.uint64]
"""Sums of consecutive powers beside each other, ``_WORDS`` words for an element of a slice."""


def bands(slice_size: int, rows: int, *, memory: int = BAND_BYTES) -> Iterator[tuple[int, int]]:
    """(offset in each slice, length): bands of which ``rows`` fit ``memory``."""
    width = max(4096, memory // max(rows, 1) // 4096 * 4096)
    for at in range(0, slice_size, width):
        yield at, min(width, slice_size - at)


def runs(exponents: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of consecutive ``exponents``, which are sorted, as (index of the first, how many)."""
    found: list[tuple[int, int]] = []
    for index, exponent in enumerate(exponents):
        if found and exponent == exponents[index - 1] + 1:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((index, 1))
    return found


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Consecutive exponents from ``first`` on: sums of ``_TOGETHER`` of them in each row of ``packed``."""

    first: int
    count: int
    packed: Packed


def sums(
    exponents: Sequence[int],
    indices: Sequence[int],
    read: Read,
    band: tuple[int, int],
    *,
    slices: int,
    progress: Advance | None = None,
) -> Elements:
    """One row for each of ``exponents``: the sum of the slices ``indices`` of ``slices`` times powers, in ``band``."""
    from concurrent.futures import ThreadPoolExecutor

    logs, width = constants(slices), band[1] // 2
    stretches = [
        _Stretch(exponents[at], count, np.zeros((-(-count // _TOGETHER), width, _WORDS), np.uint64))
        for at, count in runs(exponents)
    ]
    parts = _parts(width)
    with ThreadPoolExecutor(len(parts)) as pool:
        for index, data in _reading(read, indices, band):
            log = int(logs[index])
            table, starts = _powers(log), [times(log * (each.first - 1)) for each in stretches]
            work = [pool.submit(_add, stretches, starts, table, data, part) for part in parts]
            for each in work:
                each.result()
            if progress:
                progress(band[1])
    return np.concatenate([_unpacked(each) for each in stretches])


def _powers(log: int) -> Packed:
    """Of every element its products with the first powers of 2 to the ``log``, a row for each element."""
    table = np.empty((65_536, _TOGETHER), np.uint16)
    for place in range(_TOGETHER):
        table[:, place] = times(log * (place + 1))
    return table.view(np.uint64)


def _unpacked(stretch: _Stretch) -> Elements:
    """One row for each exponent."""
    groups, width, _ = stretch.packed.shape
    sums_of = stretch.packed.view(np.uint16)
    rows = np.empty((groups * _TOGETHER, width), np.uint16)
    for place in range(_TOGETHER):
        rows[place::_TOGETHER] = sums_of[:, :, place]
    return rows[: stretch.count]


def _reading(read: Read, indices: Sequence[int], band: tuple[int, int]) -> Iterator[tuple[int, Elements]]:
    """Slices in ``band``, the next one being read while one is worked on."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, indices[0], *band) if indices else None
        for place, index in enumerate(indices):
            assert ahead is not None
            found = ahead.result()
            ahead = pool.submit(read, indices[place + 1], *band) if place + 1 < len(indices) else None
            yield index, np.frombuffer(found, np.dtype("<u2"))


def _parts(width: int) -> list[tuple[int, int]]:
    """Columns [low, high) for each thread: whole lanes."""
    lanes = -(-width // _LANE)
    share = -(-lanes // min(cores(), lanes)) * _LANE
    return [(low, min(low + share, width)) for low in range(0, width, share)]


def _add(
    stretches: Sequence[_Stretch], starts: Sequence[Elements], table: Packed, data: Elements, part: tuple[int, int]
) -> None:
    """Add the slice ``data`` in the columns ``part``. ``starts`` lead to the power in front of each stretch."""
    found = np.empty((_LANE, _WORDS), np.uint64)
    for low in range(part[0], part[1], _LANE):
        high = min(low + _LANE, part[1])
        powers = found[: high - low]
        for stretch, start in zip(stretches, starts, strict=True):
            at = np.take(start, data[low:high], mode="wrap")
            for row in stretch.packed:
                np.take(table, at, axis=0, out=powers, mode="wrap")
                target = row[low:high]
                np.bitwise_xor(target, powers, out=target)
                at = powers.view(np.uint16)[:, -1]  # leads to the next powers
