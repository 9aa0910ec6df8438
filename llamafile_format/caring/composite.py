"""One file out of several damaged copies: each chunk from whoever has it right, by its SHA-256 (spec/1, 17.5.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.caring.losses import Span
from llamafile_format.caring.mosaic import Mosaic, Piece
from llamafile_format.caring.survivors import Survivor
from llamafile_format.errors import SourceError
from llamafile_format.manifest.hashing import Piece as Expected
from llamafile_format.manifest.hashing import check_pieces
from llamafile_format.manifest.layout import Layout, chunk_line, tiles
from llamafile_format.manifest.model import Member
from llamafile_format.source import ByteSource, BytesSource

_MAX_LIST = 256 << 20  # bytes: the list of 4 TB in the widest profile


@dataclass(frozen=True, slots=True)
class Composite:
    """[0, chunk list) as well as it can be had. ``lost`` are the chunks that nobody has right; ``text`` is the list."""

    front: Mosaic
    lost: tuple[Span, ...]
    text: bytes


def compose(survivor: Survivor, where: Layout, sources: Sequence[ByteSource]) -> Composite | None:
    """What ``sources`` have of the container of ``survivor``; None if no source has its chunk list."""
    text = _intact_list(survivor.manifest.members[-1], where, sources)
    if text is None:
        return None
    expected = _expected(survivor, where, text)
    if expected is None:
        return None
    chosen: dict[int, ByteSource] = {}
    for source in sources:
        asked = [each for each in expected if each.offset not in chosen and each.offset + each.length <= source.size]
        try:
            wrong = {item.piece.offset for item in check_pieces(source, asked) if item.digest}
        except SourceError:  # a server that stopped answering has nothing right from here on
            continue
        chosen.update((each.offset, source) for each in asked if each.offset not in wrong)
    pieces, lost = [], []
    for each in expected:
        found = chosen.get(each.offset)
        if found is None:
            lost.append((each.offset, each.length))
        pieces.append(_piece(each, found, sources))
    return Composite(Mosaic(sources[0].name, pieces), tuple(lost), text)


def _piece(each: Expected, found: ByteSource | None, sources: Sequence[ByteSource]) -> Piece:
    """The chunk from ``found``; a lost one as it stands in the first source, or zeros: slices in it may be intact."""
    first = sources[0]
    if found is None and each.offset + each.length > first.size:
        return Piece(each.offset, each.length, BytesSource(bytes(each.length)), 0)
    return Piece(each.offset, each.length, found or first, each.offset)


def _intact_list(chunks: Member, where: Layout, sources: Sequence[ByteSource]) -> bytes | None:
    """The chunk list's bytes, from the first source that has them with the digest that the manifest names."""
    if chunks.size != where.chunks.size or chunks.offset != where.chunks.data_offset or chunks.size > _MAX_LIST:
        return None
    for source in sources:
        if chunks.offset + chunks.size > source.size:
            continue
        try:
            text = source.read_at(chunks.offset, chunks.size)
        except SourceError:
            continue
        if hashlib.sha256(text).hexdigest() == chunks.sha256:
            return text
    return None


def _expected(survivor: Survivor, where: Layout, text: bytes) -> list[Expected] | None:
    """The chunks that ``text`` names; None if it is not the list of this layout."""
    lines = text.splitlines(keepends=True)
    wide = survivor.manifest.profile == "archive"
    result = []
    for number, tile in enumerate(tiles(where.prefix_size, where.members)):
        line = lines[number] if number < len(lines) else b""
        try:
            sha256 = bytes.fromhex(line[:64].decode("ascii"))
            start = len(chunk_line(tile, bytes(32))) - len(tile.path.encode()) - 1
            sha512 = bytes.fromhex(line[start : start + 128].decode("ascii")) if wide else b""
        except ValueError:
            return None
        if chunk_line(tile, sha256, sha512) != line:
            return None
        result.append(Expected(tile.offset, tile.length, sha256, sha512))
    return result if len(result) == len(lines) else None
