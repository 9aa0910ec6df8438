"""What a keeper knows of its files from one run to the next: one SQLite file, in a folder of its own.

It holds for each file the digest of its manifest and of its signature records when it was taken in, and which run has
proven which of its bytes. Every step is a transaction that is synced, so that a run which is killed, or a machine that
loses power, leaves the state of one moment; and a lock lets one run write at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.keeping.spans import NEVER, Read, oldest, tiled
from llamafile_format.output.lock import held
from llamafile_format.output.publish import make_folder

NAME = "state.sqlite"
_APPLICATION = 0x4C464B31  # so that no other program's database is taken for ours
_VERSION = 1
_TABLES = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, terms TEXT NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL,
                   done INTEGER NOT NULL);
CREATE TABLE files (path BLOB PRIMARY KEY, manifest TEXT NOT NULL, records TEXT NOT NULL, size INTEGER NOT NULL,
                    first INTEGER NOT NULL, word TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE reads (path BLOB NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, run INTEGER NOT NULL,
                    PRIMARY KEY (path, start));
CREATE TABLE kept (path BLOB PRIMARY KEY);
"""

Records = tuple[tuple[str, str], ...]
"""Path and SHA-256 of each signature record."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A file as it was when it was taken in, and what was found since.

    ``manifest_sha256`` and ``records`` are what a repair must give back. ``reads`` tile its ``size`` bytes. ``first``
    is the run by which every byte had been proven for the first time. ``word`` is ``damaged``, ``changed`` or
    ``missing`` after a run that found it so, and empty else; ``detail`` says more.
    """

    path: str
    manifest_sha256: str
    records: Records
    size: int
    reads: tuple[Read, ...]
    first: int = NEVER
    word: str = ""
    detail: str = ""

    @property
    def proven(self) -> int:
        """The run since which every byte has been proven; :data:`NEVER` if some byte never was."""
        return oldest(self.reads)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``terms`` are what was asked for, ``ended`` is empty if it was killed, ``done`` are bytes read."""

    number: int
    terms: str
    began: str
    ended: str
    done: int


class State:
    """A state that is read, or written to by one process. Use it in a ``with``."""

    def __init__(self, folder: str | os.PathLike[str], *, write: bool) -> None:
        """Open the state in ``folder``, which is made if ``write``. UsageError if there is none, or another run writes
        to it; FormatError for what is none."""
        self._lock = -1
        place = Path(folder)
        self.folder = place
        path = place / NAME
        if write:
            make_folder(place)
            self._lock = held(place, f"the state {place}")
        elif not path.is_file():
            raise UsageError(f"{place} holds no state", hint="`scrub --state DIR` begins one")
        try:
            # Also who only reads may have to roll back what a killed run had begun.
            mode = "rwc" if write else "rw" if os.access(path, os.W_OK) and os.access(place, os.W_OK) else "ro"
            address = f"{path.absolute().as_uri()}?mode={mode}"
            self._base = sqlite3.connect(address, uri=True, isolation_level=None, timeout=60.0)
            with self._speaking():
                self._begin(write)
        except BaseException:
            self.close()
            raise

    def _begin(self, write: bool) -> None:
        execute = self._base.execute
        if write:
            execute("PRAGMA journal_mode = DELETE")
            execute("PRAGMA synchronous = EXTRA")
            if not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _TABLES.split(";")):
                    execute(statement)
                execute(f"PRAGMA application_id = {_APPLICATION}")
                execute(f"PRAGMA user_version = {_VERSION}")
                execute("COMMIT")
        found = execute("PRAGMA application_id").fetchone()[0], execute("PRAGMA user_version").fetchone()[0]
        if found != (_APPLICATION, _VERSION):
            raise FormatError(
                f"{self.folder / NAME} is no state that this version can read",
                found=f"{found[0]:#x} {found[1]}",
                allowed=f"{_APPLICATION:#x} {_VERSION}",
            )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """What SQLite has to complain of, in our words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            hint = (
                "free some space there: what was written of the state before is whole" if "full" in str(error) else ""
            )
            raise SourceError(f"cannot use the state {self.folder / NAME}: {error}", hint=hint) from error
        except sqlite3.DatabaseError as error:
            raise FormatError(
                f"{self.folder / NAME} is damaged: {error}",
                hint="put a copy of it there, or begin another with --state",
            ) from error

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with self._speaking():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def runs(self) -> tuple[Run, ...]:
        """All runs, oldest first."""
        with self._speaking():
            rows = self._base.execute("SELECT id, terms, began, ended, done FROM runs ORDER BY id").fetchall()
        return tuple(Run(int(row[0]), str(row[1]), str(row[2]), str(row[3]), int(row[4])) for row in rows)

    def begin(self, terms: str, now: str) -> Run:
        """The run that goes on now: the last one if it was killed and had these ``terms``, else a new one."""
        last = next(reversed(self.runs()), None)
        if last is not None and not last.ended and last.terms == terms:
            return last
        with self._step() as base:
            base.execute("INSERT INTO runs (terms, began, ended, done) VALUES (?, ?, '', 0)", (terms, now))
        return self.runs()[-1]

    def end(self, run: Run, now: str) -> None:
        """``run`` has done all that it was to do."""
        with self._step() as base:
            base.execute("UPDATE runs SET ended = ? WHERE id = ?", (now, run.number))

    def files(self) -> tuple[Tracked, ...]:
        """Every file that is watched, by name."""
        with self._speaking():
            reads: dict[bytes, list[Read]] = {}
            for path, start, stop, run in self._base.execute("SELECT path, start, stop, run FROM reads"):
                reads.setdefault(path, []).append(Read(int(start), int(stop), int(run)))
            rows = self._base.execute("SELECT path, manifest, records, size, first, word, detail FROM files").fetchall()
        return tuple(sorted((_tracked(row, reads) for row in rows), key=lambda file: file.path))

    def put(self, *files: Tracked, run: Run | None = None, done: int = 0) -> None:
        """Write down what is known of ``files`` now, and that ``run`` has read ``done`` bytes more."""
        with self._step() as base:
            for file in files:
                path = os.fsencode(file.path)
                row = (path, file.manifest_sha256, json.dumps(file.records), file.size, file.first, file.word)
                base.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, file.detail))
                base.execute("DELETE FROM reads WHERE path = ?", (path,))
                rows = [(path, read.start, read.stop, read.run) for read in file.reads if read.run != NEVER]
                base.executemany("INSERT INTO reads VALUES (?, ?, ?, ?)", rows)
            if run is not None:
                base.execute("UPDATE runs SET done = done + ? WHERE id = ?", (done, run.number))

    def forget(self, path: str) -> None:
        """Watch ``path`` no longer."""
        with self._step() as base:
            base.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),))
            base.execute("DELETE FROM reads WHERE path = ?", (os.fsencode(path),))

    def keep(self, path: str) -> None:
        """``path`` is a damaged copy that was put aside: nothing to watch over."""
        with self._step() as base:
            base.execute("INSERT OR REPLACE INTO kept VALUES (?)", (os.fsencode(path),))

    def kept(self) -> frozenset[str]:
        """The damaged copies that were put aside."""
        with self._speaking():
            return frozenset(os.fsdecode(row[0]) for row in self._base.execute("SELECT path FROM kept"))

    def close(self) -> None:
        """End it, and let others write."""
        base = getattr(self, "_base", None)
        if base is not None:
            base.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> State:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """:meth:`close`."""
        self.close()


def _tracked(row: Sequence[object], reads: dict[bytes, list[Read]]) -> Tracked:
    path, manifest, records, size, first, word, detail = row
    if not isinstance(path, bytes) or not isinstance(size, int) or not isinstance(first, int):
        raise FormatError("the state is damaged: a row is none", hint="put a copy of it there")
    try:
        pairs = tuple((str(name), str(digest)) for name, digest in json.loads(str(records)))
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError("the state is damaged: records of a file are none") from error
    file = Tracked(os.fsdecode(path), str(manifest), pairs, size, (), first, str(word), str(detail))
    return replace(file, reads=tiled(reads.get(path, ()), size))
