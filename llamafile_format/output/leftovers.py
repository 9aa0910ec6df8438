"""Files and folders that are being written, under a name of their own, and those that a killed run has left behind.

Whoever writes one holds a lock on it. One that nobody holds belongs to a run that was killed: nobody will ever
finish it, and only its user can know that nobody misses it. So the next run into that folder names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

_STEM = 80  # bytes of the final name that the temporary one repeats
_NAME = re.compile(r"\..+\.[0-9a-f]{12}\.partial")
_OLD = 86400.0  # seconds: where locks do not work, what is younger may be somebody's
_NAMED = 20  # at most so many in one folder
_COUNTED = 1000  # files of one folder whose sizes are added up


@dataclass(frozen=True, slots=True)
class Leftover:
    """An unfinished file or folder that nobody works on: ``size`` in bytes of disk."""

    path: Path
    size: int


listener: ContextVar[Callable[[Leftover], None] | None] = ContextVar("listener", default=None)
"""Who wants to hear of leftovers in folders that are written to; nobody unless set."""


def partial_path(path: Path) -> Path:
    """A name that no file has, in the folder of ``path``, for what will become ``path``."""
    return named_partial(path, os.urandom(6).hex())


def named_partial(path: Path, key: str) -> Path:
    """The same for the 12 hex digits ``key``: always the same name."""
    stem = os.fsdecode(os.fsencode(path.name)[:_STEM].decode("utf-8", "ignore").encode("utf-8"))
    return path.parent / f".{stem}.{key}.partial"


def claim(descriptor: int) -> None:
    """Show others, as long as ``descriptor`` is open, that somebody is at work on the file."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def announce(folder: Path) -> None:
    """Tell the listener, if there is one, what killed runs have left in ``folder``."""
    hear = listener.get()
    if hear is not None:
        for found in leftovers(folder):
            hear(found)


def leftovers(folder: Path) -> list[Leftover]:
    """The unfinished files in ``folder`` that nobody works on, by name; none if it cannot be read."""
    found: list[Leftover] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))
        for name in names:
            size = _abandoned(Path(folder, name))
            if size is not None:
                found.append(Leftover(Path(folder, name), size))
            if len(found) == _NAMED:
                break
    return found


def _abandoned(path: Path) -> int | None:
    """Bytes of disk that ``path`` takes; None if somebody may be at work on it, or it is no plain file or folder."""
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    try:
        info = os.fstat(descriptor)
        kind = stat.S_IFMT(info.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR) or _held(descriptor, info.st_mtime):
            return None
        return _blocks(info) if kind == stat.S_IFREG else sum(map(_blocks, _files_below(path)))
    finally:
        os.close(descriptor)


def _blocks(info: os.stat_result) -> int:
    return int(getattr(info, "st_blocks", -(-info.st_size // 512))) * 512


def _files_below(folder: Path) -> Iterator[os.stat_result]:
    for where, _, names in os.walk(folder):
        for name in names[:_COUNTED]:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(where, name))


def _held(descriptor: int, changed: float) -> bool:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except ImportError:
        return time.time() - changed < _OLD
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES) or time.time() - changed < _OLD
    return False
