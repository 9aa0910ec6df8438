"""Outputs that are whole or absent: a temporary file in the target folder, fsynced, then given its name.

A crash, a full disk or an unreadable input leaves nothing under the final name; what was there before stays until the
new file is complete on the medium.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.output.leftovers import announce, claim, partial_path
from llamafile_format.output.room import free_in
from llamafile_format.source.pending import refuse_pending


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those that it lies in, unless they are there. UsageError if something else has its name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is not a folder, or lies in none", hint="name a folder to write into") from error
    except OSError as error:
        raise SourceError(f"cannot make {folder}: {error.strerror}") from error


def spare_inputs(path: Path, inputs: Iterable[str | os.PathLike[str]], hint: str) -> None:
    """UsageError with ``hint`` if ``path`` is one of ``inputs``, under whatever name: not even ``--force`` may put what
    is made of a file in its place."""
    for given in inputs:
        with contextlib.suppress(OSError):  # one of them is not there, which is for others to say
            if path.samefile(given):
                raise UsageError(f"{path} is the input itself", hint=hint)


@contextlib.contextmanager
def output(path: Path, *, force: bool = False, mode: int = 0o644) -> Iterator[int]:
    """Yield a descriptor to write to; at the end of a clean block the file appears as ``path``, all at once.

    Raises UsageError if ``path`` exists and ``force`` is not given; SourceError if a change of ``path`` was not
    finished, or if writing fails (the message says how much room there was). ``mode`` is cut by the umask, as for any
    new file.
    """
    refuse_taken(path, force=force)
    folder = path.parent
    announce(folder)
    temporary = partial_path(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, mode)
    except OSError as error:
        raise SourceError(
            f"cannot write in {folder}: {error.strerror}", hint="choose a folder that you may write to"
        ) from error
    try:
        with _removed_at_the_end(temporary):
            try:
                claim(descriptor)
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            give_name(temporary, path, force=force)
            sync_folder(folder)
    except OSError as error:  # here the unfinished file is gone, and what it took is free again
        if isinstance(error, SourceError):
            raise
        raise write_error(path, error) from error


def refuse_taken(path: Path, *, force: bool) -> None:
    """UsageError, SourceError if nothing may be written as ``path``: see :func:`output`."""
    refuse_pending(path)  # a file put under this name would be "repaired" with the journal of another
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name a file to write")
    if not force and os.path.lexists(path):
        raise UsageError(f"{path} exists", hint="add --force to replace it, or choose another name")


@contextlib.contextmanager
def _removed_at_the_end(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_error(path: Path, error: OSError) -> SourceError:
    """What to tell a user whose output could not be written; its unfinished file is removed already."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = free_in(path.parent)
        room = "" if free is None else f"{free} bytes are free in {path.parent}; "
        return SourceError(
            f"no space left for {path}: {room}nothing was left under that name",
            hint="free some space there or write to another folder with -o",
        )
    return SourceError(f"cannot write {path}: {error.strerror}; nothing was left under that name")


def give_name(temporary: Path, path: Path, *, force: bool) -> None:
    """Call what lies at ``temporary`` ``path``; UsageError if something is called so, unless ``force`` is given."""
    if force:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # fails if somebody created the name meanwhile; rename would overwrite it
    except FileExistsError:
        raise UsageError(f"{path} appeared while it was being written", hint="add --force to replace it") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise UsageError(f"{path} appeared while it was being written", hint="add --force to replace it") from None
        temporary.rename(path)


def sync_folder(folder: Path) -> None:
    """Make a rename durable; a no-op where folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
