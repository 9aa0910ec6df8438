"""A legacy llamafile as the starting point of a repack (spec/1, 8.7): engine, members, and what was found about it.

Its bytes have no digests yet. They are computed while the members are copied, and that same pass must confirm the
CRC-32 that the old directory names, or the repack is refused.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llamafile_format.container import Container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.findings import Finding
from llamafile_format.legacy import LegacySplit
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, alignment_of
from llamafile_format.output.transfer import write_at
from llamafile_format.packing import Carried, CarriedEngine, Content, Labels, media_of, recognise_role
from llamafile_format.rules import rule
from llamafile_format.source import ByteSource, BytesSource, FileSource, Window
from llamafile_format.zip.contents import inflate
from llamafile_format.zip.names import is_reserved, name_problems
from llamafile_format.zip.reader import Entry, local_sizes
from llamafile_format.zip.records import (
    DEFLATED,
    FLAG_DATA_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_STRONG_ENCRYPTION,
    STORED,
)
from llamafile_format.zip.views import COMPRESSED

MAX_FINDINGS = 200  # entries of the history object; a hostile file must not blow up the manifest
TWO_FACES = frozenset({"LF2003", "LF2006", "LF2009", "LF2010", "LF2042", "LF2043"})
_IN_MEMORY = 8 << 20  # bytes of an unpacked member that are held in memory; larger ones go to a nameless file
_MAX_GAP = 1 << 16
_SMALL = 1 << 20


def carry_legacy(
    container: Container,
    *,
    rename: Mapping[str, str],
    remove: Sequence[str] = (),
    align: int = DEFAULT_ALIGNMENT,
    folder: Path | None = None,
) -> Carried:
    """Engine and user members of a legacy llamafile; members in ``remove`` are left out, ``rename`` gives new names.

    Deflated members are unpacked (large ones into a nameless file in ``folder``). Raises FormatError for members that
    readers would disagree about and UsageError for names that a container cannot hold, with advice.
    """
    if not container.archive.readable:
        raise FormatError(
            f"{container.name}: its directory cannot be read to the end", hint="llamafile-format verify says why"
        )
    findings = legacy_findings(container)
    _refuse_two_faces(container, findings)
    split = container.legacy_split
    entries = [entry for entry in split.user_entries if entry.path not in remove and not _is_folder(entry)]
    _check_entries(entries)
    contents = [_content(container, entry, rename, align, folder) for entry in entries]
    removed = [entry.path for entry in split.user_entries if entry.path in remove or _is_folder(entry)]
    names = {entry.path: rename.get(entry.path, entry.path) for entry in entries}
    return Carried(
        engine=CarriedEngine(_engine(container, split)),
        contents=tuple(contents),
        labels=Labels(profile="default"),
        crc32={names[entry.path]: entry.crc32 for entry in entries},
        origin=_origin(findings, names, removed),
    )


def _refuse_two_faces(container: Container, findings: Sequence[Finding]) -> None:
    """A file in which another reader finds other members must not become a container that vouches for ours."""
    for finding in findings:
        if finding.args.get("found") == COMPRESSED:
            continue  # the engine opens nothing there, and the successor stores what everybody else unpacks
        if finding.rule in TWO_FACES:
            why = _clean(rule(finding.rule).render(finding))
            raise FormatError(
                f"{container.name} shows different things to different readers: {why}",
                offset=finding.where.offset,
                clause=finding.rule,
                hint="take out what you trust with extract, and pack it anew",
            )


def _origin(findings: Sequence[Finding], names: Mapping[str, str], removed: Sequence[str]) -> dict[str, Any]:
    """The history entry: order, findings, and which digests exist only since now."""
    changes = [{"what": "remove", "path": path} for path in removed]
    changes += [{"what": "rename", "from": old, "to": new} for old, new in sorted(names.items()) if old != new]
    origin: dict[str, Any] = {
        "action": "from-legacy",
        "order": list(names),
        "findings": [
            {"rule": finding.rule, "message": _clean(rule(finding.rule).render(finding))}
            for finding in findings[:MAX_FINDINGS]
        ],
        "first_computed": sorted(names.values()),
    }
    if changes:
        origin["changes"] = changes
    return origin


def legacy_findings(container: Container) -> list[Finding]:
    """What chapters 4 and 9 say about the archive of a legacy file."""
    from dataclasses import replace

    from llamafile_format.checks.archive import check_archive
    from llamafile_format.checks.legacy import check_legacy
    from llamafile_format.zip.attribution import MAX_GAP_CHECKS

    archive = replace(container.archive, stale=container.generations)
    image_end = container.prefix.end or 0
    found = check_archive(container.source, archive, canonical=False)
    known = {(finding.rule, finding.where) for finding in found}
    more = check_legacy(container.source, archive, image_end=image_end, budget=MAX_GAP_CHECKS)
    return [*found, *(finding for finding in more if (finding.rule, finding.where) not in known)]


def _engine(container: Container, split: LegacySplit) -> ByteSource:
    """The engine's bytes: without the zeros that zipalign put behind it, and nothing if there are only zeros."""
    source, size = container.source, split.engine_size
    image_end = container.prefix.end or 0
    start = max(image_end, size - _MAX_GAP)
    if image_end < size and not any(source.read_at(start, size - start)):
        if image_end > size - _MAX_GAP:
            size = image_end
        elif not image_end and size <= _MAX_GAP:  # an archive without engine whose first member was aligned
            size = 0
    return Window(source, 0, size) if size else BytesSource(b"", "none")


def _check_entries(entries: Sequence[Entry]) -> None:
    last: Entry | None = None
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        fault = _fault(entry)
        if not fault and last is not None and entry.header_offset < last.data_end:
            fault = f"overlaps {last.path}"
        if fault:
            raise FormatError(
                f"{entry.path} {fault}",
                offset=entry.header_offset,
                clause="9.5.2",
                hint=f"leave it out with --remove {entry.path}",
            )
        last = entry
    for path, count in Counter(entry.path for entry in entries).items():
        if count > 1:
            raise FormatError(
                f"{path} stands in the directory {count} times; readers disagree which counts", clause="9.5.2"
            )


def _clean(text: str) -> str:
    """``text`` without lone surrogates, which a manifest cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_folder(entry: Entry) -> bool:
    """True for the entries of folders, which hold nothing and have no place in a container."""
    return entry.path.endswith("/") and not entry.size


def _fault(entry: Entry) -> str:
    """Why readers would not agree on the contents of ``entry``; empty if they do."""
    header, record = entry.header, entry.record
    if header is None or not entry.located:
        return "has no data inside the file"
    if (record.flags | header.flags) & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION):
        return "is encrypted"
    if entry.method not in (STORED, DEFLATED):
        return f"uses compression method {entry.method}"
    if (record.flags | header.flags) & FLAG_DATA_DESCRIPTOR:
        return "has its sizes behind its data, which the engine does not read"
    same = header.name == record.name and header.method == record.method and header.crc32 == record.crc32
    if not same or local_sizes(header) != (entry.size, entry.compressed_size):
        return "is described differently by its own header and by the directory"
    if entry.method == STORED and entry.size != entry.compressed_size:
        return "is stored, yet has two sizes"
    return ""


def _content(container: Container, entry: Entry, rename: Mapping[str, str], align: int, folder: Path | None) -> Content:
    path = rename.get(entry.path, entry.path)
    problems = name_problems(path.encode("utf-8", "surrogateescape"))
    if path == entry.path:
        problems = problems or name_problems(entry.record.name)
    if problems or is_reserved(path):
        why = problems[0].value if problems else "lies in the reserved folder META-LLAMAFILE/"
        raise UsageError(
            f"{path!r} cannot be the name of a member: it {why}",
            hint=f"give it another name: --rename {entry.path!r}=NAME",
        )
    source: ByteSource = (
        Window(container.source, entry.data_offset, entry.size)
        if entry.method == STORED
        else _unpacked(container.source, entry, folder)
    )
    role = recognise_role(path, source)
    if role == "arguments" and source.size <= _SMALL:  # they may be rewritten, and would not be copied then
        _check_crc(entry, zlib.crc32(source.read_at(0, source.size)))
    return Content(path, role, media_of(path, role, source), source, alignment_of(role, align))


def _unpacked(source: ByteSource, entry: Entry, folder: Path | None) -> ByteSource:
    """The contents of a deflated member, checked against size and CRC-32."""
    crc = at = 0
    parts: list[bytes] = []
    place = folder if folder is not None and folder.is_dir() else None
    spool = tempfile.TemporaryFile(dir=place) if entry.size > _IN_MEMORY else None  # noqa: SIM115 - lives on
    for block in inflate(source, entry):
        crc = zlib.crc32(block, crc)
        if spool is None:
            parts.append(block)
        else:
            write_at(spool.fileno(), at, block)
        at += len(block)
    _check_crc(entry, crc)
    if spool is None:
        return BytesSource(b"".join(parts), entry.path)
    return _Spooled(spool)


def _check_crc(entry: Entry, crc32: int) -> None:
    if crc32 != entry.crc32:
        raise FormatError(
            f"{entry.path} is damaged: its CRC-32 is {crc32:08x}, the directory says {entry.crc32:08x}",
            offset=entry.data_offset,
            clause="9.5.2",
            hint="find an intact copy",
        )


class _Spooled(FileSource):
    """A nameless file that lives as long as this source."""

    __slots__ = ("_file",)

    def __init__(self, file: Any) -> None:
        self._file = file
        self.name, self.fd, self._owned = "<unpacked>", file.fileno(), False
        self.size = self._regular_size()
