"""``scrub``: read what is kept again, a share at a time, and say what is not as it was."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby

from llamafile_format import __version__
from llamafile_format.caring import Event, add_event
from llamafile_format.errors import LlamafileError, SourceError
from llamafile_format.examining import expand
from llamafile_format.keeping.compare import Found, compared, taken_in
from llamafile_format.keeping.compare import State as Seen
from llamafile_format.keeping.journal import add_run
from llamafile_format.keeping.mend import mended
from llamafile_format.keeping.outcome import Outcome, Scrubbed
from llamafile_format.keeping.places import absolute, below
from llamafile_format.keeping.spans import Everything, Read, Share, cut, share_of, with_read
from llamafile_format.keeping.state import Run, State, Tracked
from llamafile_format.progress import Progress, counted

_STEP = 1 << 30
"""Bytes that a killed run reads again at most."""

Clock = Callable[[], datetime]


def scrub(
    paths: Sequence[str | os.PathLike[str]],
    state: str | os.PathLike[str],
    *,
    share: Share = Everything(),  # noqa: B008 - a value without state
    repair: bool = False,
    accept: bool = False,
    events: bool = False,
    clock: Clock = lambda: datetime.now(UTC),
    progress: Progress | None = None,
) -> Scrubbed:
    """Read ``share`` of the containers ``paths`` (files, and folders with all below), what was proven longest ago
    first, and compare them with ``state``, a folder; what is new there is taken in.

    With ``repair`` a damaged file becomes what was recorded of it, if its recovery data, beside or inside, give that;
    with ``accept`` what was changed, signed or removed on purpose is recorded as it is now; with ``events`` each
    file that was proven whole, changed or repaired gets a line in its own log. A run that was killed goes on where it
    was if it is called again with the same ``paths`` and ``share``. Every run adds a line to ``scrub.jsonl`` in
    ``state``.

    UsageError if another run writes to the state, FormatError for a state that is none, SourceError if it cannot be
    written. What is wrong with files is in the result.
    """
    names = absolute(paths)
    with State(state, write=True) as opened:
        terms = json.dumps([names, repr(share), repair, accept], sort_keys=True)
        run = opened.begin(terms, _moment(clock()))
        job = _Scrub(opened, run, share, clock, repair=repair, accept=accept, progress=progress)
        job.look_around(names)
        job.read()
        result = job.result()
        if events:
            job.tell_files(result)
        add_run(opened.folder, result)
        opened.end(run, result.ended)
        return result


@dataclass(slots=True)
class _Scrub:
    """One run at work."""

    state: State
    run: Run
    share: Share
    clock: Clock
    repair: bool
    accept: bool
    progress: Progress | None
    watched: dict[str, Tracked] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    others: int = 0
    done: int = 0

    def look_around(self, names: Sequence[str]) -> None:
        """Which files are there, which are new, and which are gone. Nothing of their weights is read."""
        known = {file.path: file for file in self.state.files() if below(file.path, names)}
        there: set[str] = set()
        kept = self.state.kept()
        for path, named in expand(names, refused=self._refused):
            if path in there or path in kept:
                continue
            there.add(path)
            if named and not os.path.lexists(path):
                there.discard(path)
                if path not in known:
                    self._say(Outcome(path, "missing", "nothing is there, and nothing was recorded"))
            elif path in known:
                file = known[path]
                self.watched[path] = replace(file, word="") if file.word == "missing" else file
            else:
                self._take_in(path)
        for path in sorted(known.keys() - there):
            self._gone(known[path])

    def _refused(self, folder: str, error: SourceError) -> None:
        self._say(Outcome(folder, "unreadable", error.message))

    def _gone(self, file: Tracked) -> None:
        if os.path.lexists(file.path):  # a folder that could not be listed hides it, or it is a link now
            self._say(Outcome(file.path, "unreadable", "it is there, and cannot be reached from what was named"))
        elif self.accept:
            self.state.forget(file.path)
            self._say(Outcome(file.path, "forgotten", "nothing is there any more"))
        else:
            self.state.put(replace(file, word="missing", detail=""))
            self._say(Outcome(file.path, "missing"))

    def _take_in(self, path: str) -> None:
        try:
            found = taken_in(path)
        except SourceError as error:
            self._say(Outcome(path, "unreadable", error.message))
            return
        if isinstance(found, Tracked):
            self.state.put(found)
            self.watched[path] = found
            self._say(Outcome(path, "added", f"manifest sha256:{found.manifest_sha256}"))
        elif found:
            self._say(Outcome(path, "untracked", found))
        else:
            self.others += 1

    def _say(self, outcome: Outcome) -> None:
        self.outcomes[outcome.path] = outcome

    def read(self) -> None:
        """The share, oldest first; what is wrong is said, and repaired if that was asked for."""
        tiles = tuple((path, file.reads) for path, file in sorted(self.watched.items()))
        plan = list(share_of(tiles, self.share, self.run.number, self.run.done))
        advance = counted(self.progress, sum(read.length for _, read in plan)) if self.progress else None
        for path, group in groupby(plan, key=lambda each: each[0]):
            for _, part in group:
                for read in cut(part, _STEP):
                    if not self._settled(path):
                        self._read(path, read)
                    if advance:
                        advance(read.length)
        for path, file in self.watched.items():
            if file.word and path not in self.outcomes:
                detail = f"{file.detail}; an earlier run found it so"
                self._say(Outcome(path, "changed", detail, damaged=file.word == "damaged"))
        for path, outcome in sorted(self.outcomes.items()):
            if outcome.damaged and self.repair and path in self.watched:
                self._mend(path, outcome)

    def _settled(self, path: str) -> bool:
        """True if reading on would tell nothing: the file is another one, or cannot be opened."""
        found = self.outcomes.get(path)
        return found is not None and (found.word == "unreadable" or (found.word == "changed" and not found.faults))

    def _read(self, path: str, read: Read) -> None:
        file = self.watched[path]
        try:
            found = compared(file, read)
            if found.state is Seen.CHANGED and self.accept and path not in self.accepted:
                before, file = file, self._accept(file)
                read = Read(read.start, file.size if read.stop == before.size else read.stop)
                found = compared(file, read)
        except SourceError as error:
            self._say(Outcome(path, "unreadable", error.message, damaged=_rotten(error)))
            return
        self.done += read.length
        if found.state is Seen.RIGHT:
            self._right(file, read)
        else:
            self._wrong(file, found, read)

    def _right(self, file: Tracked, read: Read) -> None:
        before = file.proven
        stop = min(read.stop, file.size)  # one that was accepted may be shorter than it was
        if read.start >= stop:
            return
        now = replace(file, reads=with_read(file.reads, Read(read.start, stop, self.run.number)))
        wrong = self.outcomes.get(file.path)
        if now.proven and now.proven != before and not (wrong and wrong.word == "changed"):
            now = replace(now, first=file.first or self.run.number, word="", detail="")
            self.whole.append(file.path)
        self.watched[file.path] = now
        self.state.put(now, run=self.run, done=read.length)

    def _accept(self, file: Tracked) -> Tracked:
        """``file`` as it is now, recorded, once in a run; what is in no order stays as it was recorded, and changed."""
        self.accepted.add(file.path)
        found = taken_in(file.path)
        if not isinstance(found, Tracked):
            return file
        same = found.manifest_sha256 == file.manifest_sha256 and found.size >= file.size
        now = replace(found, first=file.first) if same else found
        self.watched[file.path] = now
        self.state.put(now)
        self._say(Outcome(file.path, "accepted", f"manifest sha256:{now.manifest_sha256}"))
        return now

    def _wrong(self, file: Tracked, found: Found, read: Read) -> None:
        before = self.outcomes.get(file.path)
        faults = (before.faults if before and before.word == "changed" else ()) + found.faults
        damaged = found.state is Seen.DAMAGED
        self._say(Outcome(file.path, "changed", found.detail, damaged=damaged, faults=tuple(dict.fromkeys(faults))))
        now = replace(file, word="damaged" if damaged else "changed", detail=found.detail)
        self.watched[file.path] = now
        self.state.put(now, run=self.run, done=read.length)

    def _mend(self, path: str, outcome: Outcome) -> None:
        file = self.watched[path]
        try:
            aside, proof = mended(file, f"{self.clock():%Y-%m-%d}", self.state.keep, self.progress)
        except LlamafileError as error:
            self._say(replace(outcome, detail=f"{outcome.detail}; not repaired: {error.message}"))
            return
        reads = (Read(0, file.size, self.run.number),)  # the proof has read all of it
        now = replace(file, reads=reads, first=file.first or self.run.number, word="", detail="")
        self.watched[path] = now
        self.state.put(now)
        self.whole.append(path)
        self._say(replace(outcome, word="repaired", kept=str(aside), proof=proof))

    def result(self) -> Scrubbed:
        """What the run comes to."""
        files = tuple(self.watched.values())
        return Scrubbed(
            run=self.run.number,
            began=self.run.began,
            ended=_moment(self.clock()),
            agent=f"llamafile-format {__version__}",
            files=len(files),
            size=sum(file.size for file in files),
            read=self.run.done + self.done,
            whole=tuple(sorted(set(self.whole))),
            outcomes=tuple(self.outcomes[path] for path in sorted(self.outcomes)),
            others=self.others,
        )

    def tell_files(self, result: Scrubbed) -> None:
        """A line in the log of each file that this run says something final of."""
        told = dict.fromkeys(result.whole, "pass")
        told |= {each.path: "fail" for each in result.outcomes if each.word == "changed"}
        repaired = {each.path: each for each in result.outcomes if each.word == "repaired"}
        for path, word in sorted(told.items()):
            kind = "recovery" if path in repaired else "fixity check"
            detail = f"scrub {self.run.number}: proved by {repaired[path].proof}" if path in repaired else ""
            event = Event(kind, result.ended, detail or f"scrub {self.run.number}", word, result.agent)
            try:
                add_event(path, event)
            except LlamafileError as error:
                self._unsaid(result, path, error)

    def _unsaid(self, result: Scrubbed, path: str, error: LlamafileError) -> None:
        result.notes.append(f"{path}: its log has no line of this run: {error.message}")


def _rotten(error: SourceError) -> bool:
    """True if the medium does not give the bytes any more, which is damage like any other."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
