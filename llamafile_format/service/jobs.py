"""The queue: what was accepted is on the disk before anybody is told, and outlives a kill (spec/1, 10.16.4).

SQLite with a write-ahead log, synced at each commit; one connection, used by one thread at a time.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from llamafile_format.service.config import Caps, Key

DAY = 86400.0
FILE = "jobs.sqlite"
_LARGEST = 1 << 24  # bytes of a report that is kept
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, holder TEXT NOT NULL, address TEXT NOT NULL,
    name TEXT NOT NULL, size INTEGER NOT NULL, level TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL,
    created REAL NOT NULL, ended REAL NOT NULL, report BLOB, why TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, holder);
CREATE INDEX IF NOT EXISTS by_holder ON jobs (holder, created);
"""
_COLUMNS = "id, holder, address, name, size, level, state, tries, created, ended, why"
_NEXT = f"""
SELECT {_COLUMNS} FROM jobs AS job WHERE state = 'queued' ORDER BY
    (SELECT count(*) FROM jobs AS other WHERE other.state = 'running' AND other.holder = job.holder), seq LIMIT 1
"""


class State(StrEnum):
    """Where a job stands. ``done``: there is a report; ``failed``: there is none, and ``why`` says the reason."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Busy(Exception):
    """There is no room now; come again after ``seconds``."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.why = why
        self.seconds = seconds


@dataclass(frozen=True, slots=True, repr=False)  # an address can hold a secret
class Job:
    """One verification. ``address`` is what is asked for, empty for an upload of ``size`` bytes; ``name`` is shown."""

    id: str
    holder: str
    address: str
    name: str
    size: int
    level: str
    state: State = State.QUEUED
    tries: int = 0
    created: float = 0.0
    ended: float = 0.0
    why: str = ""


def new_id() -> str:
    """A name that nobody guesses."""
    return secrets.token_hex(16)


class Jobs:
    """All jobs of the folder ``state``."""

    def __init__(self, state: Path, caps: Caps) -> None:
        self._caps = caps
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._base = sqlite3.connect(state / FILE, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute("PRAGMA secure_delete = ON")  # addresses that were cut are not to be found in free pages
        self._base.executescript(_SCHEMA)
        self._ended = False

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def room(self, key: Key) -> None:
        """Busy if ``key`` can have no other job now."""
        with self._lock:
            self._room(key)

    def _room(self, key: Key) -> None:
        count = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
        if self._base.execute(f"{count} AND holder = ?", [key.name]).fetchone()[0] >= key.waiting:
            raise Busy(f"{key.waiting} jobs of this key are waiting already", 10)
        if self._base.execute(count).fetchone()[0] >= self._caps.waiting:
            raise Busy("too many jobs are waiting", 30)

    def add(self, job: Job, key: Key) -> Job:
        """Accept ``job``; when this returns, a kill or a power cut does not lose it. Busy if there is no room."""
        created = time.time()
        row = [job.id, job.holder, job.address, job.name, job.size, job.level, created]
        with self._change() as base:
            self._room(key)
            base.execute(
                "INSERT INTO jobs (id, holder, address, name, size, level, state, tries, created, ended, why)"
                " VALUES (?, ?, ?, ?, ?, ?, 'queued', 0, ?, 0, '')",
                row,
            )
            self._more.notify()
        return self.get(job.id) or job

    def day(self, key: Key) -> tuple[int, float]:
        """Bytes that ``key`` has sent within a day, and seconds until the first of them no longer count."""
        since = time.time() - DAY
        with self._lock:
            total, first = self._base.execute(
                "SELECT coalesce(sum(size), 0), coalesce(min(created), 0) FROM jobs"
                " WHERE holder = ? AND address = '' AND size > 0 AND created > ?",
                [key.name, since],
            ).fetchone()
        return int(total), max(1.0, first - since)

    def waiting(self, key: Key) -> int:
        """Bytes of uploads of ``key`` that wait for their judgement."""
        total = "SELECT coalesce(sum(size), 0) FROM jobs WHERE state IN ('queued', 'running') AND holder = ?"
        with self._lock:
            return int(self._base.execute(total, [key.name]).fetchone()[0])

    def get(self, name: str) -> Job | None:
        """The job of that id."""
        with self._lock:
            row = self._base.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", [name]).fetchone()
        return _job(row) if row else None

    def report(self, name: str) -> dict[str, Any] | None:
        """The report of a job that is done, as JSON has it."""
        with self._lock:
            row = self._base.execute("SELECT report FROM jobs WHERE id = ? AND state = 'done'", [name]).fetchone()
        value: dict[str, Any] | None = json.loads(zlib.decompress(row[0])) if row else None
        return value

    def take(self, patience: float) -> Job | None:
        """The next job, which is running from now on; of whoever has the fewest running. None after ``patience``."""
        with self._lock:
            if self._ended:
                return None
            if (row := self._base.execute(_NEXT).fetchone()) is None:
                self._more.wait(patience)
                return None
        with self._change() as base:
            if (row := base.execute(_NEXT).fetchone()) is None:
                return None
            base.execute("UPDATE jobs SET state = 'running', tries = tries + 1 WHERE id = ?", [row[0]])
        return self.get(row[0])

    def finish(self, job: Job, report: dict[str, Any] | None, why: str = "") -> None:
        """``job`` has ended: with ``report``, or ``why`` not. Its address is cut to what may be shown."""
        text = b"" if report is None else json.dumps(report, separators=(",", ":")).encode("ascii")
        if len(text) > _LARGEST:
            report, why = None, f"its report is too large: {len(text)} bytes"
        data = None if report is None else zlib.compress(text, 3)
        state = State.FAILED if report is None else State.DONE
        address = job.name if job.address else ""
        row = [str(state), data, why[:2000], time.time(), address, job.id]
        with self._change() as base:
            base.execute("UPDATE jobs SET state = ?, report = ?, why = ?, ended = ?, address = ? WHERE id = ?", row)
        if job.address != address:  # nor in the log of the database
            with self._lock:
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def again(self, job: Job) -> None:
        """Queue ``job`` once more: it is not its fault that there is no result."""
        with self._change() as base:
            base.execute("UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'running'", [job.id])

    def recover(self) -> list[Job]:
        """Queue again what a kill has interrupted; those that were tried too often are failed, and returned."""
        with self._change() as base:
            found = f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running' AND tries >= ?"
            over = [_job(row) for row in base.execute(found, [self._caps.tries])]
            base.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running' AND tries < ?", [self._caps.tries])
        for job in over:
            self.finish(job, None, f"the gate itself was ended {job.tries} times while this was verified")
        return over

    def uploads(self) -> set[str]:
        """Ids of uploads that are still to be judged."""
        with self._lock:
            rows = self._base.execute("SELECT id FROM jobs WHERE address = '' AND state IN ('queued', 'running')")
            return {row[0] for row in rows}

    def stored(self) -> int:
        """Bytes of all rows and reports; pages that were freed serve again, and are none."""
        with self._lock:
            pages, free, size = (
                self._base.execute(f"PRAGMA {what}").fetchone()[0]
                for what in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def prune(self) -> int:
        """Forget what ended too long ago; how many."""
        with self._change() as base:
            over = [time.time() - max(self._caps.keep, DAY)]
            return base.execute("DELETE FROM jobs WHERE state IN ('done', 'failed') AND ended < ?", over).rowcount

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        with self._lock:
            found = dict(self._base.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        return {str(state): int(found.get(str(state), 0)) for state in State}

    def close(self) -> None:
        """Hand out no more jobs."""
        with self._lock:
            self._ended = True
            self._more.notify_all()


def _job(row: Any) -> Job:
    name, holder, address, shown, size, level, state, tries, created, ended, why = row
    return Job(name, holder, address, shown, size, level, State(state), tries, created, ended, why)
