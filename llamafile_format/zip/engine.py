"""The engine's own ZIP inside a prefix, and which of its records a container carries over (spec/1.0, 4.10).

An engine such as the classic llamafile looks for its assets in the directory at the end of the file it was started
from, so their records must stand in ours. A record is carried only if it can mean one thing; the rest is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.source import ByteSource, Window
from llamafile_format.zip.archive import Archive, read_archive
from llamafile_format.zip.entry import Entry, local_sizes
from llamafile_format.zip.names import collision_key, is_arguments_name, is_reserved, is_weights_name, name_problems
from llamafile_format.zip.records import (
    DEFLATED,
    FLAG_DATA_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_MASKED_HEADERS,
    FLAG_STRONG_ENCRYPTION,
    STORED,
)

_SECRET = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS


@dataclass(frozen=True, slots=True)
class EngineDirectory:
    """The engine's directory: absolute offset, bytes, records; ``carried`` in directory order, ``dropped`` as (path,
    reason). ``opaque_reason`` is not empty if there is a ZIP that cannot be read strictly: then nothing is carried.
    All is zero and empty if the prefix has no ZIP.
    """

    offset: int = 0
    size: int = 0
    count: int = 0
    carried: tuple[Entry, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    opaque_reason: str = ""

    @property
    def present(self) -> bool:
        """True if the prefix has a ZIP that was read."""
        return self.count > 0 or bool(self.opaque_reason)


def engine_records(source: ByteSource, engine_size: int, *, taken: Iterable[str] = ()) -> EngineDirectory:
    """What to carry over from the ZIP in ``source[0:engine_size]``; ``taken`` are the names of the container's members.

    Zero bytes behind the engine's end record are allowed. Raises SourceError only.
    """
    archive = read_archive(Window(source, 0, engine_size))
    if archive.tail is None or (not archive.entries and archive.tail.count == 0):
        return EngineDirectory()
    tail = archive.tail
    reason = _opaque(archive) or _trailing(source, tail.end, engine_size)
    if reason:
        return EngineDirectory(opaque_reason=reason)
    keys = Counter(collision_key(entry.path) for entry in archive.entries)
    held = {collision_key(path) for path in taken}
    crossing = _overlapping(archive.entries)
    carried: list[Entry] = []
    dropped: list[tuple[str, str]] = []
    for entry in archive.entries:
        key = collision_key(entry.path)
        why = (
            _disagreement(entry)
            or _unfit_name(entry)
            or ("not-unique" if keys[key] > 1 else "")
            or ("taken" if key in held else "")
            or ("overlap" if entry.index in crossing else "")
        )
        if why:
            dropped.append((entry.path, why))
        else:
            carried.append(entry)
    return EngineDirectory(
        tail.directory_offset, tail.directory_size, len(archive.entries), tuple(carried), tuple(dropped)
    )


def read_engine_directory(source: ByteSource, prefix_size: int) -> EngineDirectory:
    """:func:`engine_records` of a prefix whose zero padding to 64 KiB is still on it."""
    return engine_records(source, prefix_size)


def _opaque(archive: Archive) -> str:
    """The first fault that makes the engine's ZIP unreadable as a whole, as a stable text with its rule id.

    Faults of single entries (no local header, data outside) only drop those entries.
    """
    single = {"LF2015", "LF2016"}
    fault = next((finding.rule for finding in archive.findings if finding.rule not in single), "")
    return f"not read strictly: {fault}" if fault else ""


def _trailing(source: ByteSource, end: int, limit: int) -> str:
    """Not empty if the bytes behind the end record are not all zero (they are at most some 70 KiB: the tail window)."""
    return "" if source.read_at(end, limit - end).count(0) == limit - end else "not read strictly: LF7002"


def _disagreement(entry: Entry) -> str:
    """Why the two headers of ``entry`` do not mean one thing, or empty."""
    header, record = entry.header, entry.record
    if header is None or not entry.located:
        return "outside-prefix"
    if (record.flags | header.flags) & _SECRET:
        return "encrypted"
    if (record.flags | header.flags) & FLAG_DATA_DESCRIPTOR:
        return "data-descriptor"
    if record.method not in (STORED, DEFLATED):
        return "method"
    same = (
        header.name == record.name
        and header.method == record.method
        and header.flags == record.flags
        and header.crc32 == record.crc32
        and local_sizes(header) == (entry.size, entry.compressed_size)
    )
    if not same or (record.method == STORED and entry.size != entry.compressed_size):
        return "header-differs"
    return ""


def _unfit_name(entry: Entry) -> str:
    if name_problems(entry.record.name):
        return "unsafe-name"
    if is_reserved(entry.path):
        return "reserved"
    if is_weights_name(entry.path):
        return "weights"
    if is_arguments_name(entry.path):
        return "arguments"
    return ""


def _overlapping(entries: Iterable[Entry]) -> set[int]:
    """Indices of entries whose bytes are also another entry's."""
    crossing: set[int] = set()
    last: Entry | None = None
    for entry in sorted((e for e in entries if e.located), key=lambda e: (e.header_offset, e.data_end)):
        if last is not None and entry.header_offset < last.data_end:
            crossing |= {entry.index, last.index}
        if last is None or entry.data_end > last.data_end:
            last = entry
    return crossing
