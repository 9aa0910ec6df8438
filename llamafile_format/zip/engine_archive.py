"""The engine's own ZIP inside a prefix, and which of its records a container carries over (spec/1, 4.10).

An engine such as the classic llamafile looks for its assets in the directory at the end of the file it was started
from, so their records must stand in ours. A record is carried only if it can mean one thing; the rest is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamafile_format.source import ByteSource, Window
from llamafile_format.zip.archive import Archive, overlapping, read_archive
from llamafile_format.zip.entry import Entry, local_sizes
from llamafile_format.zip.names import (
    collision_key,
    is_arguments_name,
    is_reserved,
    is_weights_name,
    name_problems,
    parents,
)
from llamafile_format.zip.records import (
    DEFLATED,
    FLAG_DATA_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_MASKED_HEADERS,
    FLAG_STRONG_ENCRYPTION,
    STORED,
)

FOLDER_LEFT_OUT = "unsafe-name"  # what manifests say of folder records made before 4.10 carried them
_UNIX, _NO_TYPE, _FOLDER_TYPE = 3, 0, 4  # the system of `version made by`; the upper four bits of its mode
_SECRET = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS


@dataclass(frozen=True, slots=True)
class EngineArchive:
    """The engine's directory: absolute offset, bytes, records; ``carried`` in directory order, ``dropped`` as (path,
    reason). ``opaque_reason`` is not empty if there is a ZIP that cannot be read strictly: then nothing is carried.
    All is zero and empty if the prefix has no ZIP. ``left_out`` are the dropped folder records that could be carried.
    """

    offset: int = 0
    size: int = 0
    count: int = 0
    carried: tuple[Entry, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    opaque_reason: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """True if the prefix has a ZIP that was read."""
        return self.count > 0 or bool(self.opaque_reason)


def engine_records(
    source: ByteSource, engine_size: int, *, taken: Iterable[str] = (), without: Iterable[str] = ()
) -> EngineArchive:
    """What to carry over from the ZIP in ``source[0:engine_size]``; ``taken`` are the names of the container's members.

    ``without`` are the folder records that a manifest says were left out (clause 4.10.6). Zero bytes behind the
    engine's end record are allowed. Raises SourceError only.
    """
    archive = read_archive(Window(source, 0, engine_size))
    if archive.tail is None or (not archive.entries and archive.tail.count == 0):
        return EngineArchive()
    tail = archive.tail
    reason = _opaque(archive) or _trailing(source, tail.end, engine_size)
    if reason:
        return EngineArchive(opaque_reason=reason)
    doubled = _not_unique(archive.entries)
    occupied = _Occupied(taken)
    left_out = frozenset(without)
    crossing = overlapping(archive.entries)
    carried: list[Entry] = []
    dropped: list[tuple[str, str]] = []
    spared: list[str] = []
    for entry in archive.entries:
        why = (
            disagreement(entry)
            or _unfit_name(entry)
            or ("not-unique" if entry.index in doubled else "")
            or ("taken" if occupied.by(entry) else "")
            or ("overlap" if entry.index in crossing else "")
        )
        if not why and is_folder_record(entry) and entry.path in left_out:
            why = FOLDER_LEFT_OUT
            spared.append(entry.path)
        if why:
            dropped.append((entry.path, why))
        else:
            carried.append(entry)
    return EngineArchive(
        tail.directory_offset,
        tail.directory_size,
        len(archive.entries),
        tuple(carried),
        tuple(dropped),
        left_out=tuple(spared),
    )


def is_folder_record(entry: Entry) -> bool:
    """True if ``entry`` names a folder and nothing else: the engine opens it to list what is in it (clause 4.10.6)."""
    record = entry.record
    nothing = (record.method, entry.size, entry.compressed_size, record.crc32) == (STORED, 0, 0, 0)
    kind = record.external_attributes >> 28 if record.version_made >> 8 == _UNIX else _NO_TYPE
    return record.name.endswith(b"/") and nothing and kind in (_NO_TYPE, _FOLDER_TYPE)


def read_engine_directory(source: ByteSource, prefix_size: int) -> EngineArchive:
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


def disagreement(entry: Entry) -> str:
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
    name = entry.record.name[:-1] if is_folder_record(entry) else entry.record.name
    if name_problems(name):
        return "unsafe-name"
    if is_reserved(entry.path):
        return "reserved"
    if is_weights_name(entry.path):
        return "weights"
    if is_arguments_name(entry.path):
        return "arguments"
    return ""


class _Occupied:
    """The names of a container's members, and the folders that they make up, folded as file systems fold them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.files = {collision_key(name) for name in names}
        self.folders = {folder for key in self.files for folder in parents(key)}

    def by(self, entry: Entry) -> bool:
        """True if ``entry`` and a member cannot both be unpacked into one folder."""
        folder = is_folder_record(entry)
        key = collision_key(entry.path.removesuffix("/") if folder else entry.path)
        return (
            key in self.files
            or (not folder and key in self.folders)
            or any(parent in self.files for parent in parents(key))
        )


def _not_unique(entries: Sequence[Entry]) -> set[int]:
    """Indices of entries whose names fold to that of another, or that are a file where another needs a folder."""
    keys = [collision_key(entry.path.removesuffix("/")) for entry in entries]
    counts = Counter(keys)
    files = {key for key, entry in zip(keys, entries, strict=True) if not is_folder_record(entry)}
    broken = {folder for key in keys for folder in parents(key) if folder in files}
    return {
        entry.index
        for key, entry in zip(keys, entries, strict=True)
        if counts[key] > 1 or key in broken or any(parent in broken for parent in parents(key))
    }
