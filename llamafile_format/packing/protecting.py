"""The recovery member, which is computed from what stands in front of it, and what follows from it (spec/1, 17.8).

It is written when all that it protects is: the manifest so far is its skeleton, the chunk list so far the beginning of
the list. So a finished container gets it in the same way as one that is being written.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llamafile_format.errors import UsageError
from llamafile_format.manifest.hashing import Digests, digest_range
from llamafile_format.manifest.layout import Layout, Tile, chunk_line, plan
from llamafile_format.manifest.merkle import pieces
from llamafile_format.manifest.model import Manifest
from llamafile_format.manifest.roles import FIXED_PATHS, file_order
from llamafile_format.output.transfer import OpenFile, write_at
from llamafile_format.packing.planned import CHUNK_LIST, Content, lowest_version, member_of
from llamafile_format.progress import Advance
from llamafile_format.recovery.available import require_numpy
from llamafile_format.recovery.geometry import MAX_PERCENT
from llamafile_format.recovery.skeleton import skeleton_of
from llamafile_format.source import BytesSource, FileSource, Window
from llamafile_format.zip.writer import Placed, local_header

PATH = FIXED_PATHS["recovery"]
MEMBER = Content(PATH, "recovery", "application/x-par2", BytesSource(b""), 1)


@dataclass(frozen=True, slots=True)
class Front:
    """A container up to the end of what is protected: its manifest without recovery member and chunk list, the lines of
    the list so far, and the percentage of recovery data."""

    manifest: Manifest
    lines: bytes
    percent: int

    @property
    def skeleton(self) -> bytes:
        """What the tail can be made of again."""
        return skeleton_of(self.manifest)

    @property
    def layout(self) -> Layout:
        """Where everything lies with the recovery member."""
        from llamafile_format.recovery.encode import member_size

        members = [(member.path, member.size, member.alignment) for member in self.manifest.members]
        wide = self.manifest.profile == "archive"
        end = plan(self.manifest.prefix.size, members, sha512=wide).chunks.gap_offset
        size = member_size(end, self.percent, len(self.skeleton))
        return plan(self.manifest.prefix.size, [*members, (PATH, size, 1)], sha512=wide)


def front_of(manifest: Manifest, lines: bytes, percent: int) -> Front:
    """The front of a container that has ``manifest``, with or without recovery data, and the chunk list ``lines``."""
    kept = tuple(member for member in manifest.members if member.role not in ("recovery", "chunks"))
    version = lowest_version([*(member.role for member in kept), MEMBER.role])
    end = kept[-1].offset + kept[-1].size if kept else manifest.prefix.size
    mine = b"".join(line for line in lines.splitlines(keepends=True) if int(line.split(b" ", 2)[1]) < end)
    return Front(replace(manifest, members=kept, version=version), mine, percent)


def check_protectable(contents: Sequence[Content], percent: int) -> None:
    """UsageError if recovery data cannot be made here, or a member would stand behind it and be unprotected."""
    require_numpy()
    if not 1 <= percent <= MAX_PERCENT:
        raise UsageError(f"{percent} % cannot be protected", hint=f"1 to {MAX_PERCENT}")
    last = max(contents, key=lambda content: file_order(content.role, content.path), default=None)
    if last is not None and file_order(last.role, last.path) > file_order("recovery", PATH):
        raise UsageError(
            f"{last.path} (role {last.role}) would stand behind the recovery data, unprotected",
            hint="leave it out, or protect the file from outside: llamafile-format protect FILE",
        )


def write_recovery(out: int, front: Front, *, progress: Advance | None = None) -> tuple[Manifest, Layout]:
    """Write recovery member and chunk list to ``out``, which has all that ``front`` tells of; the whole manifest."""
    from llamafile_format.recovery.encode import write_member

    where, wide = front.layout, front.manifest.profile == "archive"
    placed = where.members[-1]
    covered = Window(FileSource.from_descriptor(out, "the new file"), 0, placed.gap_offset)
    write_member(covered, front.percent, front.skeleton, OpenFile(out), placed.data_offset, progress=progress)
    digests = digest_range(FileSource.from_descriptor(out, PATH), placed.data_offset, placed.size, sha512=wide)
    header = local_header(placed, digests.crc32)
    write_at(out, placed.gap_offset, header)
    lines = front.lines + _line(placed.gap_offset, "-", header, wide) + _lines(placed, digests, wide)
    write_at(out, where.chunks.gap_offset, local_header(where.chunks, zlib.crc32(lines)) + lines)
    listed = digest_range(BytesSource(lines), 0, len(lines), sha512=wide)
    more = (member_of(MEMBER, placed, digests), member_of(CHUNK_LIST, where.chunks, listed))
    return replace(front.manifest, members=(*front.manifest.members, *more)), where


def _line(offset: int, path: str, data: bytes, wide: bool) -> bytes:
    second = hashlib.sha512(data).digest() if wide else b""
    return chunk_line(Tile(offset, len(data), path), hashlib.sha256(data).digest(), second)


def _lines(placed: Placed, digests: Digests, wide: bool) -> bytes:
    large = digests.chunks512 if wide else (b"",) * len(digests.chunks)
    spans = zip(pieces(placed.data_offset, placed.size), digests.chunks, large, strict=True)
    return b"".join(chunk_line(Tile(at, count, placed.path), small, second) for (at, count), small, second in spans)
