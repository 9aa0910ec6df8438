"""How a range of bytes is cut into slices, and how many recovery slices go with them (spec/1, 17.2)."""

from __future__ import annotations

from dataclasses import dataclass

MOST_SLICES = 2000
"""Of our own sets. Cost grows with slices times recovery slices, and what one rotten sector costs shrinks with them."""

SMALLEST_SLICE = 4096
MAX_SLICES = 32_768
"""Of any set: there are so many constants in the field (PAR 2.0)."""

MAX_PERCENT = 100
MAX_EXPONENT = 65_534
MAX_LENGTH = 1 << 62


@dataclass(frozen=True, slots=True)
class Geometry:
    """``length`` bytes in slices of ``slice_size``; the last one is filled up with zeros. ``recovery`` slices protect
    them."""

    length: int
    slice_size: int
    recovery: int

    @property
    def slices(self) -> int:
        """How many slices there are."""
        return -(-self.length // self.slice_size)

    def size_of(self, index: int) -> int:
        """Bytes of slice ``index`` that are in the range, without the zeros behind them."""
        return min(self.slice_size, self.length - index * self.slice_size)


def geometry_of(length: int, percent: int) -> Geometry:
    """The geometry of ``length`` bytes, at least one, protected by ``percent`` of their slices."""
    size = SMALLEST_SLICE
    while -(-length // size) > MOST_SLICES:
        size *= 2
    return Geometry(length, size, recovery_slices(-(-length // size), percent))


def recovery_slices(slices: int, percent: int) -> int:
    """How many recovery slices ``percent`` of ``slices`` are: rounded up."""
    return -(-slices * percent // 100)
