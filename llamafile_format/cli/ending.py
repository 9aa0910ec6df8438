"""How the command ends when somebody ends it: by the signal itself, once nothing half-written is left.

A shell, ``make`` and ``timeout`` tell an interrupted command from a failed one only if it dies of the signal. A reader
that leaves (``| head``) is such a signal too: SIGPIPE, of which Unix programs die without a word.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from llamafile_format.errors import SourceError

_ASKED = ("SIGTERM", "SIGHUP")


class Ended(KeyboardInterrupt):
    """The signal ``number`` asked the command to end; what was begun is cleaned up on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ReaderGone(Exception):
    """Whoever read standard output has left; no ``OSError``, for which click has an exit code of its own."""


class Stopped(Exception):
    """What ended is on its way out (its cause is the signal); no ``KeyboardInterrupt``, for which click has words."""


@contextlib.contextmanager
def endable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise :class:`Ended` in the block, once; one that the parent has ignored stays ignored."""
    held = {}
    for name in _ASKED:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            held[number] = signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    for name in _ASKED:  # a terminal that closes sends several; the first one is being obeyed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise Ended(number)


def die_of(number: int) -> int:
    """End this process by the signal ``number``, as if it had never been caught; its exit code where that fails."""
    signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os.kill(os.getpid(), number)
    return 128 + number


def interrupted(error: BaseException) -> int | None:
    """The signal behind ``error``; None if there was none."""
    cause = error if isinstance(error, KeyboardInterrupt) else error.__cause__ or error.__context__
    if isinstance(cause, Ended):
        return cause.number
    return int(signal.SIGINT) if isinstance(cause, KeyboardInterrupt) else None


def reader_gone() -> bool:
    """Has the reader of standard output left? Broken pipes of other origin are errors like any other."""
    if not hasattr(select, "poll") or sys.stdout is None:
        return True
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):
        poll.register(sys.stdout.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    return False


@contextlib.contextmanager
def endings() -> Iterator[None]:
    """Say how the block ended before click does, which tells neither signals nor readers that have left."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped from error
    except BrokenPipeError as error:
        if reader_gone():
            raise ReaderGone from error
        raise SourceError(f"a connection broke: {error.strerror or error}") from error


def leave_quietly() -> int:
    """Die of SIGPIPE; where there is none, end with 0 and no complaint about what cannot be flushed."""
    silence = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(silence, sys.stdout.fileno())
    return die_of(signal.SIGPIPE) if hasattr(signal, "SIGPIPE") else 0


def open_standard_streams() -> None:
    """Whoever starts a command with a closed stream (``>&-``) must not have its files written to by mistake."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))
