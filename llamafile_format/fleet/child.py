"""The child process: it verifies one file after the other, within bounds, and ends with whoever started it.

Nothing here is imported by the guard. A file that crashes this process takes nobody along; one that hangs is ended by
the guard, and by an alarm if the guard is gone; one that wants too much memory does not get it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import select
import signal
import sys
import threading
import time
from functools import partial
from typing import IO

from llamafile_format.checks.verdict import Report, unreadable
from llamafile_format.engines.cache import preferred
from llamafile_format.errors import UsageError
from llamafile_format.fleet.bounds import Bounds
from llamafile_format.fleet.frames import LARGEST, Kind, read_frame, write_frame
from llamafile_format.fleet.look import Terms, Unchanged, look
from llamafile_format.reports import report_value
from llamafile_format.source.address import shown

_BEAT = 0.2  # seconds between two words of progress
_GRACE = 10.0  # seconds that a guard has before the alarm does its work
_NO_THREAD = "can't start new thread"  # what Python says when there is no room for another stack


def main() -> None:
    """Verify what is asked for on standard input, until that ends."""
    asked, answers = _streams()
    bounds = pickle.load(asked)
    confine(bounds)
    if hasattr(select, "poll"):
        threading.Thread(target=_end_with_guard, args=(asked.fileno(),), daemon=True).start()
    terms = Terms()
    while (frame := read_frame(asked)) is not None:
        name, unless, others = pickle.loads(frame[1])
        terms = others or terms
        preferred.set(partial(getattr, terms, "cache"))
        write_frame(answers, Kind.BEGUN)
        pulse = _Pulse(answers, bounds)
        kind, data = _answer(name, unless, terms, pulse)
        pulse.end()
        write_frame(answers, kind, data)


def confine(bounds: Bounds) -> None:
    """Bound this process, for good: its memory, and no image of it on the disk when it crashes."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if bounds.memory and sys.platform != "darwin":  # macOS counts what all programs share, hundreds of gigabytes
        resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """The guard's ends, moved out of the way of whatever else reads standard input or prints."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    return asked, answers


def _end_with_guard(descriptor: int) -> None:
    """End this process as soon as nobody holds the other end of the pipe."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups are told unasked
    poll.poll()
    os._exit(0)


def _answer(name: str, unless: str, terms: Terms, pulse: _Pulse) -> tuple[Kind, bytes]:
    """What is said about one file at the end."""
    try:
        report = _report(name, unless, terms, pulse)
        data = json.dumps(report_value(report)).encode("ascii")
    except Unchanged:
        return Kind.UNCHANGED, b""
    except MemoryError:
        return Kind.MEMORY, b""
    except Exception as error:  # whatever it is, it belongs to this file and to no other
        if (isinstance(error, RuntimeError) and _NO_THREAD in str(error)) or _is_room(error):
            return Kind.MEMORY, b""
        return Kind.FAILED, f"{type(error).__name__}: {error}"[:1000].encode("utf-8", "backslashreplace")
    return (Kind.REPORT, data) if len(data) <= LARGEST else (Kind.LARGE, b"")


def _is_room(error: Exception) -> bool:
    """True if a mapping or a process found no room: that has not the name of other memory."""
    return isinstance(error, OSError) and error.errno == errno.ENOMEM


def _report(name: str, unless: str, terms: Terms, pulse: _Pulse) -> Report:
    try:
        return look(name, terms, pulse.beat, unless=unless)
    except UsageError as error:  # an address in a list that is none, or a token that must not be sent there
        return unreadable(shown(name), terms.level, error.message)


class _Pulse:
    """Tells the guard of progress, and puts off the alarm that rings when there has been none."""

    def __init__(self, answers: IO[bytes], bounds: Bounds) -> None:
        self._answers = answers
        self._bounds = bounds
        self._began = time.monotonic()
        self._last = 0.0
        self._lock = threading.Lock()
        self._wind()

    def beat(self, done: int, total: int) -> None:
        """There was progress; from any thread."""
        with self._lock:
            now = time.monotonic()
            if now - self._last >= _BEAT:
                self._last = now
                self._wind()
                write_frame(self._answers, Kind.PROGRESS, f"{done} {total}".encode())

    def end(self) -> None:
        """There will be none any more."""
        with self._lock:
            self._last = float("inf")
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _wind(self) -> None:
        left = self._bounds.left(time.monotonic() - self._began, 0)
        if left is not None and hasattr(signal, "setitimer"):  # its default: the process is ended, whatever it does
            signal.setitimer(signal.ITIMER_REAL, max(left, 0) + _GRACE)


if __name__ == "__main__":
    with contextlib.suppress(OSError, KeyboardInterrupt):
        main()
