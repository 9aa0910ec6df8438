"""The interface of a byte source, and views over one.

A source is immutable while it is read: ``size`` is fixed when it is opened, reads are exact (all bytes or
:class:`SourceError`), thread-safe, and never map the file, because a file truncated under a mapping kills the process.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from llamafile_format.errors import SourceError

Range = tuple[int, int]
"""(offset, length) in bytes."""


@runtime_checkable
class ByteSource(Protocol):
    """Random access to ``size`` bytes. Offsets count from byte 0 of the source."""

    @property
    def name(self) -> str:
        """A label for messages: path or URL."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; SourceError if they are not all there."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; SourceError if the bytes are not all there. Allocates nothing."""

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """Many ranges at once, in the order asked; a remote source fetches them in one round."""


class Window:
    """``length`` bytes of ``source`` from ``offset``, as a source of its own (a member's data, a prefix)."""

    __slots__ = ("_offset", "_source", "name", "size")

    _source: ByteSource
    _offset: int

    def __init__(self, source: ByteSource, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > source.size:
            raise SourceError(f"{source.name}: window [{offset}, {offset + length}) leaves its {source.size} bytes")
        if isinstance(source, Window):  # flatten, so that windows of windows stay one addition away from the file
            offset += source._offset
            source = source._source
        self._source = source
        self._offset = offset
        self.name = source.name
        self.size = length

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves a window of {self.size} bytes")

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        self._check(offset, length)
        return self._source.read_at(self._offset + offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        self._check(offset, len(buffer))
        self._source.read_into(self._offset + offset, buffer)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        for offset, length in ranges:
            self._check(offset, length)
        return self._source.read_ranges([(self._offset + offset, length) for offset, length in ranges])


def read_struct(source: ByteSource, offset: int, layout: struct.Struct) -> tuple[Any, ...]:
    """Unpack ``layout`` at ``offset``."""
    return layout.unpack(source.read_at(offset, layout.size))


def find_last(source: ByteSource, needle: bytes, start: int, end: int, *, step: int = 1 << 20) -> int:
    """Offset of the last ``needle`` wholly inside [start, end), or -1; reads backwards, ``step`` bytes at a time."""
    high = min(end, source.size)
    while high - start >= len(needle):
        low = max(start, high - step)
        at = source.read_at(low, high - low).rfind(needle)
        if at >= 0:
            return low + at
        if low == start:
            return -1
        high = low + len(needle) - 1
    return -1
