"""What is left in a damaged file to repair it by: its manifest and its signature records (spec/1, 17.5)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.manifest.model import MANIFEST_PATH, MAX_MANIFEST, SIGNATURES_FOLDER, Manifest
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.signing.records.record import MAX_RECORD, MAX_RECORDS, parse_record_path
from llamafile_format.source import ByteSource
from llamafile_format.zip.records import LOCAL_HEADER, LocalHeader, parse_local_header
from llamafile_format.zip.writer import local_header, place

_NEEDLE = MANIFEST_PATH.encode()
_BLOCK = 1 << 20
_MOST = 64
"""Places in one source that are looked at."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A manifest that has the CRC-32 of the header in front of it."""

    manifest: Manifest
    data: bytes

    @property
    def sha256(self) -> str:
        """Its digest in hex: what signatures and catalogues name."""
        return hashlib.sha256(self.data).hexdigest()


def surviving_manifests(source: ByteSource) -> list[Survivor]:
    """Every manifest in ``source``, the last first: later ones were appended to replace earlier ones."""
    found = []
    for at in _headers(source):
        header = _header_at(source, at)
        if header is None or header.name != _NEEDLE or not 0 < header.size <= MAX_MANIFEST:
            continue
        start = at + header.length
        if start + header.size > source.size:
            continue
        data = source.read_at(start, header.size)
        manifest, _ = read_manifest(data)
        if manifest is not None and zlib.crc32(data) == header.crc32:
            found.append(Survivor(manifest, data))
    return found[::-1]


def _headers(source: ByteSource) -> Iterator[int]:
    """Where local headers of manifests may begin."""
    at, count = 0, 0
    while at < source.size and count < _MOST:
        block = source.read_at(at, min(_BLOCK + len(_NEEDLE) - 1, source.size - at))
        hit = block.find(_NEEDLE)
        if hit < 0:
            at += _BLOCK
            continue
        if at + hit >= LOCAL_HEADER.size:
            count += 1
            yield at + hit - LOCAL_HEADER.size
        at += hit + len(_NEEDLE)


def _header_at(source: ByteSource, at: int) -> LocalHeader | None:
    """The local header at ``at``; None if there is none."""
    if at < 0 or at + LOCAL_HEADER.size > source.size:
        return None
    head = source.read_at(at, LOCAL_HEADER.size)
    if not head.startswith(b"PK\3\4"):
        return None
    names, extras = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    if at + LOCAL_HEADER.size + names + extras > source.size:
        return None
    rest = source.read_at(at + LOCAL_HEADER.size, names + extras)
    return parse_local_header(head, rest[:names], rest[names:])


def signature_records(source: ByteSource, start: int) -> list[tuple[str, bytes]]:
    """(path, bytes) of the records that stand intact one behind the other from ``start`` on, the manifest's end."""
    records: list[tuple[str, bytes]] = []
    while len(records) < MAX_RECORDS:
        header = _header_at(source, start)
        if header is None or not header.name.startswith(SIGNATURES_FOLDER.encode()):
            break
        path = header.name.decode("utf-8", "replace")
        parsed = parse_record_path(path)
        if parsed is None or parsed[0] != len(records) + 1 or header.size > MAX_RECORD:
            break
        placed = place(start, path, header.size, 1)
        if placed.end > source.size:
            break
        data = source.read_at(placed.data_offset, placed.size)
        canonical = local_header(placed, zlib.crc32(data))
        if source.read_at(start, len(canonical)) != canonical:
            break
        records.append((path, data))
        start = placed.end
    return records
