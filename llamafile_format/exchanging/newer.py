"""A newer file, known by its end: manifest and records are read, and nothing of its members.

From the manifest follows where everything lies; the chunk list says by which digest each 4 MiB may be taken from
somewhere else. It is a stranger's, and as long as the file that it speaks of: it is read in pieces, and never held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.manifest.claims import layout_of
from llamafile_format.manifest.layout import Layout, Tile, chunk_line, tiles
from llamafile_format.manifest.model import MANIFEST_PATH, MAX_MANIFEST, Manifest
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.output.transfer import write_at
from llamafile_format.prefix.reverted import revert
from llamafile_format.rules import Severity, rule
from llamafile_format.signing.records.record import MAX_TAIL
from llamafile_format.source import ByteSource
from llamafile_format.zip.reader import MAX_DIRECTORY, read_directory, read_tail
from llamafile_format.zip.records import LOCAL_HEADER, LOCAL_MAGIC

_LARGEST_END = MAX_MANIFEST + MAX_TAIL + MAX_DIRECTORY + (1 << 20)
_LARGEST_LIST = 1 << 28
"""Bytes of a chunk list: one for 10 TB."""
_TEXT = 1 << 20
"""Bytes of a chunk list in memory at a time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A piece of a file by its chunk list."""

    tile: Tile
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Newer:
    """The file in ``source``: its manifest (``data``), its layout, and ``rest``: all bytes from the manifest's header
    on, which begins at ``start``."""

    source: ByteSource
    manifest: Manifest
    data: bytes
    layout: Layout
    rest: bytes

    @property
    def sha256(self) -> str:
        """Digest of the manifest."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def start(self) -> int:
        """Where the manifest's header begins: behind the chunk list."""
        return self.layout.chunks.end

    def bring_list(self, out: int) -> None:
        """Copy the chunk list, with its header, to its place in the file ``out``.

        FormatError if it is not the manifest's.
        """
        chunks, digest = self.layout.chunks, hashlib.sha256()
        write_at(out, chunks.gap_offset, self.source.read_at(chunks.gap_offset, chunks.data_offset - chunks.gap_offset))
        for at in range(chunks.data_offset, chunks.end, _TEXT):
            block = self.source.read_at(at, min(_TEXT, chunks.end - at))
            digest.update(block)
            write_at(out, at, block)
        if digest.hexdigest() != self.manifest.members[-1].sha256:
            raise FormatError(f"the chunk list of {self.source.name} is not the one of its manifest", clause="6.2")

    def pieces(self, brought: ByteSource) -> Iterator[Listed]:
        """Everything in front of the chunk list, in order, by the list that was ``brought`` to its place there.

        FormatError where it is not that of the layout.
        """
        return listed(brought, self.layout, self.source.name, sha512=self.manifest.profile == "archive")


def listed(source: ByteSource, layout: Layout, name: str, *, sha512: bool) -> Iterator[Listed]:
    """The lines of the chunk list in ``source``, each compared with the tiling. FormatError for any other."""
    lines = _lines(source, layout.chunks.data_offset, layout.chunks.end)
    for tile in tiles(layout.prefix_size, layout.members):
        line = next(lines, b"")
        digest, wide = line[:64], line.split(b" ", 4)[3] if sha512 and line.count(b" ") >= 4 else b""
        try:
            small, large = bytes.fromhex(digest.decode("ascii")), bytes.fromhex(wide.decode("ascii"))
        except ValueError:
            small = large = b""
        if not line or line != chunk_line(tile, small, large):
            raise FormatError(f"the chunk list of {name} is not that of its layout", offset=tile.offset, clause="6.2")
        yield Listed(tile, small)
    if next(lines, b""):
        raise FormatError(f"the chunk list of {name} has lines too many", clause="6.2")


def _lines(source: ByteSource, start: int, end: int) -> Iterator[bytes]:
    """The lines in [start, end), each with its line feed; of what has none, its beginning."""
    rest = b""
    for at in range(start, end, _TEXT):
        *whole, rest = (rest + source.read_at(at, min(_TEXT, end - at))).split(b"\n")
        yield from (line + b"\n" for line in whole)
        rest = rest[:_TEXT]  # longer than any line: no memory for what is none
    if rest:
        yield rest


def read_newer(origin: ByteSource) -> Newer:
    """The container in ``origin``, from its end. FormatError if it is none, or its manifest is malformed."""
    tail, _ = read_tail(origin)
    archive = read_directory(origin, tail, headers=False) if tail else None
    entry = archive.entry(MANIFEST_PATH) if archive else None
    if entry is None:
        raise FormatError(f"{origin.name} is no container", hint="an update is taken from a llamafile with a manifest")
    start = entry.header_offset
    if not 0 <= start < origin.size <= start + _LARGEST_END or entry.size > MAX_MANIFEST:
        raise FormatError(f"the manifest of {origin.name} does not lie in the file")
    rest = origin.read_ranges([(start, origin.size - start)])[0]
    data = _data_behind(rest, entry.size, origin.name)
    manifest, findings = read_manifest(data)
    for finding in findings:
        if rule(finding.rule).severity is Severity.ERROR:
            raise FormatError(f"the manifest of {origin.name} is malformed: {rule(finding.rule).render(finding)}")
    layout = layout_of(manifest) if manifest is not None else None
    if manifest is None or layout is None or layout.manifest(len(data)).header_offset != start:
        raise FormatError(f"the manifest of {origin.name} does not say where its members lie", clause="5.1.3")
    if layout.chunks.size > _LARGEST_LIST:
        raise LimitExceeded(
            f"the chunk list of {origin.name} is too large", found=layout.chunks.size, allowed=f"{_LARGEST_LIST} bytes"
        )
    return Newer(revert(origin), manifest, data, layout, rest)


def _data_behind(rest: bytes, size: int, name: str) -> bytes:
    """The first ``size`` bytes behind the local header at the beginning of ``rest``. FormatError if there is none."""
    if len(rest) < LOCAL_HEADER.size or LOCAL_HEADER.unpack_from(rest)[0] != LOCAL_MAGIC:
        raise FormatError(f"the manifest of {name} has no local header", clause="4.2.3")
    *_, path, extra = LOCAL_HEADER.unpack_from(rest)
    begin = LOCAL_HEADER.size + path + extra
    return rest[begin : begin + size]
