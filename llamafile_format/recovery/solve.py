"""Which recovery slices can give the lost ones back, and by which matrix (spec/1, 17.3.4).

Consecutive exponents always can: their matrix is one of Vandermonde's, with different constants, times a diagonal. With
holes between them it can be singular, and other recovery slices are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.recovery.field import EXP, ORDER, Elements, constants, inverse_of, outer
from llamafile_format.recovery.parity import runs

MAX_LOST = 2048
"""Slices that are solved for at once; of our own sets there are no more than 2,000."""

SPARE = 1024
"""Recovery slices beyond the number of lost ones that are tried; a singular choice is rare unless it was made."""

_BLOCK = 256  # rows at a time, so that products fit in some ten megabytes


def choose(slices: int, lost: Sequence[int], exponents: Sequence[int]) -> tuple[list[int], Elements]:
    """Exponents, as many as are ``lost``, and the matrix that turns their remainders into the lost slices.

    ``exponents`` are those that are there, ascending. FormatError if they do not determine the lost ones.
    """
    if len(lost) > len(exponents):
        raise FormatError(
            f"{len(lost)} slices are lost, and {len(exponents)} recovery slices are left", clause="17.5.4"
        )
    if len(lost) > MAX_LOST:
        raise LimitExceeded("too many slices are lost", clause="17.6", found=len(lost), allowed=f"{MAX_LOST}")
    chosen = _consecutive(exponents, len(lost)) or _independent(slices, lost, exponents[: len(lost) + SPARE])
    return chosen, invert(_matrix(slices, lost, chosen))


def _consecutive(exponents: Sequence[int], count: int) -> list[int]:
    """The first ``count`` exponents that follow one another; none if there are not so many."""
    for first, length in runs(exponents):
        if length >= count:
            return list(exponents[first : first + count])
    return []


def _matrix(slices: int, lost: Sequence[int], exponents: Sequence[int]) -> Elements:
    """One row for each exponent: the powers of the constants of the lost slices."""
    logs = constants(slices)[np.array(lost, np.int64)]
    powers: Elements = EXP[(np.array(exponents, np.int64)[:, None] * logs[None, :]) % ORDER]
    return powers


def _independent(slices: int, lost: Sequence[int], exponents: Sequence[int]) -> list[int]:
    """Exponents whose rows are independent, found by elimination over all that may be tried."""
    rows, order = _matrix(slices, lost, exponents), list(range(len(exponents)))
    for column in range(len(lost)):
        pivots = np.flatnonzero(rows[column:, column])
        if not len(pivots):
            raise FormatError(
                f"the recovery slices that are left do not determine the {len(lost)} lost ones", clause="17.3.4"
            )
        pivot = column + int(pivots[0])
        rows[[column, pivot]] = rows[[pivot, column]]
        order[column], order[pivot] = order[pivot], order[column]
        rows[column] = _scaled(rows[column], inverse_of(int(rows[column, column])))
        _eliminate(rows, column, range(column + 1, len(rows)))
    return sorted(exponents[index] for index in order[: len(lost)])


def invert(matrix: Elements) -> Elements:
    """The inverse of a square ``matrix``. FormatError if it has none."""
    size = len(matrix)
    rows = np.concatenate([matrix, np.eye(size, dtype=np.uint16)], axis=1)
    for column in range(size):
        pivots = np.flatnonzero(rows[column:, column])
        if not len(pivots):
            raise FormatError("the recovery slices that are left do not determine the lost ones", clause="17.3.4")
        pivot = column + int(pivots[0])
        rows[[column, pivot]] = rows[[pivot, column]]
        rows[column] = _scaled(rows[column], inverse_of(int(rows[column, column])))
        _eliminate(rows, column, range(column))
        _eliminate(rows, column, range(column + 1, size))
    return np.ascontiguousarray(rows[:, size:])


def _scaled(row: Elements, factor: int) -> Elements:
    scaled: Elements = outer(np.array([factor], np.uint16), row)[0]
    return scaled


def _eliminate(rows: Elements, column: int, others: range) -> None:
    """Make ``column`` zero in the rows ``others`` by the row of that number, which has a one there."""
    for start in range(others.start, others.stop, _BLOCK):
        part = rows[start : min(start + _BLOCK, others.stop)]
        part ^= outer(part[:, column], rows[column])
