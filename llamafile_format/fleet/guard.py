"""One guarded child process that verifies files one after the other, so that a bad one harms nobody (spec 10.15.1).

    with Guard(Bounds(memory=2 << 30, seconds=60)) as guard:
        outcome = guard.judge(path, Terms(level=Level.QUICK))

A thread could not be stopped, and a process for each file would cost more than most verifications. So one child is used
again and again, and replaced by a fresh one after anything but a report, and every so often in any case.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from llamafile_format.checks.verdict import Report, unreadable
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.fleet.bounds import Bounds, End, Outcome
from llamafile_format.fleet.frames import Kind, read_frame, write_frame
from llamafile_format.fleet.look import Terms
from llamafile_format.progress import Progress
from llamafile_format.reports import read_report
from llamafile_format.source.address import shown

_START = 300.0  # seconds until a child has begun; a machine can be that busy
_TRIES = 3  # children that may end before they have begun with a file
_ENDING = 5.0  # seconds that a child has to end by itself
_AHEAD = 4  # frames that are taken from a child before somebody asks for them
_WORDS = 4000  # bytes of what it says of its own failure
_GOOD = (End.DONE, End.UNCHANGED)
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; import llamafile_format.fleet.child as c; c.main()"
"""The child finds what its guard finds, and nothing in the folder that one happens to work in."""


class Guard:
    """Verifies one file at a time, in a child process within ``bounds``; ``uses``: files until it gets a fresh one.

    Threads may share it and wait for one another. Close it, or use it in a ``with``; children end with this process.
    """

    def __init__(self, bounds: Bounds | None = None, *, uses: int = 1000) -> None:
        self.bounds = bounds or Bounds()
        self.starts = 0
        self._uses = uses
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def judge(self, name: str, terms: Terms, *, unless: str = "", progress: Progress | None = None) -> Outcome:
        """Verify ``name``, a path or what ``terms.reach`` opens; not if it is a remote object in the state ``unless``.

        SourceError only if no child can be started.
        """
        with self._lock:
            for _ in range(_TRIES):
                child = self._ready()
                try:
                    outcome = child.judge((name, unless), terms, self.bounds, progress)
                except BaseException:  # somebody interrupts: what the child is at is nobody's any more
                    self._end()
                    raise
                if outcome is None or outcome.end not in _GOOD or child.judged >= self._uses:
                    self._end()
                if outcome is not None:
                    return outcome
        raise SourceError("no process can be started to verify in", hint="look for memory, processes, and the install")

    def report(self, name: str, terms: Terms, *, progress: Progress | None = None) -> Report:
        """As :meth:`judge`; whatever ended without a report has one that is not complete."""
        outcome = self.judge(name, terms, progress=progress)
        if outcome.report is None:
            return unreadable(shown(name), terms.level, outcome.why)
        try:
            return read_report(outcome.report)
        except FormatError as error:
            return unreadable(shown(name), terms.level, f"its report cannot be read: {error.message}")

    def _ready(self) -> _Child:
        if self._child is None:
            self._child = _Child(self.bounds)
            self.starts += 1
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    def __enter__(self) -> Guard:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """:meth:`close`."""
        self.close()


class _Child:
    """A process that verifies, and a thread that listens to it."""

    def __init__(self, bounds: Bounds) -> None:
        self.judged = 0
        self._terms: Terms | None = None
        path = [str(Path(entry or os.curdir).resolve()) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", f"utf8={sys.flags.utf8_mode}", "-c", _BOOT, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries say of a stranger's file is nothing for a terminal
            start_new_session=True,
            env=os.environ | {"MALLOC_ARENA_MAX": "2"},  # else each thread takes 64 MiB of the address space
        )
        assert self._process.stdin is not None
        self._asks = self._process.stdin
        self._heard: queue.Queue[tuple[Kind, bytes] | None] = queue.Queue(_AHEAD)
        self._listener = threading.Thread(target=self._listen, name="guard", daemon=True)
        self._listener.start()
        with contextlib.suppress(OSError):  # it is gone: that will be noticed
            pickle.dump(bounds, self._asks)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while (frame := read_frame(stream)) is not None:
                self._heard.put(frame)
        self._heard.put(None)

    def judge(self, what: tuple[str, str], terms: Terms, bounds: Bounds, progress: Progress | None) -> Outcome | None:
        """The outcome of one verification; None if the child ended before it began, which is not the file's doing."""
        self.judged += 1
        if not self._heard.empty():  # it speaks unasked, or is gone: what it has said is about no file
            return None
        try:
            write_frame(self._asks, Kind.ASK, pickle.dumps((*what, None if terms == self._terms else terms)))
        except OSError:
            return None
        self._terms = terms
        try:
            if self._next(_START) != (Kind.BEGUN, b""):
                return None
        except queue.Empty:
            return None
        began = last = time.monotonic()
        while True:
            now = time.monotonic()
            try:
                frame = self._next(bounds.left(now - began, now - last))
            except queue.Empty:
                passed = time.monotonic() - began
                return Outcome(End.OUT_OF_TIME, None, _late(bounds, passed), passed)
            if frame is not None and frame[0] is Kind.PROGRESS:
                last = time.monotonic()
                if progress is not None:
                    progress(*_numbers(frame[1]))
                continue
            return replace(self._outcome(frame, bounds), seconds=time.monotonic() - began)

    def _next(self, seconds: float | None) -> tuple[Kind, bytes] | None:
        """The next frame, or None at the end. queue.Empty after ``seconds``."""
        return self._heard.get(timeout=None if seconds is None else max(seconds, 0.0))

    def _outcome(self, frame: tuple[Kind, bytes] | None, bounds: Bounds) -> Outcome:
        kind, data = frame or (None, b"")
        if kind is Kind.REPORT:
            return _reported(data)
        if kind is Kind.UNCHANGED:
            return Outcome(End.UNCHANGED)
        if kind is Kind.MEMORY:
            return Outcome(End.OUT_OF_MEMORY, None, f"to verify it takes more than {bounds.memory} bytes of memory")
        if kind is Kind.FAILED:
            words = data[:_WORDS].decode("utf-8", "backslashreplace")
            return Outcome(End.FAILED, None, f"to verify it failed: {words}")
        if kind is Kind.LARGE:
            return Outcome(End.TOO_LARGE, None, "its report is too large")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)
        return Outcome(End.CRASHED, None, f"to verify it crashed: {_cause(self._process.returncode)}")

    def end(self) -> None:
        """End it, and whatever it has started."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        with contextlib.suppress(OSError):
            self._asks.close()
        self._process.wait()
        for _ in range(int(_ENDING / 0.05)):  # the listener may wait for somebody to listen to it
            with contextlib.suppress(queue.Empty):
                while True:
                    self._heard.get_nowait()
            self._listener.join(0.05)
            if not self._listener.is_alive():
                break


def _reported(data: bytes) -> Outcome:
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Outcome(End.FAILED, None, "to verify it failed: its report is none")
    return Outcome(End.DONE, value)


def _numbers(data: bytes) -> tuple[int, int]:
    done, _, total = data.partition(b" ")
    return (int(done), int(total)) if done.isdigit() and total.isdigit() and len(data) < 64 else (0, 1)


def _late(bounds: Bounds, passed: float) -> str:
    if bounds.seconds and (passed >= bounds.seconds or not bounds.silence):
        return f"to verify it takes more than {bounds.seconds:g} seconds"
    return f"to verify it made no progress for {bounds.silence:g} seconds"


def _cause(code: int | None) -> str:
    """How a process ended, by its return code."""
    if code is None:
        return "it says nothing more"
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
