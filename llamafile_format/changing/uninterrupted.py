"""Signals wait while a file is changed in place: what has begun takes less time than undoing it would."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_WAITING = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end a program arrive after the block. Only the main thread can see to that; others just go on."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in _WAITING})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
