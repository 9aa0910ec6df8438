"""A newer file, known by its end: manifest, chunk list and records are read, and nothing of its members.

From the manifest follows where everything lies; the chunk list says by which digest each 4 MiB may be taken from
somewhere else.
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
from llamafile_format.prefix.reverted import revert
from llamafile_format.rules import Severity, rule
from llamafile_format.signing.records.record import MAX_TAIL
from llamafile_format.source import ByteSource
from llamafile_format.zip.reader import MAX_DIRECTORY, read_directory, read_tail
from llamafile_format.zip.records import LOCAL_HEADER, LOCAL_MAGIC

_LARGEST_END = MAX_MANIFEST + MAX_TAIL + MAX_DIRECTORY + (1 << 20)
_LARGEST_LIST = 1 << 28
"""Bytes of a chunk list: one for 10 TB."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A piece of a file by its chunk list."""

    tile: Tile
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Newer:
    """The file in ``source``: its manifest (``data``), its layout, and ``end``: all bytes from the chunk list's header
    on, which begins at ``layout.chunks.gap_offset``."""

    source: ByteSource
    manifest: Manifest
    data: bytes
    layout: Layout
    end: bytes

    @property
    def sha256(self) -> str:
        """Digest of the manifest."""
        return hashlib.sha256(self.data).hexdigest()

    def pieces(self) -> Iterator[Listed]:
        """Everything in front of :attr:`end`, in order. FormatError if the chunk list is not the manifest's."""
        chunks, start = self.layout.chunks, self.layout.chunks.gap_offset
        text = self.end[chunks.data_offset - start : chunks.end - start]
        if hashlib.sha256(text).hexdigest() != self.manifest.members[-1].sha256:
            raise FormatError(f"the chunk list of {self.source.name} is not the one of its manifest", clause="6.2")
        return listed(text, self.layout, self.source.name, sha512=self.manifest.profile == "archive")


def listed(text: bytes, layout: Layout, name: str, *, sha512: bool) -> Iterator[Listed]:
    """The lines of the chunk list ``text``, each compared with the tiling. FormatError for any other."""
    at = 0
    for tile in tiles(layout.prefix_size, layout.members):
        end = text.find(b"\n", at) + 1
        line = text[at:end]
        digest, wide = line[:64], line.split(b" ", 4)[3] if sha512 and line.count(b" ") >= 4 else b""
        try:
            small, large = bytes.fromhex(digest.decode("ascii")), bytes.fromhex(wide.decode("ascii"))
        except ValueError:
            small = large = b""
        if not line or line != chunk_line(tile, small, large):
            raise FormatError(f"the chunk list of {name} is not that of its layout", offset=tile.offset, clause="6.2")
        yield Listed(tile, small)
        at = end
    if at != len(text):
        raise FormatError(f"the chunk list of {name} has lines too many", clause="6.2")


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
    chunks = layout.chunks.gap_offset
    front = origin.read_ranges([(chunks, start - chunks)])[0] if chunks < start else b""
    return Newer(revert(origin), manifest, data, layout, front + rest)


def _data_behind(rest: bytes, size: int, name: str) -> bytes:
    """The first ``size`` bytes behind the local header at the beginning of ``rest``. FormatError if there is none."""
    if len(rest) < LOCAL_HEADER.size or LOCAL_HEADER.unpack_from(rest)[0] != LOCAL_MAGIC:
        raise FormatError(f"the manifest of {name} has no local header", clause="4.2.3")
    *_, path, extra = LOCAL_HEADER.unpack_from(rest)
    begin = LOCAL_HEADER.size + path + extra
    return rest[begin : begin + size]
