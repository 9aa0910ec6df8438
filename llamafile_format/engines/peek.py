"""A program as its headers are read: at any place, in small pieces, and not for ever.

A verifier reads programs from files of strangers, whose headers may lead round in circles or to places that are not
there. Whoever reads through this needs no other bound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from llamafile_format.source import ByteSource

MAX_READS = 1 << 17
"""Pieces read of one program; the largest that was seen takes 3,000."""
MAX_PIECE = 1 << 20  # bytes of a piece
MAX_NAME = 4096  # bytes of a name
_BLOCK = 1 << 12


class Senseless(ValueError):
    """The headers lead to a place that is not there, or do not come to an end."""


class Peek:
    """Bytes of a program in ``source``, by offset. Every method raises Senseless for what is not there."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._left = MAX_READS
        self._at, self._block = 0, b""
        self.size = source.size

    def bytes(self, at: int, size: int) -> bytes:
        """The ``size`` bytes at ``at``."""
        self._left -= 1
        if not 0 <= at <= self._source.size - size or not 0 <= size <= MAX_PIECE or self._left < 0:
            raise Senseless
        if not self._at <= at <= at + size <= self._at + len(self._block):
            self._at, self._block = at, self._source.read_at(at, min(max(size, _BLOCK), self._source.size - at))
        return self._block[at - self._at : at - self._at + size]

    def unpack(self, form: str, at: int) -> tuple[Any, ...]:
        """The values of ``form`` at ``at`` (see :mod:`struct`)."""
        return struct.unpack(form, self.bytes(at, struct.calcsize(form)))

    def rows(self, form: str, at: int, count: int) -> Iterator[tuple[Any, ...]]:
        """``count`` rows of ``form``, the first at ``at``."""
        size = struct.calcsize(form)
        for index in range(count):
            yield self.unpack(form, at + index * size)

    def name(self, at: int) -> str:
        """The text at ``at`` up to a NUL, in UTF-8."""
        data = self.bytes(at, max(0, min(MAX_NAME, self._source.size - at)))
        end = data.find(b"\0")
        if end < 0:
            raise Senseless
        return data[:end].decode("utf-8")
