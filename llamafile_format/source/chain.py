"""Sources one behind the other, as one source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from llamafile_format.errors import SourceError
from llamafile_format.source.base import ByteSource, Range


class Chain:
    """The bytes of ``parts`` in their order, as one source called ``name``; nothing is copied before it is read."""

    __slots__ = ("_parts", "_starts", "name", "size")

    def __init__(self, name: str, parts: Sequence[ByteSource]) -> None:
        self.name = name
        self._parts = [part for part in parts if part.size]
        self._starts = [0, *accumulate(part.size for part in self._parts)]
        self.size = self._starts.pop()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        self._check(offset, len(buffer))
        index, done = bisect_right(self._starts, offset) - 1, 0
        while done < len(buffer):
            part, inside = self._parts[index], offset + done - self._starts[index]
            count = min(part.size - inside, len(buffer) - done)
            part.read_into(inside, buffer[done : done + count])
            index, done = index + 1, done + count

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        self._check(offset, length)
        data = bytearray(length)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")
