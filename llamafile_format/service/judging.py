"""Workers: each has a guarded child, and gives it one job after the other (spec/1, 10.16.5)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llamafile_format.checks.verdict import Level
from llamafile_format.errors import FormatError, LlamafileError, SourceError, UsageError
from llamafile_format.fleet import End, Guard, Outcome, Terms
from llamafile_format.reports import read_report
from llamafile_format.service.config import Gate
from llamafile_format.service.jobs import Job, Jobs
from llamafile_format.service.metrics import Metrics
from llamafile_format.service.told import say
from llamafile_format.service.uploads import Uploads
from llamafile_format.source import ByteSource, FileSource
from llamafile_format.source.allow_list import AllowList
from llamafile_format.source.metered import Metered
from llamafile_format.source.opening import open_listed
from llamafile_format.source.traffic import Limits

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy


_PAUSE = 2.0  # seconds, after what should never be


@dataclass(frozen=True, slots=True, repr=False)
class Brought:
    """Opens an upload by the name that its sender gave it: nobody is told where it lies here."""

    shown: str

    @contextmanager
    def opened(self, name: str, *, whole: bool) -> Iterator[str | ByteSource]:  # noqa: ARG002
        """As of ``Reaching``."""
        try:
            descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise SourceError(f"{self.shown} is not here any more: {error.strerror}") from None
        try:
            yield Metered(FileSource.from_descriptor(descriptor, self.shown), Limits())
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True, repr=False)
class Referred:
    """Opens what a stranger named, as the list allows; with no other credentials than those for it."""

    allowed: AllowList
    limits: Limits

    @contextmanager
    def opened(self, name: str, *, whole: bool) -> Iterator[str | ByteSource]:  # noqa: ARG002
        """As of ``Reaching``."""
        try:
            source = open_listed(name, self.allowed, limits=self.limits)
        except UsageError as error:  # the list has changed since it was accepted
            raise SourceError(error.message) from None
        with source:
            yield source


def terms_of(job: Job, gate: Gate, policy: Policy | None) -> Terms:
    """On what terms ``job`` is verified."""
    reach = Referred(gate.allowed.narrowed(job.address), gate.limits) if job.address else Brought(job.name)
    return Terms(level=Level(job.level), policy=policy, reach=reach)


def by_its_name(outcome: Outcome, job: Job, where: str) -> tuple[dict[str, Any] | None, str]:
    """Report and reason, with the name that the sender gave in the place of ``where`` the file lay here."""
    report = outcome.report
    if report is None:
        return None, outcome.why.replace(where, job.name)
    try:
        read_report(report)
    except FormatError as error:  # whoever took the child over has written it
        return None, f"its report cannot be read: {error.message}"
    return report | {"file": report["file"] | {"name": job.name}}, ""


class Workers:
    """``gate.workers`` threads, each of which waits for a child process; nothing is verified in them."""

    def __init__(self, gate: Gate, jobs: Jobs, uploads: Uploads, metrics: Metrics) -> None:
        self._gate = gate
        self._jobs = jobs
        self._uploads = uploads
        self._metrics = metrics
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(gate.workers)]
        self._ending = threading.Event()

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    @property
    def alive(self) -> bool:
        """True if every worker is at work."""
        return all(each.is_alive() for each in self._threads)

    def close(self) -> None:
        """Begin nothing new. What is under way ends with this process, and is begun again by the next."""
        self._ending.set()
        self._jobs.close()

    def _work(self) -> None:
        with Guard(self._gate.bounds) as guard:
            while not self._ending.is_set():
                job = None
                try:
                    if (job := self._jobs.take(1.0)) is not None:
                        self._judge(guard, job)
                except Exception as error:  # a disk that is full, say: a worker that ended would be missed by nobody
                    say("fault", error=f"{type(error).__name__}: {error}"[:500])
                    self._ending.wait(_PAUSE)
                    self._put_back(job, passing=isinstance(error, OSError | sqlite3.Error))

    def _put_back(self, job: Job | None, *, passing: bool) -> None:
        """To the queue, if that can be written to; else the next start does it. Not for ever, unless it will pass."""
        if job is None:
            return
        with contextlib.suppress(Exception):
            if passing or job.tries < self._gate.caps.tries:
                self._jobs.again(job)
            else:
                self._jobs.finish(job, None, f"it was begun {job.tries} times, and came to no end")
                self._uploads.drop(job.id)

    def _judge(self, guard: Guard, job: Job) -> None:
        began = time.monotonic()
        where = job.address or str(self._uploads.path(job.id))
        try:
            outcome = guard.judge(where, terms_of(job, self._gate, self._gate.policy))
        except LlamafileError as error:
            outcome = Outcome(End.FAILED, None, error.message)
        if self._ending.is_set():  # the child was ended with us: that says nothing of the file
            return
        self._jobs.finish(job, *by_its_name(outcome, job, where))
        if not job.address:
            self._uploads.drop(job.id)
        seconds = time.monotonic() - began
        self._metrics.judged(outcome.end.value, seconds)
        say("judged", job=job.id, holder=job.holder, name=job.name, end=outcome.end.value, seconds=round(seconds, 3))
