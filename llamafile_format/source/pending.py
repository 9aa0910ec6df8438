"""Is a change of this file unfinished? Asked by every command before it reads a file (spec/1.0, 8.5.5)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from llamafile_format.errors import SourceError

MAGIC = b"LFFJRNL1"
SUFFIX = ".journal"


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
    """True if a change of ``path`` is under way or was interrupted. A foreign file of that name does not count."""
    where = journal_path(path)
    try:
        with open(where, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file can have that name
            return False
        raise SourceError(f"cannot read {where}: {error.strerror}") from error


def refuse_pending(path: str | os.PathLike[str]) -> None:
    """SourceError (exit code 4) if ``path`` has a journal: it may be half changed."""
    if pending(path):
        where = journal_path(path)
        raise SourceError(
            f"a change of {path} was not finished: its journal is {where}",
            hint=f"run: llamafile-format recover {path}",
        )
