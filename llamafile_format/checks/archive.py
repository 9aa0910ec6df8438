"""The archive's faults (spec/1, chapter 4): whatever two readers could understand differently is refused.

``canonical=True`` judges a container of this format, where every deviation is an error. ``canonical=False`` judges a
legacy file: the same confusions are errors, the harmless habits of the tools that made old files are explained by
:mod:`llamafile_format.checks.legacy` instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from llamafile_format.checks.entries import check_entry
from llamafile_format.findings import Finding, Where
from llamafile_format.source import ByteSource
from llamafile_format.zip.archive import Archive, iter_live
from llamafile_format.zip.attribution import MAX_GAP_CHECK, MAX_GAP_CHECKS
from llamafile_format.zip.entry import Entry
from llamafile_format.zip.names import (
    RESERVED_FOLDER,
    NameProblem,
    collisions,
    is_reserved,
    is_weights_name,
    name_problems,
)
from llamafile_format.zip.records import EOCD, SENTINEL32
from llamafile_format.zip.views import Directory, View, weights_reader_views, zipos_view
from llamafile_format.zip.writer import MARK

SHOWN = 32  # findings of one rule that are listed one by one
_WEIGHTS_COMPARED = 64

_NAME_RULES = {
    NameProblem.EMPTY: "LF2033",
    NameProblem.ENCODING: "LF2033",
    NameProblem.CONTROL: "LF2033",
    NameProblem.BACKSLASH: "LF2034",
    NameProblem.ABSOLUTE: "LF2034",
    NameProblem.TRAVERSAL: "LF2034",
    NameProblem.NORMAL_FORM: "LF2035",
    NameProblem.WINDOWS: "LF2036",
    NameProblem.LENGTH: "LF2037",
    NameProblem.FOLDER: "LF2030",
    NameProblem.STATE: "LF2044",
    NameProblem.HYPHEN: "LF2033",
}
_LEGACY_AWKWARD = {NameProblem.NORMAL_FORM, NameProblem.WINDOWS, NameProblem.LENGTH, NameProblem.STATE}
_RESERVED = {"META-LLAMAFILE/README.txt", "META-LLAMAFILE/chunks.txt", "META-LLAMAFILE/manifest.json"}
_RESERVED_FOLDERS = ("META-LLAMAFILE/history/", "META-LLAMAFILE/signatures/")


def check_archive(
    source: ByteSource,
    archive: Archive,
    *,
    canonical: bool,
    prefix_size: int | None = None,
    budget: int = MAX_GAP_CHECKS,
) -> list[Finding]:
    """Every finding about the archive, those of the parse included, in order of the file; at most 32 of one rule.

    ``prefix_size`` (bytes, from the manifest) tells the engine's carried-over records from members. ``budget``
    bounds the bytes read from gaps. Raises SourceError.
    """
    findings = list(archive.findings)
    if archive.tail is not None:
        findings += _check_tail(archive, canonical)
        for entry in archive.entries:
            ours = canonical and entry.header_offset >= (prefix_size or 0)
            findings += check_entry(entry, canonical=ours)
            findings += _check_name(entry, canonical=ours)
        findings += _check_uniqueness(archive.entries)
        findings += _check_overlaps(archive, prefix_size if canonical else None)
        if archive.readable and archive.entries:
            findings += compare_views(source, archive)
        if canonical:
            findings += _check_order(archive, prefix_size or 0)
            findings += _check_gaps(source, archive, prefix_size, budget)
    return list(_shown(findings))


def _shown(findings: Iterable[Finding]) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.rule] += 1
        if counts[finding.rule] <= SHOWN:
            yield finding


def _check_tail(archive: Archive, canonical: bool) -> Iterator[Finding]:
    """Mark, trailing bytes, and Zip64 records where the directory does not need them."""
    tail = archive.tail
    if tail is None or not canonical:
        return
    if tail.comment != MARK:
        where = Where(tail.eocd_offset + EOCD.size, len(tail.comment), field="eocd.comment")
        yield Finding("LF2004", where, {"found": repr(tail.comment[:40])})
    if tail.trailing_length:
        yield Finding("LF2011", Where(tail.end, tail.trailing_length), {"length": tail.trailing_length})
    if tail.zip64 and tail.directory_offset < SENTINEL32:
        where = Where(tail.zip64.record_offset, tail.eocd_offset - tail.zip64.record_offset)
        yield Finding("LF2002", where, {"what": "the end record"})


def _check_name(entry: Entry, *, canonical: bool) -> Iterator[Finding]:
    where = Where(entry.record_offset, entry.record.length, entry.path, "name")
    for problem in name_problems(entry.record.name):
        awkward = problem in _LEGACY_AWKWARD or (problem is NameProblem.TRAVERSAL and ".." not in entry.path.split("/"))
        rule = _NAME_RULES[problem]
        if not canonical:
            if problem is NameProblem.FOLDER:
                continue  # zipobj and plain zip write folder entries; the engine makes folders up anyway
            if awkward:
                rule = "LF7019"
            elif problem is NameProblem.TRAVERSAL and NameProblem.ABSOLUTE in name_problems(entry.record.name):
                continue
        yield Finding(rule, where, {"path": entry.path, "why": problem.value})
    if canonical and is_reserved(entry.path) and not _reserved_use(entry.path):
        yield Finding("LF2038", where, {"path": entry.path, "folder": RESERVED_FOLDER})


def _reserved_use(path: str) -> bool:
    return path in _RESERVED or (path.startswith(_RESERVED_FOLDERS) and not path.endswith("/"))


def _check_uniqueness(entries: tuple[Entry, ...]) -> Iterator[Finding]:
    seen: dict[bytes, Entry] = {}
    unique: list[Entry] = []
    for entry in entries:
        where = Where(entry.record_offset, entry.record.length, entry.path, "name")
        if entry.record.name in seen:
            other = seen[entry.record.name].index
            yield Finding("LF2031", where, {"path": entry.path, "index": entry.index, "other": other})
        else:
            seen[entry.record.name] = entry
            unique.append(entry)
    for index, other in collisions(entry.path for entry in unique):
        entry = unique[index]
        where = Where(entry.record_offset, entry.record.length, entry.path, "name")
        yield Finding("LF2032", where, {"path": entry.path, "other": unique[other].path})


def _check_overlaps(archive: Archive, prefix_size: int | None) -> Iterator[Finding]:
    """Two records that share bytes: what one reader takes for data is another's header (zip bombs do this too)."""
    end, owner = 0, ""
    for entry in iter_live(archive):
        where = Where(entry.header_offset, entry.data_end - entry.header_offset, entry.path)
        if entry.header_offset < end:
            yield Finding("LF2039", where, {"path": entry.path, "other": owner})
        elif prefix_size is not None and entry.header_offset < prefix_size < entry.data_end:
            yield Finding("LF2039", where, {"path": entry.path, "other": "the end of the prefix"})
        elif archive.readable and entry.data_end > archive.directory_offset:
            yield Finding("LF2039", where, {"path": entry.path, "other": "the central directory"})
        if entry.data_end > end:
            end, owner = entry.data_end, entry.path


def _check_order(archive: Archive, prefix_size: int) -> Iterator[Finding]:
    """Carried-over records first, then ours in the order of the file: a directory read in order reads the file once."""
    last = -1
    for entry in archive.entries:
        at = entry.header_offset if entry.header_offset >= prefix_size else -1
        if at < last:
            where = Where(entry.record_offset, entry.record.length, entry.path)
            yield Finding("LF2041", where, {"path": entry.path, "index": entry.index})
            return
        last = max(last, at)


def _check_gaps(source: ByteSource, archive: Archive, prefix_size: int | None, budget: int) -> Iterator[Finding]:
    """Bytes between members must be the zeros that align data; a stream reader would find hidden members there."""
    if not archive.readable or archive.tail is None:
        return
    at = prefix_size
    for entry in iter_live(archive):
        if at is None:  # the prefix is not known: start behind the first member
            at = entry.header_offset
        if entry.header_offset < (prefix_size or 0):
            continue
        length = entry.header_offset - at
        if 0 < length <= min(MAX_GAP_CHECK, budget):
            budget -= length
            if source.read_at(at, length).count(0) != length:
                yield Finding("LF2040", Where(at, length), {"offset": at, "length": length})
        at = max(at, entry.data_end)
    if at is not None and at < archive.directory_offset:
        length = archive.directory_offset - at
        yield Finding("LF2040", Where(at, length), {"offset": at, "length": length})


def compare_views(source: ByteSource, archive: Archive) -> Iterator[Finding]:
    """Findings wherever one of the engine's two readers would open something else than what ``archive`` says."""
    weights = [entry for entry in archive.entries if is_weights_name(entry.path)][:_WEIGHTS_COMPARED]
    names = [entry.record.name for entry in weights]
    if names:
        views = weights_reader_views(source, names)
        yield from _compare_directory("LF2042", archive, views[0])
        for entry, view in zip(weights, views, strict=True):
            yield from _compare_entry("LF2042", entry, view)
    view = zipos_view(source)
    yield from _compare_directory("LF2043", archive, view)
    if view.directory is not None:
        for entry in archive.entries:
            yield from _compare_entry("LF2043", entry, view)


def _compare_directory(rule: str, archive: Archive, view: View) -> Iterator[Finding]:
    tail = archive.tail
    if tail is None:
        return
    ours = Directory(tail.directory_offset, tail.directory_size, tail.count)
    if view.directory == ours and not view.error:
        return
    where = Where(tail.start, tail.end - tail.start, field="directory")
    theirs = view.directory
    found = view.error or (f"a directory of {theirs.count} records at byte {theirs.offset}" if theirs else "nothing")
    yield Finding(rule, where, {"what": "the directory", "found": found})


def _compare_entry(rule: str, entry: Entry, view: View) -> Iterator[Finding]:
    if view.error:
        return
    opened = view.opened.get(entry.path)
    if opened is not None:
        if (opened.offset, opened.size, opened.method) == (entry.data_offset, entry.compressed_size, entry.method):
            return
        found = f"{opened.size} bytes at byte {opened.offset}, method {opened.method}"
    else:
        found = view.errors.get(entry.path, "nothing")
        if found.startswith("EACCES"):
            return  # hidden from the engine, not different for it: LF7012 explains it
    where = Where(entry.header_offset, None, entry.path)
    yield Finding(rule, where, {"what": entry.path, "found": found})
