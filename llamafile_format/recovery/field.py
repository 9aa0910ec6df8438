"""The field of 65,536 elements that PAR2 computes in: addition is xor, the polynomial 0x1100B (spec/1, 17.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Elements = npt.NDArray[np.uint16]
Logarithms = npt.NDArray[np.int64]

ORDER = 65_535
"""Powers of 2 repeat after so many."""

_POLYNOMIAL = 0x1100B
_ZERO = 2 * ORDER  # the logarithm that stands for zero: every sum with it lies where EXP holds zeros


def _tables() -> tuple[Elements, Logarithms]:
    exp = np.zeros(4 * ORDER + 1, np.uint16)
    log = np.full(65_536, _ZERO, np.int64)
    value = 1
    for power in range(ORDER):
        exp[power] = exp[power + ORDER] = value
        log[value] = power
        value <<= 1
        if value & 0x10000:
            value ^= _POLYNOMIAL
    return exp, log


EXP, LOG = _tables()


def constants(count: int) -> Logarithms:
    """Logarithms of the constants of slices 0 to ``count`` - 1: what is not divisible by 3, 5, 17 or 257, in order."""
    powers = np.arange(1, ORDER, dtype=np.int64)
    usable: Logarithms = powers[(powers % 3 != 0) & (powers % 5 != 0) & (powers % 17 != 0) & (powers % 257 != 0)]
    if count > len(usable):
        raise ValueError(f"{count} slices are more than the {len(usable)} constants")
    return usable[:count]


def times(log: int) -> Elements:
    """The table of all products with 2 to the ``log``: multiplication is linear, so 512 products make 65,536."""
    power = log % ORDER
    low = EXP[LOG[np.arange(256)] + power]
    high = EXP[LOG[np.arange(256) << 8] + power]
    table: Elements = np.bitwise_xor(high[:, None], low[None, :]).reshape(-1)
    return table


def outer(column: Elements, row: Elements) -> Elements:
    """All products of an element of ``column`` with one of ``row``, as a matrix."""
    products: Elements = EXP[LOG[column][:, None] + LOG[row][None, :]]
    return products


def inverse_of(value: int) -> int:
    """What ``value``, which is not zero, is to be multiplied with to give 1."""
    return int(EXP[ORDER - int(LOG[value])])
