"""Appending signature records (spec/1, 13.2 and 8.5.7): new records, directory and end records, and nothing in front.

Whatever a signature says, it comes into a file here: the weights stay where they are and are not read, and a file that
``verify`` would not accept with the new records is never written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.changing import PROBE, Amendment, Patch, locked, patch_in_place
from llamafile_format.checks.signatures import read_records
from llamafile_format.checks.verdict import Level
from llamafile_format.container import Container, Kind, open_container
from llamafile_format.errors import FormatError, LlamafileError, UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.model import SIGNATURES_FOLDER
from llamafile_format.manifest.roles import unix_mode
from llamafile_format.output.publish import output, spare_inputs
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import copy, refuse_changed, write_at
from llamafile_format.prefix.bootstrap import HEADER_SIZE
from llamafile_format.progress import Progress, counted
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.signing.records.record import (
    MAX_RECORD,
    MAX_RECORDS,
    MAX_TAIL,
    Record,
    RecordKind,
    parse_record_path,
    record_file,
    record_path,
)
from llamafile_format.source import BytesSource, Chain, FileSource, Window, read_small
from llamafile_format.source.pending import real_path, refuse_pending
from llamafile_format.zip.archive import MAX_DIRECTORY, MAX_ENTRIES
from llamafile_format.zip.writer import directory_record, end_records, local_header, place

Made = Sequence[tuple[RecordKind, bytes]]
"""Kind and bytes of the records to append, in order."""
Maker = Callable[[Container, tuple[Record, ...], int], Made]
"""Makes them from the open container, the records that it has, and the number that the first new one will get."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What was appended: ``records`` are the new ones; ``path`` has ``size`` bytes now.

    ``method`` is ``in place``, ``new file``, ``detached``, or ``nothing to do`` if there was no record to append.
    """

    path: Path
    size: int
    manifest_sha256: str
    records: tuple[Record, ...]
    method: str


@dataclass(frozen=True, slots=True)
class _Append:
    """``data`` takes the place of everything from ``start`` on: new records, directory, end records."""

    start: int
    data: bytes
    records: tuple[Record, ...]

    @property
    def size(self) -> int:
        """Bytes of the new file."""
        return self.start + len(self.data)


def append_records(
    what: str | os.PathLike[str],
    make: Made | Maker,
    out: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> AppendResult:
    """Append signature records to the container ``what``, in place or as the new file ``out``.

    In place it writes some kilobytes under a lock and a journal, whatever the size of the file. ``force`` replaces an
    existing ``out``. Raises FormatError for a file that is malformed as far as needs no digests of data, or would be
    with these records, and beyond the limits of 13.2.3; UsageError for what is no container; SourceError when reading
    or writing fails.
    """
    path = Path(what)
    if out is not None:
        return _write_new(path, Path(out), make, force=force, progress=progress)
    real = real_path(path)
    with locked(real) as source, open_container(source) as container:
        append = _plan(container, make)
        if append.records:
            manifest = hashlib.sha256(container.manifest_bytes).digest()
            patch = Patch(append.start, append.data)
            change = Amendment([patch], append.size, manifest, _probes(append.start))
            patch_in_place(real, source, change, "append to")
        return _result(path, container, append, "in place" if append.records else "nothing to do")


def append_to(file: int, name: str, made: Made) -> None:
    """Append ``made`` to the container in the open ``file``, which nobody else sees yet, called ``name`` in messages.

    FormatError if it is malformed, or would be with them; then it is as it was.
    """
    with open_container(FileSource.from_descriptor(file, name)) as container:
        append = _plan(container, made)
        write_at(file, append.start, append.data)
        os.ftruncate(file, append.size)


def _write_new(path: Path, target: Path, make: Made | Maker, *, force: bool, progress: Progress | None) -> AppendResult:
    spare_inputs(target, [path], "without -o it is changed in place")
    refuse_pending(target)
    with open_container(path) as container:
        source = container.origin  # as it is: a converted launcher stays converted
        append = _plan(container, make)
        mode = 0o777 if container.manifest is not None and container.manifest.prefix.size else 0o666

        require_room(target.parent, [source], len(append.data))
        with output(target, force=force, mode=mode) as file:
            os.ftruncate(file, append.size)
            copy(source, 0, append.start, file, 0, progress=counted(progress, append.start))
            write_at(file, append.start, append.data)
            refuse_changed(source)
        return _result(target, container, append, "new file")


def open_checked(container: Container) -> tuple[Record, ...]:
    """The records of ``container``, once all that needs no digests of data has been found well-formed (13.3.11).

    UsageError for what is no container; FormatError with the first thing that is wrong. *Why:* whoever signs a file
    vouches for it, and what readers disagree about nobody can vouch for.
    """
    if container.kind is not Kind.CONTAINER:
        raise UsageError(
            f"{container.name} is not a 1.0 container", hint="make one of it first: llamafile-format repack"
        )
    _refuse_malformed(container)
    if container.claims is None:
        raise FormatError(f"the manifest of {container.name} does not say where its members lie", clause="5.1.3")
    return read_records(container.source, container.archive)


def _refuse_malformed(container: Container, *, new: bool = False) -> None:
    from llamafile_format.examining import examine

    report = examine(container, level=Level.QUICK, thorough=not new)
    for finding in report.findings:
        row = rule(finding.rule)
        if row.layer is Layer.WELL_FORMED and row.severity is Severity.ERROR and not row.undetermined:
            raise _refused(container.name, finding, new=new)
    if not report.complete:
        raise FormatError(f"{container.name} cannot be read: {report.error}")


def _refused(name: str, finding: Finding, *, new: bool = False) -> LlamafileError:
    about = f"{name} with the new record would not be well-formed" if new else f"{name} is not well-formed"
    return FormatError(
        f"{about}: {rule(finding.rule).render(finding)}",
        clause=finding.rule,
        hint="nothing was written" if new else f"llamafile-format verify {name}",
    )


def _plan(container: Container, make: Made | Maker) -> _Append:
    """What to write. The result is verified before a byte of it is."""
    records = open_checked(container)
    number = len(records) + 1
    made = make(container, records, number) if callable(make) else make
    append = lay_out(container, records, made)
    if made:
        front = Window(container.source, 0, append.start)
        with open_container(Chain(container.name, [front, BytesSource(append.data)])) as changed:
            _refuse_malformed(changed, new=True)
    return append


def lay_out(container: Container, records: tuple[Record, ...], made: Made) -> _Append:
    """The new tail: ``made`` behind the last record, then the directory with their records, then the end records."""
    claims, archive = container.claims, container.archive
    assert claims is not None
    start = records[-1].data_offset + len(records[-1].data) if records else claims.layout.manifest(len(claims.data)).end
    cursor, total = start, sum(len(record.data) for record in records)
    new: list[Record] = []
    parts: list[bytes] = []
    rows = [container.source.read_at(archive.directory_offset, archive.directory_size)]  # verified: canonical
    for number, (kind, data) in enumerate(made, len(records) + 1):
        total += len(data)
        _check_limits(number, kind, len(data), total)
        placed, crc = place(cursor, record_path(number, kind), len(data), 1), zlib.crc32(data)
        parts += [local_header(placed, crc), data]
        rows.append(directory_record(placed, crc, unix_mode("signature")))
        new.append(Record(number, kind, placed.path, placed.header_offset, placed.data_offset, data))
        cursor = placed.end
    directory, count = b"".join(rows), len(archive.entries) + len(new)
    if count > MAX_ENTRIES or len(directory) > MAX_DIRECTORY:
        raise FormatError("the directory has no room for another record", clause="4.13", found=count)
    parts += [directory, end_records(cursor, len(directory), count)]
    return _Append(start, b"".join(parts), tuple(new))


def _check_limits(number: int, kind: RecordKind, size: int, total: int) -> None:
    limits = (
        (f"a record of kind {kind} has", size, MAX_RECORD, "bytes"),
        ("all signature records together have", total, MAX_TAIL, "bytes"),
        ("the file would have", number, MAX_RECORDS, "signature records"),
    )
    for subject, found, limit, unit in limits:
        if found > limit:
            raise FormatError(f"{subject} {found} {unit}, and {limit} is the most there may be", clause="13.2.3")


def _result(path: Path, container: Container, append: _Append, method: str) -> AppendResult:
    manifest = hashlib.sha256(container.manifest_bytes).hexdigest()
    return AppendResult(path, append.size, manifest, append.records, method)


def _probes(start: int) -> list[int]:
    """Manifest and earlier records stand directly in front of ``start``; behind the convertible header, the prefix."""
    near = max(0, start - PROBE)
    return [near] if near < HEADER_SIZE + PROBE else [HEADER_SIZE, near]


def detached_path(file: str | os.PathLike[str], number: int, kind: RecordKind) -> Path:
    """Where the detached record of ``file`` with that number and kind lies (13.10.1)."""
    path = Path(file)
    return path.with_name(f"{path.name}.{record_file(number, kind)}")


def records_beside(file: str | os.PathLike[str]) -> tuple[Record, ...]:
    """The detached records of ``file`` that lie beside it, by number: found by their names, not believed."""
    path = Path(file)
    names = [other.name for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.")]
    found = []
    for name in names:
        named = parse_record_path(SIGNATURES_FOLDER + name.removeprefix(f"{path.name}."))
        beside = path.with_name(name)
        if named is not None and beside.is_file() and beside.stat().st_size <= MAX_RECORD:
            found.append(Record(*named, str(beside), 0, 0, read_small(beside, MAX_RECORD), detached=True))
    return tuple(sorted(found, key=lambda record: record.number))


def write_detached(file: str | os.PathLike[str], make: Made | Maker) -> AppendResult:
    """Write records beside ``file`` instead of into it, all or none; nothing is ever replaced (13.10).

    The records of the result have the paths of their files. Errors are those of :func:`append_records`.
    """
    path = Path(file)
    with open_container(path) as container:
        records = open_checked(container)
        number = max([len(records), *(record.number for record in records_beside(path))]) + 1
        made = make(container, records, number) if callable(make) else make
        manifest = hashlib.sha256(container.manifest_bytes).hexdigest()
        new = []
        for at, (kind, data) in enumerate(made, number):
            _check_limits(at, kind, len(data), len(data))
            new.append(Record(at, kind, str(detached_path(path, at, kind)), 0, 0, data, detached=True))
        with contextlib.ExitStack() as written:  # half of a pair would look as if somebody had taken the other away
            for record in new:
                with output(Path(record.path), mode=0o666) as descriptor:
                    write_at(descriptor, 0, record.data)
                written.callback(Path(record.path).unlink, missing_ok=True)
            written.pop_all()
        return AppendResult(path, container.size, manifest, tuple(new), "detached" if new else "nothing to do")
