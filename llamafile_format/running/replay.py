"""``replay``: ask a model again what it was asked when its behaviour was recorded, and compare (spec/1, 15.5).

Nothing is needed but the file: weights, runtime and record are in it. The replay reads no network and writes nothing
but the unpacked runtime into the private cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from llamafile_format.checks.behaviour import replay_findings, too_large
from llamafile_format.checks.verdict import Verdict, judge
from llamafile_format.container import Container, Kind, MemberFacts, open_container
from llamafile_format.engines.ask import trace
from llamafile_format.engines.behaviour import Agreement, Record, Subject, member_of
from llamafile_format.engines.behaviour_compare import MORE, Comparison, compare
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.trace import TIMEOUT, Identity, Trace
from llamafile_format.errors import FormatError, RuntimeFailure, UsageError
from llamafile_format.findings import Finding, Where
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer
from llamafile_format.running.choose_runtime import Chosen, Wanted, choose_runtime
from llamafile_format.source import FileSource


@dataclass(frozen=True, slots=True)
class RecordReplay:
    """One record that was replayed, or why it could not be.

    ``demanded`` is the class that had to be reached (15.5.4), ``reached`` the one that was; both None with ``error``.
    """

    member: str
    record: Record | None
    chosen: Chosen | None = None
    identity: Identity | None = None
    demanded: Agreement | None = None
    comparison: Comparison | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reached(self) -> Agreement | None:
        """The class that was reached."""
        return self.comparison.agreement if self.comparison else None

    @property
    def agrees(self) -> bool | None:
        """Whether what was demanded was reached; None if that is not known."""
        if self.comparison is None or self.demanded is None:
            return None
        return self.comparison.agreement.meets(self.demanded)


@dataclass(frozen=True, slots=True)
class Replay:
    """All records of a file. ``size`` in bytes."""

    name: str
    size: int
    manifest_sha256: str
    records: tuple[RecordReplay, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """The verdict of the layer behaviour (10.1.3)."""
        return judge(self.findings, Layer.BEHAVIOUR)

    @property
    def exit_code(self) -> int:
        """Clause 10.7: 0 as recorded, 6 it differs, 4 it could not be told."""
        return {Verdict.YES: 0, Verdict.NO: 6, Verdict.UNDETERMINED: 4}[self.verdict]


def replay(
    what: str | Path,
    *,
    records: Sequence[str] = (),
    wanted: Wanted | None = None,
    threads: int | None = None,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Replay:
    """Replay the records of the container at ``what``: all, or those named (by name, member path, or attested/NNNN).

    ``wanted`` picks the build, ``threads`` replaces the recorded number, ``timeout`` is seconds for each record, and
    ``progress`` counts records.
    Raises UsageError for names that are not there, NotALlamafile and SourceError as ``open`` does. What a replay finds
    is in the result.
    """
    with open_container(what) as container:
        if container.kind is not Kind.CONTAINER or container.manifest is None:
            raise UsageError(f"{what} is not a 1.0 container", hint="`llamafile-format repack` makes one of it")
        return replay_container(
            container,
            records=records,
            wanted=wanted or Wanted(),
            threads=threads,
            timeout=timeout,
            attested=True,
            progress=progress,
        )


def replay_container(
    container: Container,
    *,
    records: Sequence[str] = (),
    wanted: Wanted,
    threads: int | None = None,
    timeout: float = TIMEOUT,
    attested: bool = False,
    progress: Progress | None = None,
) -> Replay:
    """:func:`replay` for a container that is open.

    Records in the signature tail are replayed only if they are ``attested``: anybody can append one, and the verdict on
    a file is not for anybody to turn.
    """
    members = _named(container, records, attested=attested)
    findings: list[Finding] = []
    if not members:
        findings.append(Finding("LF9118"))
    done = []
    for index, member in enumerate(members):
        if progress:
            progress(index, len(members))
        result = _replay(container, member, wanted, threads, timeout)
        done.append(result)
        findings += _findings(result)
    digest = hashlib.sha256(container.manifest_bytes).hexdigest()
    return Replay(container.name, container.size, digest, tuple(done), tuple(findings))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a record comes from: its name, and how to read its bytes. FormatError if there are none to be had."""

    name: str
    read: Callable[[], bytes]


def _named(container: Container, names: Sequence[str], *, attested: bool) -> list[_Source]:
    there = {item.name: item for item in _sources(container, attested=attested)}
    if not names:
        return list(there.values())
    missing = [name for name in names if name not in there and member_of(name) not in there]
    if missing:
        raise UsageError(f"there is no behaviour record {missing[0]}", hint=f"records: {', '.join(there) or 'none'}")
    return [there[name] if name in there else there[member_of(name)] for name in names]


def _sources(container: Container, *, attested: bool) -> Iterator[_Source]:
    for member in container.members:
        if member.role == "behaviour":
            yield _Source(member.path, partial(_read, container, member))
    if attested:
        from llamafile_format.checks.attested import attested_records

        for name, data in attested_records(container).items():
            yield _Source(name, partial(bytes, data))


def _read(container: Container, member: MemberFacts) -> bytes:
    if too_large(member.size):
        raise FormatError(f"it has {member.size} bytes, which no record has")
    return container.read(member.path)


def _replay(container: Container, source: _Source, wanted: Wanted, threads: int | None, timeout: float) -> RecordReplay:
    try:
        reading = read_record(source.read())
    except FormatError as error:
        return RecordReplay(source.name, None, error=error.message)
    faults = [*reading.faults, *reading.contradictions]
    if reading.record is None or faults:
        reason = reading.reason or f"{faults[0][0]}: {faults[0][1]}"
        return RecordReplay(source.name, None, error=f"the record is faulty: {reason}")
    record = reading.record
    try:
        chosen = choose_runtime(container, wanted, like=record.subject.runtime)
        answer = run_trace(container, chosen, record, threads=threads, timeout=timeout)
    except (RuntimeFailure, FormatError) as error:
        hint = f" ({error.hint})" if error.hint else ""
        return RecordReplay(source.name, record, error=f"{error.message}{hint}")
    comparison = compare(record, answer)
    demanded = demanded_of(record, chosen)
    result = RecordReplay(source.name, record, chosen, answer.identity, demanded, comparison)
    return result if result.agrees else replace(result, notes=_why(container, record.subject))


def demanded_of(record: Record, chosen: Chosen) -> Agreement:
    """What a replay by ``chosen`` must reach (15.5.4): the record's class is promised by builds of its kind alone."""
    return record.agreement if chosen.promises(record.subject.runtime) else Agreement.NEAR


def run_trace(
    container: Container, chosen: Chosen, record: Record, *, threads: int | None = None, timeout: float = TIMEOUT
) -> Trace:
    """Ask ``chosen`` what ``record`` was asked."""
    first = _weights(container, record.subject)
    default = container.manifest.default if container.manifest else ""
    if chosen.via.name == "wasmtime":
        threads = 1  # WebAssembly has no threads here
    return trace(
        chosen.program,
        path_of(container),
        record.request(threads=threads, more=MORE),
        via=chosen.via,
        weights=(first.offset, first.size),
        model="" if first.path == default else first.path,
        opened=source_of(container),
        before=chosen.before,
        timeout=timeout,
    )


def path_of(container: Container) -> Path:
    """Where the open file lies, so that a runtime opens it too. RuntimeFailure if another one took its name."""
    source = container.origin
    path = Path(source.name)
    with contextlib.suppress(OSError):
        if isinstance(source, FileSource) and os.path.samestat(os.fstat(source.fd), path.stat()):
            return path
    raise RuntimeFailure(f"{source.name} is not, or no longer, the file that was opened")


def source_of(container: Container) -> FileSource | None:
    """The open file of ``container``, if it is one."""
    return container.origin if isinstance(container.origin, FileSource) else None


def _weights(container: Container, subject: Subject) -> MemberFacts:
    """The first member of the recorded weights, whatever its name is now."""
    by_digest = {member.sha256: member for member in container.members if member.role == "weights"}
    for part in subject.weights:
        if part.sha256 not in by_digest:
            raise RuntimeFailure(f"the recorded weights {part.path} are not in the file")
    return by_digest[subject.weights[0].sha256]


def _why(container: Container, subject: Subject) -> tuple[str, ...]:
    """A difference may be damage: whether the weights still have their digest."""
    damaged = damaged_weights(container, subject)
    if damaged:
        return (f"{damaged} is damaged: its bytes no longer have the recorded SHA-256",)
    return ("the weights have the recorded SHA-256, so it is not they that differ",)


def damaged_weights(container: Container, subject: Subject) -> str:
    """Path of a member of weights whose bytes do not have their digest any more; empty if all have. Reads them all."""
    from llamafile_format.manifest.hashing import digest_range

    wanted = {part.sha256 for part in subject.weights}
    for member in container.members:
        if member.sha256 in wanted and member.role == "weights":
            found = digest_range(container.source, member.offset, member.size)
            if found.sha256.hex() != member.sha256:
                return member.path
    return ""


def _findings(result: RecordReplay) -> list[Finding]:
    where = Where(member=result.member)
    if result.error or result.record is None or result.comparison is None or result.demanded is None:
        return [Finding("LF9117", where, {"path": result.member, "reason": result.error})]
    return list(replay_findings(result.comparison, result.record, result.demanded, result.member))
