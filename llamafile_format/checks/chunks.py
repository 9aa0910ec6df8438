"""Every byte against its digest (spec/1, chapter 6): the chunk list read once, pieces hashed on all cores.

The list and the manifest guard each other. A piece that does not match its line is damage, unless the digests that were
found give the chunk root that the manifest names: then the list is damaged and the data is not.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.claims import Claims
from llamafile_format.manifest.hashing import Piece, Proven, Sink, check_pieces, digest_range
from llamafile_format.manifest.layout import Tile, chunk_line, tiles
from llamafile_format.manifest.merkle import CHUNK_SIZE, chunk_root, pieces
from llamafile_format.manifest.model import CHUNKS_PATH, Manifest, Member
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, Window

_PREFIX = "\0prefix"  # cannot be the name of a member (clause 4.8.1)
_TEXT = 1 << 20  # bytes of the chunk list in memory at a time


@dataclass(slots=True)
class _List:
    """The chunk list as it is read: digests by member path, and what is wrong with the text."""

    digests: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    digests512: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))  # of members read apart
    findings: list[Finding] = field(default_factory=list)
    intact: bool = True
    sha256: str = ""


Faults = dict[str, list[tuple[Tile, bytes, bool, bool]]]
"""By path: (tile, SHA-256 found, digest differs, CRC differs)."""


def check_chunks(
    source: ByteSource,
    claims: Claims,
    *,
    whole: Collection[str] = (),
    sink: Sink | None = None,
    progress: Advance | None = None,
    proven: Proven | None = None,
    workers: int | None = None,
) -> Iterator[Finding]:
    """Hash all of [0, end of the chunk list) against list and manifest. Raises SourceError when reading fails.

    Of the members ``whole`` (paths) the whole digests and the CRC are computed too, in the same read. ``sink`` is
    given the bytes by their offset in ``source`` as they pass, each once, from several threads. What is ``proven`` is
    neither read nor given to it; members ``whole`` are read whatever is. ``workers`` threads read and hash: more than
    there are cores where reading is waiting.
    """
    text = _List()
    singles = {m.path: m for m in claims.manifest.members if 0 < m.size <= CHUNK_SIZE and m.path != "-"}
    apart = {m.path for m in claims.manifest.members if m.path in whole and (m.size > CHUNK_SIZE or m.sha512)}
    wrong: Faults = defaultdict(list)
    expected = _expected(source, claims, text, singles, apart)
    for mismatch in check_pieces(source, expected, sink=sink, progress=progress, proven=proven, workers=workers):
        piece = mismatch.piece
        path = _path_at(claims, piece.offset)
        tile = Tile(piece.offset, piece.length, path)
        wrong[path].append((tile, mismatch.sha256, mismatch.digest, mismatch.crc32))
    of_wholes = [
        finding
        for member in claims.manifest.members
        if member.path in apart
        for finding in _check_whole(source, member, text, wrong, sink=sink, progress=progress)
    ]
    yield from text.findings
    yield from _judge_roots(claims, text, wrong)
    for path, faults in wrong.items():
        member = claims.manifest.member(path)
        spared = not text.intact and _list_is_wrong(claims, text, member, faults)
        for tile, _, digest, crc in faults:
            if digest and not spared:
                yield _damage(tile, member)
            elif crc and member is not None:
                yield _finding("LF4005", member, path=path, crc32=member.crc32)
    yield from _check_digests_of_singles(claims, text)
    # Damage that was located explains a wrong whole digest; saying it twice would hide the place.
    yield from (finding for finding in of_wholes if finding.where.member not in wrong)


def check_contradictions(manifest: Manifest) -> Iterator[Finding]:
    """Digests that no data has, whatever they are: of a member of one chunk the root follows from the digest beside it,
    and of an empty one everything is known."""
    for member in manifest.members:
        leaves = [bytes.fromhex(member.sha256)] if member.size else []
        if member.size <= CHUNK_SIZE and chunk_root(leaves).hex() != member.chunk_root:
            yield _finding("LF4007", member, path=member.path)
        if not member.size:
            yield from _check_empty(member)


def _finding(rule: str, member: Member, **args: str | int) -> Finding:
    return Finding(rule, Where(offset=member.offset, length=member.size, member=member.path), args)


def _damage(tile: Tile, member: Member | None) -> Finding:
    """Damage located: span, member, and which 4 MiB chunk of it."""
    where = Where(offset=tile.offset, length=tile.length, member=tile.path if member else "")
    if member is None:
        span = "the prefix" if tile.path == _PREFIX else "headers and gaps"
        return Finding("LF4008", where, {"span": span, "offset": tile.offset, "length": tile.length})
    index = (tile.offset - member.offset) // CHUNK_SIZE
    total = -(-member.size // CHUNK_SIZE)
    args: dict[str, str | int] = {
        "path": member.path,
        "chunk": index + 1,
        "chunks": total,
        "offset": tile.offset,
        "length": tile.length,
    }
    return Finding("LF4001", where, args)


def _expected(
    source: ByteSource, claims: Claims, text: _List, singles: dict[str, Member], apart: set[str]
) -> Iterator[Piece]:
    """The pieces that the chunk list names, each line checked against the tiling; fills ``text`` on the way.

    Members in ``apart`` are read elsewhere.
    """
    chunks = claims.manifest.members[-1]
    lines = _lines(source, chunks, text)
    wide = claims.manifest.profile == "archive"
    for tile in tiles(claims.layout.prefix_size, claims.layout.members):
        line = next(lines, b"")
        small, large = line[:64], b""
        if wide:
            start = len(chunk_line(tile, b"\0" * 32)) - len(tile.path.encode()) - 1
            large = line[start : start + 128]
        sha256, sha512 = _hex(small, 32), _hex(large, 64)
        if sha256 is None or (wide and sha512 is None) or chunk_line(tile, sha256, sha512 or b"") != line:
            _bad_line(text, chunks, tile, line)
            continue
        if tile.path != "-":
            text.digests[tile.path].append(sha256)
        if tile.path in apart:
            if sha512:
                text.digests512[tile.path].append(sha512)
            continue
        single = singles.get(tile.path)
        yield Piece(tile.offset, tile.length, sha256, sha512 or b"", int(single.crc32, 16) if single else None)
    if next(lines, b""):
        _bad_line(text, chunks, Tile(chunks.offset + chunks.size, 0, "-"), b"more lines")
        deque(lines, maxlen=0)  # to its end: the digest is that of the whole list, however many lines it has
    if text.sha256 != chunks.sha256:
        text.intact = False
        text.findings.append(_finding("LF4003", chunks, found=text.sha256, expected=chunks.sha256))


def _bad_line(text: _List, chunks: Member, tile: Tile, line: bytes) -> None:
    if not any(finding.rule == "LF4002" for finding in text.findings):  # one shifted line makes all that follow wrong
        args: dict[str, str | int] = {"offset": tile.offset, "length": tile.length, "found": repr(line[:96])}
        text.findings.append(Finding("LF4002", Where(offset=chunks.offset, member=CHUNKS_PATH), args))


def _hex(text: bytes, length: int) -> bytes | None:
    """The digest in lower-case hex ``text``; None if it is anything else."""
    if len(text) != 2 * length or text != text.lower() or not text.isalnum():
        return None
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return None


def _lines(source: ByteSource, chunks: Member, text: _List) -> Iterator[bytes]:
    """Lines of the chunk list with their line feed; its digest and CRC are taken on the way."""
    digest, crc, rest = hashlib.sha256(), 0, b""
    for at in range(0, chunks.size, _TEXT):
        block = source.read_at(chunks.offset + at, min(_TEXT, chunks.size - at))
        digest.update(block)
        crc = zlib.crc32(block, crc)
        rest += block
        *whole, rest = rest.split(b"\n")
        yield from (line + b"\n" for line in whole)
        rest = rest[:_TEXT]  # of a line that is no line its beginning is enough
    if rest:
        yield rest
    text.sha256 = digest.hexdigest()
    if text.sha256 == chunks.sha256 and crc != int(chunks.crc32, 16):
        text.findings.append(_finding("LF4005", chunks, path=chunks.path, crc32=chunks.crc32))


def _path_at(claims: Claims, offset: int) -> str:
    """Member path of a piece of data, ``_PREFIX`` for the prefix, ``-`` for headers and gaps."""
    if offset < claims.layout.prefix_size:
        return _PREFIX
    low, high = 0, len(claims.layout.members)
    while low < high:  # bisection: the members lie in file order
        middle = (low + high) // 2
        if claims.layout.members[middle].end <= offset:
            low = middle + 1
        else:
            high = middle
    placed = claims.layout.members[low] if low < len(claims.layout.members) else None
    return placed.path if placed is not None and offset >= placed.data_offset else "-"


def _judge_roots(
    claims: Claims, text: _List, wrong: dict[str, list[tuple[Tile, bytes, bool, bool]]]
) -> Iterator[Finding]:
    """Chunk roots of intact members; a damaged list or a damaged member has been reported already."""
    if not text.intact or any(finding.rule == "LF4002" for finding in text.findings):
        return
    for member in claims.manifest.members[:-1]:
        if (
            member.path != "-"
            and member.path not in wrong
            and chunk_root(text.digests.get(member.path, [])).hex() != member.chunk_root
        ):
            yield _finding("LF4007", member, path=member.path)
    chunks = claims.manifest.members[-1]
    if chunks.size <= CHUNK_SIZE:
        leaves = [bytes.fromhex(text.sha256)] if chunks.size else []
        if chunk_root(leaves).hex() != chunks.chunk_root:
            yield _finding("LF4007", chunks, path=chunks.path)


def _list_is_wrong(
    claims: Claims, text: _List, member: Member | None, faults: list[tuple[Tile, bytes, bool, bool]]
) -> bool:
    """True if the digests found in the data give the digest that the manifest names: the list is what is damaged."""
    found = {tile.offset: digest for tile, digest, _, _ in faults}
    if member is None:
        prefix = claims.manifest.prefix
        return [*found] == [0] and prefix.size <= CHUNK_SIZE and found[0].hex() == prefix.sha256
    digests = text.digests[member.path]
    count = -(-member.size // CHUNK_SIZE)
    if len(digests) != count:
        return False
    actual = [
        found.get(at, digest) for (at, _), digest in zip(pieces(member.offset, member.size), digests, strict=True)
    ]
    return chunk_root(actual).hex() == member.chunk_root


def _check_digests_of_singles(claims: Claims, text: _List) -> Iterator[Finding]:
    """Whole-member digests of members that are one chunk: the chunk digest is the member's."""
    if not text.intact:
        return
    for member in claims.manifest.members[:-1]:
        digests = text.digests.get(member.path, [])
        if not member.size:
            yield from _check_empty(member)
        elif len(digests) == 1 and digests[0].hex() != member.sha256:
            yield _finding("LF4004", member, path=member.path, expected=member.sha256)
    prefix = claims.manifest.prefix
    if not prefix.size and prefix.sha256 != hashlib.sha256(b"").hexdigest():
        yield Finding("LF4009", Where(field="prefix.sha256"), {"field": "prefix.sha256", "expected": prefix.sha256})


def _check_empty(member: Member) -> Iterator[Finding]:
    if member.sha256 != hashlib.sha256(b"").hexdigest():
        yield _finding("LF4004", member, path=member.path, expected=member.sha256)
    if int(member.crc32, 16):
        yield _finding("LF4005", member, path=member.path, crc32=member.crc32)


def _check_whole(
    source: ByteSource, member: Member, text: _List, wrong: Faults, *, sink: Sink | None, progress: Advance | None
) -> Iterator[Finding]:
    """One read of a member for its chunk digests (differences go to ``wrong``), whole digests and CRC."""
    wide = bool(member.sha512)
    placed = (lambda at, view: sink(member.offset + at, view)) if sink else None
    found = digest_range(source, member.offset, member.size, sha512=wide, sink=placed, progress=progress)
    listed, listed512 = text.digests.get(member.path, []), text.digests512.get(member.path, [])
    for index, ((at, count), digest) in enumerate(zip(pieces(member.offset, member.size), found.chunks, strict=True)):
        small = index < len(listed) and digest != listed[index]
        large = index < len(listed512) and found.chunks512[index] != listed512[index]
        if small or large:
            wrong[member.path].append((Tile(at, count, member.path), digest, True, False))
    if found.sha256.hex() != member.sha256:
        yield _finding("LF4004", member, path=member.path, expected=member.sha256)
    if found.crc32 != int(member.crc32, 16):
        yield _finding("LF4005", member, path=member.path, crc32=member.crc32)
    if wide and found.sha512.hex() != member.sha512:
        yield _finding("LF4006", member, path=member.path, expected=member.sha512)
    if member.path == CHUNKS_PATH and found.root.hex() != member.chunk_root:
        yield _finding("LF4007", member, path=member.path)


def check_prefix_digests(source: ByteSource, claims: Claims, *, progress: Advance | None = None) -> Iterator[Finding]:
    """SHA-256 (and SHA-512) of prefix and engine against the manifest."""
    prefix = claims.manifest.prefix
    if not prefix.size:
        return
    state, large = hashlib.sha256(), hashlib.sha512()
    window = Window(source, 0, prefix.size)
    for at, count in pieces(0, prefix.engine_size):
        block = window.read_at(at, count)
        state.update(block)
        if prefix.sha512:
            large.update(block)
        if progress:
            progress(count)
    engine = state.hexdigest()
    padding = window.read_at(prefix.engine_size, prefix.size - prefix.engine_size)
    state.update(padding)
    large.update(padding)
    for name, found, expected in (
        ("prefix.engine_sha256", engine, prefix.engine_sha256),
        ("prefix.sha256", state.hexdigest(), prefix.sha256),
        ("prefix.sha512", large.hexdigest() if prefix.sha512 else "", prefix.sha512),
    ):
        if found != expected:
            where = Where(offset=0, length=prefix.size, field=name)
            yield Finding("LF4009", where, {"field": name, "expected": expected})
