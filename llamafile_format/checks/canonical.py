"""The canonical rule (spec/1, 4.9): every byte that is not member data equals what the writer would emit.

One comparison replaces a catalogue of ZIP confusions: whatever a hostile file does with headers, gaps, extra fields,
counts, offsets, comments or second directories, it differs from the one legal byte string.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.claims import Claims
from llamafile_format.manifest.model import SIGNATURES_FOLDER
from llamafile_format.manifest.roles import unix_mode
from llamafile_format.signing.records.record import MAX_RECORD, MAX_RECORDS, MAX_TAIL, parse_record_path
from llamafile_format.source import ByteSource
from llamafile_format.zip.reader import Archive, Entry
from llamafile_format.zip.writer import Placed, directory_record, end_records, local_header, place

_SHOWN = 32  # differing records listed one by one; the rest is counted


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands behind the manifest: signature records as (place, crc32), and where the directory must start."""

    records: tuple[tuple[Placed, int], ...]
    directory_offset: int


def check_structure(source: ByteSource, archive: Archive, claims: Claims) -> Iterator[Finding]:
    """Findings for every structure byte of a container that differs from the canonical one."""
    manifest, data, where = claims.manifest, claims.data, claims.layout
    placed = [*where.members, where.chunks]
    for place_, member in zip(placed, manifest.members, strict=True):
        yield from _compare_header(source, place_, int(member.crc32, 16))
    last = where.manifest(len(data))
    yield from _compare_header(source, last, zlib.crc32(data))
    tail, findings = read_signature_records(source, archive, last.end)
    yield from findings
    ours = [
        directory_record(place_, int(member.crc32, 16), unix_mode(member.role))
        for place_, member in zip(placed, manifest.members, strict=True)
    ]
    ours.append(directory_record(last, zlib.crc32(data), unix_mode("manifest")))
    ours += [directory_record(place_, crc, unix_mode("signature")) for place_, crc in tail.records]
    yield from _compare_directory(source, tail.directory_offset, [*claims.engine, *ours])


def check_padding(source: ByteSource, claims: Claims) -> Iterator[Finding]:
    """The zeros between the engine and the end of the prefix: less than 64 KiB, so every level can afford them."""
    prefix = claims.manifest.prefix
    padding = source.read_at(prefix.engine_size, prefix.size - prefix.engine_size)
    if padding.strip(b"\0"):
        at = prefix.engine_size + len(padding) - len(padding.lstrip(b"\0"))
        yield Finding("LF4010", Where(offset=at, length=1), {"offset": at})


def _compare_header(source: ByteSource, placed: Placed, crc32: int) -> Iterator[Finding]:
    expected = local_header(placed, crc32)
    start = placed.gap_offset
    found = _read(source, start, len(expected))
    if found == expected:
        return
    at = start + _first_difference(found, expected)
    where = Where(offset=at, length=1, member=placed.path)
    if at < placed.header_offset:
        yield Finding("LF3105", where, {"path": placed.path, "offset": at})
    if found[placed.header_offset - start :] != expected[placed.header_offset - start :]:
        skip = placed.header_offset - start
        at = placed.header_offset + _first_difference(found[skip:], expected[skip:])
        header = Where(offset=at, length=1, member=placed.path)
        yield Finding("LF3101", header, {"path": placed.path, "offset": at})


def _compare_directory(source: ByteSource, start: int, records: Sequence[bytes]) -> Iterator[Finding]:
    """Compare directory and end records, and that the file ends behind them."""
    size = sum(len(record) for record in records)
    found = _read(source, start, size)
    at = shown = 0
    for record in records:
        if found[at : at + len(record)] != record:
            shown += 1
            offset = start + at + _first_difference(found[at : at + len(record)], record)
            if shown <= _SHOWN:
                yield Finding("LF3102", Where(offset=offset, length=1), {"offset": offset})
        at += len(record)
    end = end_records(start, size, len(records))
    found = _read(source, start + size, len(end))
    if found != end:
        offset = start + size + _first_difference(found, end)
        yield Finding("LF3103", Where(offset=offset, length=1), {"offset": offset})
    if (surplus := source.size - (start + size + len(end))) > 0:
        offset = start + size + len(end)
        yield Finding("LF3106", Where(offset=offset, length=surplus), {"offset": offset, "length": surplus})


def read_signature_records(source: ByteSource, archive: Archive, start: int) -> tuple[Tail, list[Finding]]:
    """The signature records behind the manifest, strictly numbered and bounded, and what is wrong with them."""
    cursor, records, findings = start, [], []
    total = 0
    for number, entry in enumerate(signature_entries(archive), 1):
        fault = _record_fault(entry, number, total)
        if fault or cursor + entry.size > source.size:
            reason = fault or "it runs past the end of the file"
            where = Where(offset=entry.header_offset, member=entry.path)
            findings.append(Finding("LF3104", where, {"path": entry.path, "reason": reason}))
            break
        placed = place(cursor, entry.path, entry.size, 1)
        crc = zlib.crc32(_read(source, placed.data_offset, placed.size))
        findings += _compare_header(source, placed, crc)
        records.append((placed, crc))
        cursor, total = placed.end, total + entry.size
    return Tail(tuple(records), cursor), findings


def signature_entries(archive: Archive) -> list[Entry]:
    """Directory entries in the signature folder, in directory order."""
    return [entry for entry in archive.entries if entry.path.startswith(SIGNATURES_FOLDER)]


def _record_fault(entry: Entry, number: int, total: int) -> str:
    parsed = parse_record_path(entry.path)
    if parsed is None:
        return "its name is not NNNN.<kind>.<ext>"
    if parsed[0] != number:
        return f"it has number {parsed[0]:04d} where {number:04d} is due"
    if entry.size > MAX_RECORD or total + entry.size > MAX_TAIL or number > MAX_RECORDS:
        return "it exceeds the limits of the signature tail"
    return ""


def _read(source: ByteSource, offset: int, length: int) -> bytes:
    """The bytes that are there: fewer than ``length`` at the end of a truncated file."""
    return source.read_at(offset, max(0, min(length, source.size - offset))) if offset < source.size else b""


def _first_difference(found: bytes, expected: bytes) -> int:
    for at, (a, b) in enumerate(zip(found, expected, strict=False)):
        if a != b:
            return at
    return min(len(found), len(expected))
