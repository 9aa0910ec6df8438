"""Where everything in a container lies, computed from sizes alone (spec/1.0, 4.4 to 4.8).

All digests are fixed-width hex, so the length of ``chunks.txt``, and with it every offset, is known before a byte is
hashed. The verifier computes the same layout from a manifest and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llamafile_format.manifest.hashing import pieces
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
    size = sum(line_length(tile, sha512=sha512) for tile in tiles(prefix_size, placed))
    end = placed[-1].end if placed else prefix_size
    return Layout(prefix_size, tuple(placed), place(end, CHUNKS_PATH, size, 1))


def tiles(prefix_size: int, members: Iterable[Placed]) -> Iterator[Tile]:
    """The tiling of [0, local header of the chunk list): prefix, then per member gap and header, and data."""
    yield from (Tile(at, count, "-") for at, count in pieces(0, prefix_size))
    for member in members:
        structure = member.data_offset - member.gap_offset
        yield from (Tile(at, count, "-") for at, count in pieces(member.gap_offset, structure))
        yield from (Tile(at, count, member.path) for at, count in pieces(member.data_offset, member.size))


def line_length(tile: Tile, *, sha512: bool = False) -> int:
    """Bytes of the chunk line of ``tile``, line feed included."""
    digits = len(str(tile.offset)) + len(str(tile.length))
    path = len(tile.path.encode("utf-8"))
    return _SHA256_HEX + 1 + digits + 2 + ((_SHA512_HEX + 1) if sha512 else 0) + path + 1


def chunk_line(tile: Tile, sha256: bytes, sha512: bytes = b"") -> bytes:
    """One line: ``sha256 offset length [sha512] path`` (clause 6.2)."""
    second = f"{sha512.hex()} " if sha512 else ""
    return f"{sha256.hex()} {tile.offset} {tile.length} {second}{tile.path}\n".encode()
