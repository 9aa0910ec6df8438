"""``status``: what is protected, when it was last proven, what is due next, and which level that is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llamafile_format.caring import outdated_set, read_log, sidecar_of, sidecar_percent
from llamafile_format.checks.canonical import signature_entries
from llamafile_format.container import Container, Kind
from llamafile_format.errors import LlamafileError
from llamafile_format.examining import expand
from llamafile_format.keeping.ageing import Due, ageing
from llamafile_format.keeping.integrity import UNKNOWN, Level, Seen, level_of
from llamafile_format.keeping.places import absolute, below
from llamafile_format.keeping.state import State, Tracked
from llamafile_format.recovery.sets import recovery_percent
from llamafile_format.source import FileSource
from llamafile_format.source.pending import refuse_pending

INTERVAL = 365
"""Days within which every byte is to be proven again, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file. Moments like ``2026-11-29T14:00:00Z``, empty for never; ``proven`` is when its oldest byte was proven.

    ``read`` is how many of its ``size`` bytes were ever proven. ``inside`` and ``beside`` are percentages that recovery
    data can bring back (0: none); ``outdated`` says that those beside are older than the file. ``word`` is ``damaged``,
    ``changed``, ``missing``, ``unreadable``, ``untracked``, or empty.
    """

    path: str
    size: int
    manifest_sha256: str
    word: str = ""
    detail: str = ""
    first: str = ""
    proven: str = ""
    read: int = 0
    inside: int = 0
    beside: int = 0
    outdated: bool = False
    signatures: int = 0
    due: tuple[Due, ...] = ()
    level: Level = UNKNOWN

    @property
    def protected(self) -> bool:
        """True if recovery data that are up to date can repair it."""
        return bool(self.inside or (self.beside and not self.outdated))


@dataclass(frozen=True, slots=True)
class Status:
    """All files, as of ``moment``; ``state`` is empty if none was named. ``level`` is that of the least kept file."""

    moment: str
    state: str
    interval: int
    files: tuple[FileStatus, ...]
    notes: tuple[str, ...] = ()

    @property
    def level(self) -> int:
        """The lowest level of all files; 0 if there is none."""
        return min((file.level.reached for file in self.files), default=0)

    @property
    def exit_code(self) -> int:
        """1 if a file is damaged, changed or missing, 4 if one cannot be read, 3 if there is none, else 0."""
        if not self.files and not self.notes:
            return 3
        words = {file.word for file in self.files}
        return 4 if "unreadable" in words or self.notes else 1 if words & {"damaged", "changed", "missing"} else 0


def status(
    paths: Sequence[str | os.PathLike[str]],
    state: str | os.PathLike[str] | None = None,
    *,
    interval: int = INTERVAL,
    now: datetime | None = None,
) -> Status:
    """How the containers ``paths`` (files, and folders with all below) are kept, as far as ``state`` knows.
    ``interval`` in days. No weights are read. UsageError if there is no such state, FormatError for one that is
    none.
    """
    moment = now or datetime.now(UTC)
    names = absolute(paths)
    with ExitStack() as stack:
        known: Mapping[str, Tracked] = {}
        began: Mapping[int, str] = {}
        kept: frozenset[str] = frozenset()
        if state is not None:
            opened = stack.enter_context(State(state, write=False))
            known = {file.path: file for file in opened.files()}
            began = {run.number: run.began for run in opened.runs()}
            kept = opened.kept()
    look = _Look(known, began, None if state is None else Path(state), moment, interval)
    notes: list[str] = []
    found = [
        look.file(path)
        for path, named in expand(names, refused=lambda _, error: notes.append(error.message))
        if path not in kept and (named or path in known or _is_container(path))
    ]
    there = {file.path for file in found}
    gone = [look.file(path) for path in known if path not in there and below(path, names)]
    files = sorted([*found, *gone], key=lambda file: file.path)
    place = "" if state is None else os.fspath(state)
    return Status(f"{moment:%Y-%m-%dT%H:%M:%SZ}", place, interval, tuple(files), tuple(notes))


def _is_container(path: str) -> bool:
    with suppress(LlamafileError), FileSource(path) as source, Container(source) as container:
        return container.kind is Kind.CONTAINER
    return False


@dataclass(frozen=True, slots=True)
class _Look:
    known: Mapping[str, Tracked]
    began: Mapping[int, str]
    state: Path | None
    now: datetime
    interval: int

    def file(self, path: str) -> FileStatus:
        """The status of the file ``path``, whatever is wrong with it."""
        tracked = self.known.get(path)
        if not os.path.lexists(path):
            return self._levelled(FileStatus(path, 0, "", "missing"), tracked)
        try:
            return self._levelled(self._opened(path, tracked), tracked)
        except LlamafileError as error:
            return self._levelled(FileStatus(path, 0, "", "unreadable", error.message), tracked)

    def _opened(self, path: str, tracked: Tracked | None) -> FileStatus:
        refuse_pending(path)
        with FileSource(path) as source, Container(source) as container:
            digest = hashlib.sha256(container.manifest_bytes).hexdigest() if container.manifest else ""
            members = container.manifest.with_role("recovery") if container.manifest else ()
            inside = max((_percent(container, member.path) for member in members), default=0)
            word = tracked.word if tracked else "" if self.state is None else "untracked"
            other = tracked is not None and tracked.manifest_sha256 != digest and not word
            return FileStatus(
                path,
                source.size,
                digest,
                word="changed" if other else word,
                detail="its manifest is not the one that was recorded" if other else tracked.detail if tracked else "",
                inside=inside,
                beside=sidecar_percent(path) if sidecar_of(path) is not None else 0,
                outdated=outdated_set(path) is not None,
                signatures=len(signature_entries(container.archive)),
                due=ageing(container),
            )

    def _levelled(self, file: FileStatus, tracked: Tracked | None) -> FileStatus:
        """With what the state knows, what is due, and the level."""
        if tracked is not None:
            file = replace(
                file,
                size=file.size or tracked.size,
                manifest_sha256=file.manifest_sha256 or tracked.manifest_sha256,
                first=self.began.get(tracked.first, ""),
                proven=self.began.get(tracked.proven, ""),
                read=sum(read.length for read in tracked.reads if read.run),
            )
        last = self._last_day(file)
        due = tuple(sorted((*self._care(file, last), *file.due), key=lambda each: each.day or "0"))
        seen = Seen(
            tracked=tracked is not None,
            whole=bool(tracked and tracked.proven),
            again=bool(tracked and tracked.first and tracked.proven > tracked.first),
            overdue=bool(last) and last < f"{self.now:%Y-%m-%d}",
            apart=self._apart(file.path),
            scanned=_scanned(file),
            protected=file.protected,
            wrong=file.word in ("damaged", "changed", "missing", "unreadable"),
        )
        return replace(file, due=due, level=level_of(seen))

    def _last_day(self, file: FileStatus) -> str:
        """The day by which every byte is to be proven again."""
        if not file.proven:
            return ""
        then = datetime.fromisoformat(file.proven) + timedelta(days=self.interval)
        return f"{then:%Y-%m-%d}"

    def _care(self, file: FileStatus, last: str) -> Iterator[Due]:
        if file.word in ("damaged", "missing"):
            yield Due("", "repair", f"it is {file.word}")
        elif file.word == "changed":
            yield Due(
                "", "look", "it is not the file that was recorded: bring it back, or accept it with scrub --accept"
            )
        if self.state is not None and file.word != "missing":
            yield Due(
                last, "scrub", "every byte is to be proven again" if last else "not every byte has been proven yet"
            )
        if not file.inside and not file.beside and file.word != "missing":
            yield Due("", "protect", "there are no recovery data")
        elif file.outdated and not file.inside:
            yield Due("", "protect --update", "the recovery data beside it are older than the file")

    def _apart(self, path: str) -> bool:
        if self.state is None:
            return False
        with suppress(OSError):
            return Path(path).parent.stat().st_dev != self.state.stat().st_dev
        return False


def _percent(container: Container, path: str) -> int:
    with suppress(LlamafileError):
        return recovery_percent(container.window(path))
    return 0


def _scanned(file: FileStatus) -> bool:
    """Does the log of the file tell of a virus check that it passed, as it is now?"""
    with suppress(LlamafileError):
        return any(
            each.event.kind == "virus check"
            and each.event.outcome == "pass"
            and each.manifest_sha256 == file.manifest_sha256
            for each in read_log(file.path)
        )
    return False
