"""Small files that a user names beside the one that matters: keys, policies, certificates, arguments, predicates.

Whoever writes ``--key <(…)`` names a pipe, and it is read; one that nobody writes into, a folder or a device never
holds a command up.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat

from llamafile_format.errors import SourceError
from llamafile_format.source.local import OPEN_TO_READ

WAIT = 2.0
"""Seconds that a writer of a pipe has in order to turn up."""


def read_named(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of ``path``; of one that is longer than ``limit`` the first ``limit`` + 1, for the caller to refuse.

    SourceError if it is neither a regular file nor a pipe that somebody writes into, or cannot be read.
    """
    name = os.fspath(path)
    try:
        fd = os.open(path, OPEN_TO_READ)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        raise SourceError(f"cannot read {name}: {_reason(error)}") from error
    try:
        _require_readable(fd, name)
        with open(fd, "rb", closefd=False) as file:
            return file.read(limit + 1)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot read {name}: {_reason(error)}") from error
    finally:
        os.close(fd)


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _require_readable(fd: int, name: str) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise SourceError(f"{name} is a directory", hint="name a file")
    if stat.S_ISFIFO(mode):
        if not _has_writer(fd):
            raise SourceError(f"{name} is a pipe, and nobody writes into it", hint="name a file")
        with contextlib.suppress(AttributeError):  # where there are no such pipes
            os.set_blocking(fd, True)
    elif not stat.S_ISREG(mode):
        raise SourceError(f"{name} is not a regular file", hint="name a file, or a pipe such as <(COMMAND)")


def _has_writer(fd: int) -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(WAIT * 1000))
