"""Slices that lie elsewhere than they should, because bytes were deleted or inserted in front of them.

The CRC-32 of a window at every offset of a stretch: CRC registers are linear, so that of a window follows from the
registers at its two ends, and registers at all offsets are computed for many lanes at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from llamafile_format.manifest.merkle import shift_operator
from llamafile_format.source import ByteSource

Registers = npt.NDArray[np.uint32]

_ONES = 0xFFFF_FFFF
_LANE = 256  # bytes of a lane
_FIRST, _MOST = 1 << 16, 1 << 20  # windows looked at in a step: few at first, because most slices are found at once
_FILTER = 20  # bits


def _table() -> Registers:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1).astype(np.uint32)
    return table


_TABLE = _table()


class WindowSearch:
    """Looks for windows of ``size`` bytes that have one of the CRC-32 ``wanted``."""

    def __init__(self, size: int, wanted: frozenset[int]) -> None:
        self.size = size
        self._wanted = np.array(sorted(wanted), np.uint32)
        self._filter = np.zeros(1 << _FILTER, np.bool_)
        self._filter[self._wanted & ((1 << _FILTER) - 1)] = True
        operator = shift_operator(size)
        self._shift = [
            np.array([_applied(operator, value << shift) for value in range(256)], np.uint32)
            for shift in (0, 8, 16, 24)
        ]
        self._constant = np.uint32(_applied(operator, _ONES) ^ _ONES)

    def hits(self, source: ByteSource, low: int, high: int) -> Iterator[int]:
        """Offsets in [low, high - size], ascending, of windows with a wanted CRC-32."""
        front, back = 0, _register(source, low, self.size)  # from the register 0 at ``low``
        at, count = low, _FIRST
        while at + self.size <= high:
            windows = min(count, high - self.size - at + 1)
            begins, front = _registers(source, at, windows, front)
            ends, back = _registers(source, at + self.size, windows, back)
            crcs = ends ^ self._shifted(begins) ^ self._constant
            near = np.flatnonzero(self._filter[crcs & ((1 << _FILTER) - 1)])
            for place in near[np.isin(crcs[near], self._wanted)]:
                yield at + int(place)
            at, count = at + windows, min(2 * count, _MOST)

    def _shifted(self, registers: Registers) -> Registers:
        """Registers behind ``size`` bytes of zeros."""
        result: Registers = self._shift[0][registers & 255]
        for number in (1, 2, 3):
            result ^= self._shift[number][(registers >> (8 * number)) & 255]
        return result


def _applied(operator: tuple[int, ...], vector: int) -> int:
    result = 0
    for bit in range(32):
        if vector >> bit & 1:
            result ^= operator[bit]
    return result


def _register(source: ByteSource, at: int, length: int, start: int = 0) -> int:
    """The register behind ``length`` bytes from ``at``, or as many as there are."""
    state, end = start ^ _ONES, min(at + length, source.size)
    for place in range(at, end, 1 << 20):
        state = zlib.crc32(source.read_at(place, min(1 << 20, end - place)), state)
    return state ^ _ONES


def _registers(source: ByteSource, at: int, count: int, start: int) -> tuple[Registers, int]:
    """Registers in front of each of ``count`` bytes from ``at``, and the one behind the last.

    Behind the end of the source there are zeros: the last window of all ends there.
    """
    there = max(0, min(count, source.size - at))
    lanes = -(-count // _LANE)
    data = np.zeros(lanes * _LANE, np.uint8)
    data[:there] = np.frombuffer(source.read_at(at, there) if there else b"", np.uint8)
    starts, state = np.empty(lanes, np.uint32), start ^ _ONES
    blob = data.tobytes()
    for lane in range(lanes):
        starts[lane] = state ^ _ONES
        state = zlib.crc32(memoryview(blob)[lane * _LANE : (lane + 1) * _LANE], state)
    rows = np.ascontiguousarray(data.reshape(lanes, _LANE).T)
    result = np.empty((_LANE, lanes), np.uint32)
    now = starts
    for column in range(_LANE):
        result[column] = now
        now = _TABLE[(now ^ rows[column]) & 255] ^ (now >> np.uint32(8))
    registers = np.ascontiguousarray(result.T).reshape(-1)[:count]
    return registers, _register_behind(blob, count, start)


def _register_behind(blob: bytes, count: int, start: int) -> int:
    return zlib.crc32(memoryview(blob)[:count], start ^ _ONES) ^ _ONES
