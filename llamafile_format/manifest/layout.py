"""Where everything in a container lies, computed from sizes alone (spec/1, 4.4 to 4.8).

All digests are fixed-width hex, so the length of ``chunks.txt``, and with it every offset, is known before a byte is
hashed. The verifier computes the same layout from a manifest and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llamafile_format.manifest.merkle import CHUNK_SIZE, pieces
from llamafile_format.manifest.model import CHUNKS_PATH, MANIFEST_PATH
from llamafile_format.zip.writer import Placed, layout, place

_SHA256_HEX = 64
_SHA512_HEX = 128


@dataclass(frozen=True, slots=True)
class Tile:
    """One line of ``chunks.txt``: at most 4 MiB of one span. ``path`` is ``-`` for everything but member data."""

    offset: int
    length: int
    path: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of all members: ``members`` without chunks and manifest, then ``chunks``."""

    prefix_size: int
    members: tuple[Placed, ...]
    chunks: Placed

    def manifest(self, size: int) -> Placed:
        """The place of a manifest of ``size`` bytes: directly behind the chunk list."""
        return place(self.chunks.end, MANIFEST_PATH, size, 1)


def plan(prefix_size: int, members: Sequence[tuple[str, int, int]], *, sha512: bool = False) -> Layout:
    """The layout of (path, size, alignment) triples in file order, behind ``prefix_size`` bytes of prefix."""
    placed = layout(prefix_size, members)
    size = _list_length(prefix_size, placed, sha512=sha512)
    end = placed[-1].end if placed else prefix_size
    return Layout(prefix_size, tuple(placed), place(end, CHUNKS_PATH, size, 1))


def tiles(prefix_size: int, members: Iterable[Placed]) -> Iterator[Tile]:
    """The tiling of [0, local header of the chunk list): prefix, then per member gap and header, and data."""
    yield from (Tile(at, count, "-") for at, count in pieces(0, prefix_size))
    for member in members:
        structure = member.data_offset - member.gap_offset
        yield from (Tile(at, count, "-") for at, count in pieces(member.gap_offset, structure))
        yield from (Tile(at, count, member.path) for at, count in pieces(member.data_offset, member.size))


def _list_length(prefix_size: int, members: Iterable[Placed], *, sha512: bool) -> int:
    """Bytes of the chunk list: the sum of :func:`line_length` over :func:`tiles`, without making a tile."""
    total = _span_length(0, prefix_size, 1, sha512)
    for member in members:
        total += _span_length(member.gap_offset, member.data_offset - member.gap_offset, 1, sha512)
        total += _span_length(member.data_offset, member.size, len(member.path.encode("utf-8")), sha512)
    return total


def _span_length(offset: int, length: int, path: int, sha512: bool) -> int:
    whole, rest = divmod(length, CHUNK_SIZE)
    count = whole + (rest > 0)
    fixed = _SHA256_HEX + 4 + path + ((_SHA512_HEX + 1) if sha512 else 0)  # three blanks and the line feed
    lengths = whole * len(str(CHUNK_SIZE)) + (len(str(rest)) if rest else 0)
    return count * fixed + lengths + _digits(offset, count)


def _digits(first: int, count: int) -> int:
    """Decimal digits of the ``count`` numbers ``first``, ``first + CHUNK_SIZE``, and so on, all together."""
    total = done = 0
    while done < count:
        digits = len(str(first + done * CHUNK_SIZE))
        same = min(count, -(-(10**digits - first) // CHUNK_SIZE))  # how many numbers stay below the next power of ten
        total += (same - done) * digits
        done = same
    return total


def line_length(tile: Tile, *, sha512: bool = False) -> int:
    """Bytes of the chunk line of ``tile``, line feed included."""
    digits = len(str(tile.offset)) + len(str(tile.length))
    path = len(tile.path.encode("utf-8"))
    return _SHA256_HEX + 1 + digits + 2 + ((_SHA512_HEX + 1) if sha512 else 0) + path + 1


def chunk_line(tile: Tile, sha256: bytes, sha512: bytes = b"") -> bytes:
    """One line: ``sha256 offset length [sha512] path`` (clause 6.2)."""
    second = f"{sha512.hex()} " if sha512 else ""
    return f"{sha256.hex()} {tile.offset} {tile.length} {second}{tile.path}\n".encode()
