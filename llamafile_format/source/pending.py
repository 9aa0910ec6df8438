"""Is a change of this file unfinished? Asked by every command before it reads a file (spec/1, 8.5.5).

A file named like a journal is a stranger's until it is proven to be this file's: it may have come out of an archive or
from somebody who may write to the folder. Here its outside is judged: a regular file, not a link, that belongs to who
may change the file anyway and names this very file. ``changing.journal`` and ``changing.belonging`` judge the rest.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

from llamafile_format.errors import SourceError

MAGIC = b"LFFJRNL2"
SUFFIX = ".journal"
HEAD = struct.Struct("<8sIIQQQQQQQ")
"""8.5.3: magic, version, kind and sizes, and last inode and device of the file that the journal belongs to."""

READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Without following a link, and without waiting for somebody at the other end of a pipe."""

_NONE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
_ODD = {errno.ELOOP: "it is a link", errno.EISDIR: "it is a folder", errno.ENXIO: "it is a pipe or a socket"}


def real_path(path: str | os.PathLike[str]) -> Path:
    """``path`` without links, so that every name of a file becomes one. SourceError if the links go in circles."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: before Python 3.13
        raise SourceError(f"cannot open {os.fspath(path)}: {os.strerror(errno.ELOOP)}") from error


def journal_path(path: str | os.PathLike[str]) -> Path:
    """Where the journal of ``path`` lies. SourceError as :func:`real_path`."""
    real = real_path(path)
    return real.with_name(real.name + SUFFIX)


def pending(path: str | os.PathLike[str]) -> bool:
    """True if a change of ``path`` is under way or was interrupted. What is not this file's journal does not count."""
    return doubt(path) == ""


def doubt(path: str | os.PathLike[str], *, moved: bool = False) -> str | None:
    """Why the file named like the journal of ``path`` is not believed; "" if it is, None if there is none.

    ``moved`` believes one that was made for the file under another inode. SourceError if there is one that cannot be
    read although its owner may change the file.
    """
    where = journal_path(path)
    try:
        target = Path(path).stat()
        fd = os.open(where, READ | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in _ODD:
            return _ODD[error.errno]
        if error.errno in _NONE or _is_strangers(where, path):
            return None
        raise SourceError(f"cannot read {where}: {error.strerror}") from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return "it is not a regular file"
        head = os.read(fd, HEAD.size)
    finally:
        os.close(fd)
    if not head.startswith(MAGIC) or len(head) < HEAD.size:
        return None
    if reason := _strange(info, target):
        return reason
    inode = HEAD.unpack(head)[8]
    if inode != target.st_ino and not moved:
        return f"it was made for another file (inode {inode}; this one has {target.st_ino})"
    return ""


def _strange(info: os.stat_result, target: os.stat_result) -> str:
    """Why whoever made the journal could not have changed the file as well; empty if he could."""
    if not hasattr(os, "geteuid"):
        return ""
    if info.st_uid not in (os.geteuid(), target.st_uid, 0):
        return f"it belongs to user {info.st_uid}, who is neither you nor the owner of the file"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others than its owner may write to it"
    return ""


def _is_strangers(where: Path, path: str | os.PathLike[str]) -> bool:
    """True if the journal that cannot be opened belongs to somebody whose journals are not believed anyway."""
    try:
        return bool(_strange(where.lstat(), Path(path).stat()))
    except OSError:
        return True


def refuse_pending(path: str | os.PathLike[str]) -> None:
    """SourceError (exit code 4) if ``path`` has a journal: it may be half changed."""
    if pending(path):
        where = journal_path(path)
        raise SourceError(
            f"a change of {path} was not finished: its journal is {where}",
            hint=f"run: llamafile-format recover {path}",
        )
