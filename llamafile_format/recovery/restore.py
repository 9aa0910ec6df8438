"""From intact slices and recovery slices to the lost ones (spec/1, 17.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from llamafile_format.progress import Advance
from llamafile_format.recovery.field import LOG, Elements, times
from llamafile_format.recovery.find import Places
from llamafile_format.recovery.parity import BAND_BYTES, Read, bands, sums
from llamafile_format.recovery.sets import RecoverySet
from llamafile_format.recovery.solve import choose

Write = Callable[[int, bytes], None]
"""Called with (offset in the protected range, bytes)."""


def lost_slices(wanted: RecoverySet, places: Places) -> list[int]:
    """Numbers of the slices that are nowhere, ascending."""
    return [index for index in range(wanted.geometry.slices) if index not in places]


def solve_lost(wanted: RecoverySet, places: Places, write: Write, *, progress: Advance | None = None) -> list[int]:
    """Compute the slices that are in no place, and hand their bytes to ``write``; their numbers.

    FormatError if too few recovery slices are left, or none that determine them. Nothing is written then.
    """
    geometry = wanted.geometry
    lost = lost_slices(wanted, places)
    if not lost:
        return []
    exponents, inverse = choose(geometry.slices, lost, sorted(wanted.parity))
    known = sorted(places)
    for offset, width in bands(geometry.slice_size, 2 * len(lost), memory=BAND_BYTES):
        rows = np.stack([_parity(wanted, exponent, offset, width) for exponent in exponents])
        rows ^= sums(
            exponents, known, _reader(wanted, places), (offset, width), slices=geometry.slices, progress=progress
        )
        for index, row in zip(lost, _product(inverse, rows), strict=True):
            there = max(0, min(width, geometry.size_of(index) - offset))
            write(index * geometry.slice_size + offset, row.tobytes()[:there])
    return lost


def _parity(wanted: RecoverySet, exponent: int, offset: int, width: int) -> Elements:
    packet = wanted.parity[exponent]
    data = packet.source.read_at(packet.offset + 4 + offset, width)
    return np.frombuffer(data, np.dtype("<u2")).astype(np.uint16)


def _reader(wanted: RecoverySet, places: Places) -> Read:
    """Reads parts of slices from wherever they are, zeros behind the end of the range."""

    def read(index: int, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` of slice ``index``."""
        place = places[index]
        there = max(0, min(length, wanted.geometry.size_of(index) - offset))
        data = place.source.read_at(place.offset + offset, there) if there else b""
        return data + bytes(length - there)

    return read


def _product(inverse: Elements, rows: Elements) -> Sequence[Elements]:
    """The matrix ``inverse`` times ``rows``."""
    from concurrent.futures import ThreadPoolExecutor

    from llamafile_format.manifest.hashing import cores

    def row_of(factors: Elements) -> Elements:
        """One row of the product."""
        total, part = np.zeros(rows.shape[1], np.uint16), np.empty(rows.shape[1], np.uint16)
        for factor, row in zip(factors, rows, strict=True):
            if factor:
                np.take(times(int(LOG[factor])), row, out=part, mode="wrap")
                np.bitwise_xor(total, part, out=total)
        return total

    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(row_of, inverse))
