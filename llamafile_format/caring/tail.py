"""The tail of a container, which needs no recovery data: it follows from what stands in front of it (spec/1, 17.4)."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llamafile_format.errors import FormatError
from llamafile_format.manifest.claims import Claims
from llamafile_format.manifest.hashing import Digests, digest_range
from llamafile_format.manifest.layout import Layout, chunk_line, plan, tiles
from llamafile_format.manifest.merkle import chunk_root
from llamafile_format.manifest.model import Manifest, Member
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.manifest.roles import FIXED_PATHS, unix_mode
from llamafile_format.output.transfer import OpenFile
from llamafile_format.progress import Advance
from llamafile_format.recovery.encode import member_size, write_member
from llamafile_format.source import ByteSource, BytesSource, Chain, FileSource
from llamafile_format.zip.engine_archive import engine_records
from llamafile_format.zip.writer import Placed, directory_record, end_records, local_header, place

MEDIA_TYPE = "application/x-par2"
Records = Sequence[tuple[str, bytes]]
"""(path, bytes) of signature records, in order."""


def claims_of(front: ByteSource, manifest: Manifest, data: bytes, where: Layout) -> Claims:
    """What ``manifest`` determines; ``front`` has the prefix, whose own directory hands over records."""
    return Claims(manifest, data, where, _carried(front, manifest))


def tail_of(claims: Claims, text: bytes, records: Records) -> bytes:
    """Everything behind the last member: chunk list ``text``, manifest, signature ``records``, directory."""
    manifest, data, where = claims.manifest, claims.data, claims.layout
    parts = [local_header(where.chunks, zlib.crc32(text)), text]
    last = where.manifest(len(data))
    parts += [local_header(last, zlib.crc32(data)), data]
    rows = [*claims.engine]
    rows += [
        directory_record(placed, int(member.crc32, 16), unix_mode(member.role))
        for placed, member in zip([*where.members, where.chunks], manifest.members, strict=True)
    ]
    rows.append(directory_record(last, zlib.crc32(data), unix_mode("manifest")))
    cursor = last.end
    for path, record in records:
        placed, crc = place(cursor, path, len(record), 1), zlib.crc32(record)
        parts += [local_header(placed, crc), record]
        rows.append(directory_record(placed, crc, unix_mode("signature")))
        cursor = placed.end
    directory = b"".join(rows)
    return b"".join([*parts, directory, end_records(cursor, len(directory), len(rows))])


def _carried(front: ByteSource, manifest: Manifest) -> list[bytes]:
    """Directory records of the engine's own ZIP (clause 4.10), read from the prefix again."""
    prefix = manifest.prefix
    if prefix.directory is None:
        return []
    taken = [member.path for member in manifest.members]
    without = prefix.directory.folders_left_out
    found = engine_records(front, min(prefix.engine_size, front.size), taken=taken, without=without)
    return [front.read_at(entry.record_offset, entry.record.length) for entry in found.carried]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What stands behind [0, R): the recovery member as it was written to a file, and the rest as bytes."""

    member: FileSource
    head: bytes
    rest: bytes
    manifest: Manifest
    data: bytes


def rebuild(
    covered: ByteSource, skeleton: bytes, percent: int, spill: int, records: Records, *, progress: Advance | None = None
) -> Rebuilt:
    """The container whose protected range is ``covered``, from its ``skeleton``: a function of both and of ``percent``.

    The recovery member is written to the file ``spill``. FormatError if the skeleton is not one of this range.
    """
    value, _ = read_manifest(skeleton)
    if value is None:
        raise FormatError("the skeleton in the recovery data is no manifest", clause="17.4.1")
    size = member_size(covered.size, percent, len(skeleton))
    members = [(member.path, member.size, member.alignment) for member in value.members]
    wide = value.profile == "archive"
    path = FIXED_PATHS["recovery"]
    where = plan(value.prefix.size, [*members, (path, size, 1)], sha512=wide)
    placed = where.members[-1]
    if placed.gap_offset != covered.size or [m.data_offset for m in where.members[:-1]] != [
        m.offset for m in value.members
    ]:
        raise FormatError("the skeleton in the recovery data describes another range", clause="17.4.1")
    os.ftruncate(spill, size)
    write_member(covered, percent, skeleton, OpenFile(spill), 0, progress=progress)
    member = FileSource.from_descriptor(spill, "the recovery member")
    digests = digest_range(member, 0, size, sha512=wide)
    head = local_header(placed, digests.crc32)
    made = _member(placed, "recovery", MEDIA_TYPE, digests)
    front = Chain(covered.name, [covered, BytesSource(head), member])
    text = _list(front, where, wide)
    chunks = _member(where.chunks, "chunks", "text/plain", digest_range(BytesSource(text), 0, len(text), sha512=wide))
    manifest = replace(value, members=(*value.members, made, chunks))
    data = manifest.encode()
    return Rebuilt(member, head, tail_of(claims_of(front, manifest, data, where), text, records), manifest, data)


def _member(placed: Placed, role: str, media_type: str, digests: Digests) -> Member:
    return Member(
        path=placed.path,
        role=role,
        media_type=media_type,
        offset=placed.data_offset,
        size=placed.size,
        alignment=1,
        crc32=f"{digests.crc32:08x}",
        sha256=digests.sha256.hex(),
        chunk_root=chunk_root(digests.chunks).hex(),
        sha512=digests.sha512.hex(),
    )


def _list(front: ByteSource, where: Layout, wide: bool) -> bytes:
    """The chunk list of ``front``."""
    lines = []
    for tile in tiles(where.prefix_size, where.members):
        block = front.read_at(tile.offset, tile.length)
        second = hashlib.sha512(block).digest() if wide else b""
        lines.append(chunk_line(tile, hashlib.sha256(block).digest(), second))
    return b"".join(lines)
