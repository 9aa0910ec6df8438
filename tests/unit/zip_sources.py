"""Byte sources for tests: huge and mostly zero, or counting what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llamafile_format.errors import SourceError


class Sparse:
    """``size`` zero bytes with ``pieces`` (offset: bytes) laid over them; counts the bytes that are read."""

    def __init__(self, size: int, pieces: Mapping[int, bytes]) -> None:
        self.name = "sparse"
        self.size = size
        self.pieces = dict(pieces)
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"read of {length} at {offset} leaves {self.size}")
        self.read += length
        out = bytearray(length)
        for at, data in self.pieces.items():
            low, high = max(at, offset), min(at + len(data), offset + length)
            if low < high:
                out[low - offset : high - offset] = data[low - at : high - at]
        return bytes(out)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read_at(offset, length) for offset, length in ranges]
