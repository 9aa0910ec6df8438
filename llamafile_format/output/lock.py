"""One writer at a time in a folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from llamafile_format.errors import SourceError, UsageError

_LOCK = "lock"


def held(folder: Path, what: str) -> int:
    """A descriptor that holds ``folder`` for this process until it is closed; ``what`` it is, in an error's words.

    UsageError if another process holds it. Windows, and file systems without locks, keep nobody apart.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(folder / _LOCK, flags, 0o644)
    except OSError as error:
        raise SourceError(f"cannot write to {what}: {error.strerror}") from error
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UsageError(f"another run writes to {what}", hint="wait for it, or stop it") from error
        except OSError:
            return descriptor
    return descriptor
