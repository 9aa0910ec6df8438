"""A file put together of pieces of others, read as one: a repaired file before anything is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.errors import SourceError
from llamafile_format.source import ByteSource, Range

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes at ``offset`` of the whole, which are those at ``start`` of ``source``."""

    offset: int
    length: int
    source: ByteSource
    start: int


class Mosaic:
    """``pieces``, which follow one another from byte 0 on, as a byte source."""

    def __init__(self, name: str, pieces: Sequence[Piece]) -> None:
        self.name = name
        self.pieces = joined(pieces)
        self.size = self.pieces[-1].offset + self.pieces[-1].length if self.pieces else 0
        self._offsets = [piece.offset for piece in self.pieces]

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")
        parts, index = [], bisect_right(self._offsets, offset) - 1
        while length:
            piece = self.pieces[index]
            skip = offset - piece.offset
            part = piece.source.read_at(piece.start + skip, min(length, piece.length - skip))
            parts.append(part)
            offset, length, index = offset + len(part), length - len(part), index + 1
        return b"".join(parts)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """``pieces`` with those made one that follow one another in one source."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if last is not None and last.source is piece.source and last.start + last.length == piece.start:
            result[-1] = Piece(last.offset, last.length + piece.length, last.source, last.start)
        elif piece.length:
            result.append(piece)
    return result


class Forgiving:
    """A source of which some bytes cannot be read: they are zeros, and so as wrong as if they had been read wrong."""

    def __init__(self, source: ByteSource) -> None:
        self.source, self.name, self.size = source, source.name, source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`; SourceError only for what lies outside."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")
        try:
            return self.source.read_at(offset, length)
        except SourceError:
            if length <= _BLOCK:
                return bytes(length)
            cut = min(length - 1, max(_BLOCK, length // 2 // _BLOCK * _BLOCK))
            return self.read_at(offset, cut) + self.read_at(offset + cut, length - cut)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]
