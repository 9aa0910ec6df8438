"""A source that stops at limits: what reading a file of a stranger may cost, wherever the file lies."""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.source.base import ByteSource, Range
from llamafile_format.source.traffic import Limits, Traffic


class Metered:
    """``origin``, read until a limit is met; then every read is a SourceError. Each read counts as a request."""

    __slots__ = ("_traffic", "name", "origin", "size")

    def __init__(self, origin: ByteSource, limits: Limits) -> None:
        self.origin = origin
        self.name = origin.name
        self.size = origin.size
        self._traffic = Traffic(origin.name, limits)

    def _count(self, length: int) -> None:
        self._traffic.request(length)
        self._traffic.received(length)

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        self._traffic.round()
        self._count(length)
        return self.origin.read_at(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        self._traffic.round()
        self._count(len(buffer))
        self.origin.read_into(offset, buffer)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        self._traffic.round()
        for _, length in ranges:
            self._count(length)
        return self.origin.read_ranges(ranges)
