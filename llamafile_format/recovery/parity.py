"""Sums of slices times powers of their constants: what recovery slices are, band by band (spec/1, 17.3).

Recovery slice e is the sum over all i of slice i times the e-th power of the constant of i. Columns do not depend on
one another, so a band of them is computed in bounded memory whatever the size of a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from llamafile_format.manifest.hashing import cores
from llamafile_format.progress import Advance
from llamafile_format.recovery.field import Elements, constants, times

Read = Callable[[int, int, int], bytes]
"""(slice, offset in it, length) to bytes, filled up with zeros behind the end of the range."""

BAND_BYTES = 96 << 20
"""Of all rows of a band together."""

_LANE = 1 << 15  # elements worked on at a time: table, two lanes and a row of a lane fit the second-level cache


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


def add_slices(
    rows: Elements,
    exponents: Sequence[int],
    indices: Sequence[int],
    read: Read,
    band: tuple[int, int],
    *,
    slices: int,
    progress: Advance | None = None,
) -> None:
    """Add to each row of ``rows``, one for each of ``exponents``, the slices ``indices`` of ``slices`` in ``band``."""
    from concurrent.futures import ThreadPoolExecutor

    logs = constants(slices)
    stretches = runs(exponents)
    parts = _parts(rows.shape[1])
    with ThreadPoolExecutor(len(parts)) as pool:
        ahead = _reading(read, indices, band)
        for index, data in ahead:
            tabled = [(each, times(int(logs[index]) * exponents[each[0]])) for each in stretches]
            step = times(int(logs[index]))
            work = [pool.submit(_add, rows, data, tabled, step, part) for part in parts]
            for each in work:
                each.result()
            if progress:
                progress(band[1])


def _reading(read: Read, indices: Sequence[int], band: tuple[int, int]) -> Iterator[tuple[int, Elements]]:
    """Slices in ``band``, the next one being read while one is worked on."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        waiting = [(index, pool.submit(read, index, *band)) for index in indices[:1]]
        for place in range(len(indices)):
            index, data = waiting.pop()
            if place + 1 < len(indices):
                following = indices[place + 1]
                found = data.result()
                waiting.append((following, pool.submit(read, following, *band)))
            else:
                found = data.result()
            yield index, np.frombuffer(found, np.dtype("<u2"))


def _parts(width: int) -> list[tuple[int, int]]:
    """Columns [low, high) for each thread: whole lanes."""
    lanes = -(-width // _LANE)
    share = -(-lanes // min(cores(), lanes)) * _LANE
    return [(low, min(low + share, width)) for low in range(0, width, share)]


def _add(
    rows: Elements,
    data: Elements,
    stretches: Sequence[tuple[tuple[int, int], Elements]],
    step: Elements,
    part: tuple[int, int],
) -> None:
    """Add ``data`` in the columns ``part`` to the rows of ``stretches``, each with a table for its first row."""
    one, other = np.empty(_LANE, np.uint16), np.empty(_LANE, np.uint16)
    for low in range(part[0], part[1], _LANE):
        high = min(low + _LANE, part[1])
        lane = data[low:high]
        for (first, count), table in stretches:
            now, then = one[: high - low], other[: high - low]
            np.take(table, lane, out=now, mode="wrap")
            for row in range(first, first + count):
                target = rows[row, low:high]
                np.bitwise_xor(target, now, out=target)
                if row + 1 < first + count:  # the next power is the last one times the constant: one table for all rows
                    np.take(step, now, out=then, mode="wrap")
                    now, then = then, now
