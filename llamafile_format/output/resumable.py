"""Outputs that another run goes on with: what has come of a long transfer is kept when the line breaks.

The unfinished file is called by what it becomes and by what goes into it, so that the next run finds it. It is gone on
with only if it is this user's own, has no other name, and nobody else writes to it. Whoever does so hashes it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.errors import SourceError
from llamafile_format.manifest.hashing import cores
from llamafile_format.manifest.merkle import CHUNK_SIZE
from llamafile_format.output.leftovers import announce, named_partial
from llamafile_format.output.publish import give_name, output, refuse_taken, sync_folder, write_error

_FLAGS = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"))
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


_UNDER_WAY = (cores() + 8) * CHUNK_SIZE
"""Bytes at the end of what has come that may be missing in it: pieces are written by several threads."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The file ``fd`` to write to, whose first ``have`` bytes were there: nobody has compared them with anything."""

    fd: int
    have: int

    @property
    def settled(self) -> int:
        """How many bytes from the front on were written without a gap."""
        return max(0, self.have - _UNDER_WAY)


@contextlib.contextmanager
def resumable(path: Path, what: str, *, force: bool = False, mode: int = 0o644) -> Iterator[Begun]:
    """Yield what an earlier run with the same ``what`` has begun, or nothing yet; after a clean block it is ``path``.

    ``what`` names the bytes that it becomes; empty: nothing is gone on with, and nothing kept. If the block ends by
    SourceError or by its user, the file stays under its other name. Otherwise as
    :func:`~llamafile_format.output.publish.output`, and nobody but its owner may write to it, whatever the umask says.
    """
    refuse_taken(path, force=force)
    temporary = named_partial(path, hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:12])
    fd = _taken_up(temporary, mode) if what else None
    if fd is None:  # or it is somebody else's, or somebody is at work on it: begin one of our own
        with output(path, force=force, mode=mode) as file:
            yield Begun(file, 0)
        return
    kept = True
    try:
        announce(path.parent)
        yield Begun(fd, os.fstat(fd).st_size)
        os.fsync(fd)
        give_name(temporary, path, force=force)
        kept = False
        sync_folder(path.parent)
    except SourceError as error:
        kept = kept and os.fstat(fd).st_size > 0
        hint = "run it again: it goes on with what has come" if kept else ""
        raise SourceError(error.message, hint=error.hint or hint) from error
    except OSError as error:
        kept = False
        raise write_error(path, error) from error
    except Exception:  # what has come is no good; an end by the user is no Exception
        kept = False
        raise
    finally:
        if not kept:
            with contextlib.suppress(OSError):
                temporary.unlink()
        os.close(fd)


def _taken_up(temporary: Path, mode: int) -> int | None:
    """The open file ``temporary``, locked; None if it is not ours alone, or where there are no locks."""
    try:
        import fcntl

        fd = os.open(temporary, _FLAGS, mode & ~_OTHERS)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_ours(fd, temporary):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _is_ours(fd: int, path: Path) -> bool:
    """True if it is a plain file of this user's that nobody else may write to, still and only called ``path``."""
    info = os.fstat(fd)
    mine = info.st_uid == os.geteuid() and not info.st_mode & _OTHERS
    return mine and stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and os.path.samestat(info, path.lstat())
