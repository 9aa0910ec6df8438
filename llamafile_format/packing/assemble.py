"""The writer's engine: from a prefix and contents in file order to a complete container (spec/1, chapters 4 to 6).

Every input byte is read once; copying and all digests come from that read. Digests that are already known are reused,
never recomputed: hashing damaged bytes again would give the damage a fresh, valid manifest.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llamafile_format.errors import FormatError, LimitExceeded, LlamafileError, UsageError
from llamafile_format.limits import DIRECTORY_ENTRIES
from llamafile_format.manifest.hashing import Digests, digest_range
from llamafile_format.manifest.layout import Layout, Tile, chunk_line, plan
from llamafile_format.manifest.merkle import CHUNK_SIZE, pieces
from llamafile_format.manifest.model import Manifest, Member, Prefix
from llamafile_format.manifest.roles import file_order, unix_mode
from llamafile_format.output.transfer import DirectWriter, clone, copy, data_ranges, refuse_changed, write_at
from llamafile_format.packing.planned import (
    CHUNK_LIST,
    Content,
    Labels,
    PrefixContent,
    manifest_of,
    member_of,
    prefix_of,
    refuse_manifest,
    refuse_unreadable,
    with_extra,
)
from llamafile_format.packing.protecting import check_protectable, front_of, write_recovery
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, BytesSource, Chain, FileSource, Window, put_down
from llamafile_format.zip.writer import Placed, directory_record, end_records, local_header

__all__ = [
    "Assembled",
    "Content",
    "Labels",
    "PrefixContent",
    "assemble",
    "directory_bytes",
    "finish",
    "with_extra",
]


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was written: manifest, its digest, layout, size, how many data bytes share blocks with their source, and the
    percentage of recovery data."""

    manifest: Manifest
    manifest_sha256: str
    layout: Layout
    size: int
    shared: int
    recovery: int = 0


def assemble(
    out: int,
    prefix: PrefixContent,
    contents: Sequence[Content],
    labels: Labels,
    *,
    recovery: int = 0,
    progress: Advance | None = None,
) -> Assembled:
    """Write a container to the file ``out``. Contents are put into file order here, whatever order they come in.
    What an earlier try has written to ``out`` is gone on with, of contents whose digest is expected and if it is right.
    With ``recovery`` it gets recovery data for so many percent (17.8).

    Raises UsageError for two contents of one path, LimitExceeded for too many, and SourceError on reads.
    """
    contents = sorted(contents, key=lambda content: file_order(content.role, content.path))
    _check(prefix, contents)
    sha512 = labels.profile == "archive"
    sizes = [(content.path, content.source.size, content.alignment) for content in contents]
    where = plan(prefix.size, sizes, sha512=sha512)
    refuse_unreadable(prefix, contents, labels, where)
    if recovery:
        check_protectable(contents, recovery)
    begun = os.fstat(out).st_size > 0
    os.ftruncate(out, where.chunks.end)  # writes into a file of its final size need no lock among themselves
    writer = _Writer(out, sha512, progress, begun=begun)
    try:
        writer.prefix(prefix)
        for content, placed in zip(contents, where.members, strict=True):
            writer.member(content, placed)
        if not recovery:
            writer.chunks(where.chunks)
    finally:
        writer.direct.close()
    manifest = manifest_of(writer.prefix_facts(prefix), writer.members, labels)
    if recovery:
        front = front_of(manifest, b"".join(writer.lines()), recovery)
        manifest, where = write_recovery(out, front, progress=progress)
    data = manifest.encode()
    size = finish(out, manifest, data, where, prefix.records)
    return Assembled(manifest, hashlib.sha256(data).hexdigest(), where, size, writer.shared, recovery)


def reissue(
    out: int, written: Assembled, records: Sequence[bytes], *, history: tuple[Mapping[str, Any], ...]
) -> Assembled:
    """``written`` once more with another history: what stands behind the chunk list is written anew, and recovery data,
    which holds the history too."""
    manifest, where = replace(written.manifest, history=history), written.layout
    if written.recovery:
        lines = os.pread(out, where.chunks.size, where.chunks.data_offset)
        manifest, where = write_recovery(out, front_of(manifest, lines, written.recovery))
    data = manifest.encode()
    refuse_manifest(data)
    size = finish(out, manifest, data, where, records)
    return replace(
        written, manifest=manifest, manifest_sha256=hashlib.sha256(data).hexdigest(), layout=where, size=size
    )


def finish(out: int, manifest: Manifest, data: bytes, where: Layout, records: Sequence[bytes]) -> int:
    """Write manifest, central directory and end records behind the chunk list; the size of the file."""
    placed = where.manifest(len(data))
    write_at(out, placed.gap_offset, local_header(placed, zlib.crc32(data)) + data)
    directory = directory_bytes(manifest, data, where, records)
    count = len(records) + len(manifest.members) + 1
    tail = directory + end_records(placed.end, len(directory), count)
    write_at(out, placed.end, tail)
    os.ftruncate(out, placed.end + len(tail))
    return placed.end + len(tail)


def directory_bytes(manifest: Manifest, data: bytes, where: Layout, records: Sequence[bytes]) -> bytes:
    """The central directory of a container without signature records: engine records, members, manifest."""
    placed = [*where.members, where.chunks]
    ours = [
        directory_record(place, int(member.crc32, 16), unix_mode(member.role))
        for place, member in zip(placed, manifest.members, strict=True)
    ]
    last = directory_record(where.manifest(len(data)), zlib.crc32(data), unix_mode("manifest"))
    return b"".join([*records, *ours, last])


def _check(prefix: PrefixContent, contents: Sequence[Content]) -> None:
    count = len(contents) + len(prefix.records) + 2  # chunk list and manifest
    if count > DIRECTORY_ENTRIES:
        raise LimitExceeded("too many members", clause="12.4", found=count, allowed=f"{DIRECTORY_ENTRIES} in all")
    paths = [content.path for content in contents]
    for first, second in zip(sorted(paths), sorted(paths)[1:], strict=False):
        if first == second:
            raise UsageError(
                f"two members are named {first}", hint="give one of them another name: --include PATH=NAME"
            )


class _Writer:
    """Writes spans in file order and gathers what the chunk list and the manifest need."""

    def __init__(self, out: int, sha512: bool, progress: Advance | None, *, begun: bool = False) -> None:
        self.out = out
        self.sha512 = sha512
        self.progress = progress
        self.members: list[Member] = []
        self.shared = 0
        self.direct = DirectWriter(out)
        self._begun = begun
        self._spans: list[tuple[int, str, Digests]] = []
        self._prefix: tuple[Digests, str] | None = None

    def prefix(self, prefix: PrefixContent) -> None:
        """Write the prefix and take its digests: those that are known, else computed on the way."""
        engine_sha256 = ""
        if prefix.known is not None and (prefix.known[0].chunks512 or not self.sha512 or not prefix.size):
            digests, engine_sha256 = prefix.known
            copy(prefix.engine, 0, prefix.engine.size, self.out, 0, progress=self.progress)
        else:
            digests, engine_sha256 = self._hash_prefix(prefix)
        self._prefix = (digests, engine_sha256)
        if prefix.size:
            self._spans.append((0, "-", digests))

    def _hash_prefix(self, prefix: PrefixContent) -> tuple[Digests, str]:
        """Copy and hash the engine once; the padded prefix's digest continues from the engine's state."""
        engine = hashlib.sha256()
        for at, count in pieces(0, prefix.engine.size):
            engine.update(prefix.engine.read_at(at, count))
        zeros = BytesSource(bytes(prefix.size - prefix.engine.size))
        padded = Chain(prefix.engine.name, [prefix.engine, zeros])
        digests = digest_range(
            padded, 0, prefix.size, sha512=self.sha512, sink=lambda at, view: write_at(self.out, at, view)
        )
        return digests, engine.hexdigest()

    def prefix_facts(self, prefix: PrefixContent) -> Prefix:
        """The manifest's prefix object."""
        assert self._prefix is not None
        digests, engine_sha256 = self._prefix
        return prefix_of(prefix, digests, engine_sha256)

    def member(self, content: Content, placed: Placed) -> None:
        """Write ``content`` where it was ``placed``, header and data, and note its digests."""
        digests = self._data(content, placed)
        put_down(content.source)
        header = local_header(placed, digests.crc32)
        write_at(self.out, placed.gap_offset, header)
        self._structure(placed, header)
        self._spans.append((placed.data_offset, content.path, digests))
        self.members.append(member_of(content, placed, digests))

    def _data(self, content: Content, placed: Placed) -> Digests:
        at, size = placed.data_offset, placed.size
        known = content.known
        if known is not None and (known.sha512 or not self.sha512):
            self.shared += copy(content.source, 0, size, self.out, at, progress=self.progress)
            return known
        shared = clone(content.source, 0, size, self.out, at)
        self.shared += shared
        there = self._there(content, at) if self._begun and not shared else 0
        digests = self._copied(content, at, there or shared, there)
        if there and content.expected != digests.sha256.hex():
            digests = self._copied(content, at, 0, 0)
        refuse_changed(content.source)
        if known is not None and known.sha256 != digests.sha256:
            raise UsageError(
                f"{content.path} is damaged: its bytes no longer have the recorded SHA-256",
                hint="find an intact copy; packing would give the damage a valid digest",
            )
        if content.expected not in ("", digests.sha256.hex()):
            raise _not_expected(content)
        return digests

    def _there(self, content: Content, at: int) -> int:
        """How much of ``content`` an earlier try has written at ``at``, as far as the file tells; 0 if no digest could
        tell that it is right."""
        if not content.expected or isinstance(content.source, FileSource):
            return 0
        have = Window(FileSource.from_descriptor(self.out, content.path), at, content.source.size)
        low, count = next(iter(data_ranges(have, 0, have.size)), (0, 0))
        whole = count == content.source.size
        return 0 if low else count if whole else count // CHUNK_SIZE * CHUNK_SIZE  # a piece is written or is not

    def _copied(self, content: Content, at: int, shared: int, there: int) -> Digests:
        """``content`` at ``at``, whose first ``shared`` bytes are there; ``there`` of them are read there."""
        source = content.source
        if there:
            front = Window(FileSource.from_descriptor(self.out, source.name), at, there)
            source = Chain(source.name, [front, Window(source, there, source.size - there)])
        sink = self._sink(content, at, shared)
        return digest_range(source, 0, source.size, sha512=self.sha512, sink=sink, progress=self.progress)

    def _sink(self, content: Content, at: int, shared: int) -> Any:
        """Write pieces that no block sharing brought over, and leave holes of the source as holes."""
        holes_from = content.source.size if self._begun else _first_hole(content.source)
        direct = self.direct

        def write(offset: int, view: memoryview) -> None:
            """``view`` lies at ``offset`` of the source."""
            if offset + len(view) <= shared:
                return
            if offset + len(view) <= holes_from:
                direct.write(at + offset, view)
                return
            for low, count in data_ranges(content.source, offset, len(view)):
                write_at(self.out, at + low, view[low - offset : low - offset + count])

        return write

    def _structure(self, placed: Placed, header: bytes) -> None:
        parts = [header[at : at + CHUNK_SIZE] for at in range(0, len(header), CHUNK_SIZE)]
        digests = Digests(
            size=len(header),
            crc32=0,
            sha256=b"",
            chunks=tuple(hashlib.sha256(part).digest() for part in parts),
            chunks512=tuple(hashlib.sha512(part).digest() for part in parts) if self.sha512 else (),
        )
        self._spans.append((placed.gap_offset, "-", digests))

    def lines(self) -> Iterator[bytes]:
        """The chunk list, line by line."""
        for offset, path, digests in self._spans:
            large = digests.chunks512 if self.sha512 else (b"",) * len(digests.chunks)
            for (at, count), small, second in zip(pieces(offset, digests.size), digests.chunks, large, strict=True):
                yield chunk_line(Tile(at, count, path), small, second)

    def chunks(self, placed: Placed) -> None:
        """Write the chunk list as a member and enter it into the manifest."""
        digests = _write_lines(self.out, placed.data_offset, self.lines(), self.sha512)
        if digests.size != placed.size:
            raise AssertionError("the chunk list is not as long as planned")
        write_at(self.out, placed.gap_offset, local_header(placed, digests.crc32))
        self.members.append(member_of(CHUNK_LIST, placed, digests))


def _not_expected(content: Content) -> LlamafileError:
    if content.role == "runtime":
        return UsageError(
            f"{content.path} is not the build that its pin names: it has another SHA-256",
            hint="clear the cache of runtimes, or set LFF_CACHE to another folder",
        )
    return FormatError(
        f"{content.path} is not what its name says: its bytes have another SHA-256",
        allowed=content.expected,
        hint="take it from somewhere else; nothing was written",
    )


def _first_hole(source: ByteSource) -> int:
    """Offset of the first hole of ``source``: before it, no piece needs to ask the file system."""
    first = next(iter(data_ranges(source, 0, source.size)), (0, 0))
    return first[1] if first[0] == 0 else 0


def _write_lines(out: int, at: int, lines: Iterator[bytes], sha512: bool) -> Digests:
    """Write ``lines`` from ``at``, hashing on the way, one chunk of text in memory at a time."""
    small, large, crc, size = hashlib.sha256(), hashlib.sha512(), 0, 0
    chunks: list[bytes] = []
    for text in _blocks(lines):
        write_at(out, at + size, text)
        small.update(text)
        crc = zlib.crc32(text, crc)
        if sha512:
            large.update(text)
        chunks.append(hashlib.sha256(text).digest())
        size += len(text)
    return Digests(size, crc, small.digest(), tuple(chunks), large.digest() if sha512 else b"")


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for line in lines:
        buffer += line
        if len(buffer) >= CHUNK_SIZE:
            yield bytes(buffer[:CHUNK_SIZE])
            del buffer[:CHUNK_SIZE]
    if buffer:
        yield bytes(buffer)
