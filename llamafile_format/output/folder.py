"""Folders that are whole or absent: everything is written into a folder beside, which then gets its name.

    with new_folder(Path("bag")) as folder:
        put(folder, "bagit.txt", b"...")

Whatever goes wrong on the way leaves nothing under that name, and a folder that holds something is never replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.output.checked_copy import Copied, checked_copy, mode_of
from llamafile_format.output.leftovers import announce, claim, partial_path
from llamafile_format.output.publish import make_folder, sync_folder, write_error
from llamafile_format.output.transfer import write_at
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, FileSource

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write into; at the end of a clean block it is ``path``, with everything in it, synced.

    UsageError if ``path`` is there and is no empty folder; SourceError if writing fails.
    """
    refuse_taken(path)
    with made_folders(path.parent):
        announce(path.parent)
        with _written(path) as temporary:
            yield temporary


@contextlib.contextmanager
def made_folders(folder: Path) -> Iterator[tuple[Path, ...]]:
    """Make ``folder`` and those that it lies in, and yield those that were not there, outermost first. What fails
    inside leaves none of them that is empty. Raises as :func:`make_folder` does."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        make_folder(folder)
        yield tuple(reversed(missing))
    except BaseException:
        with contextlib.suppress(OSError):
            for each in missing:
                each.rmdir()  # never one that holds something, of whomever it is
        raise


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside ``path`` for what is needed until that is written; it is gone at the end of the block.

    What a killed run leaves of it the next one names. SourceError if writing fails.
    """
    announce(path.parent)
    with _partial(path) as temporary:
        yield temporary


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Path]:
    with _partial(path) as temporary:
        yield temporary
        for folder, _, _ in os.walk(temporary):
            sync_folder(Path(folder))
        _give_name(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    temporary = partial_path(path)
    try:
        temporary.mkdir()
    except OSError as error:
        raise SourceError(
            f"cannot write in {path.parent}: {error.strerror}", hint="choose a folder that you may write to"
        ) from error
    try:
        with _removed_at_the_end(temporary), _claimed(temporary):
            yield temporary
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise write_error(path, error) from error


def refuse_taken(path: Path) -> None:
    """UsageError if something is at ``path`` already, but for an empty folder."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise UsageError(f"{path} exists, and is no folder", hint="name a folder that is not there yet")
    if any(path.iterdir()):
        raise UsageError(f"{path} exists, and is not empty", hint="name a folder that is not there yet")


@contextlib.contextmanager
def _removed_at_the_end(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a system whose folders cannot be opened has no leftovers to tell either
        yield
        return
    try:
        claim(descriptor)
        yield
    finally:
        os.close(descriptor)


def _give_name(temporary: Path, path: Path) -> None:
    try:
        temporary.rename(path)  # takes the place of an empty folder, and of nothing else
    except OSError as error:
        if os.path.lexists(path):
            raise UsageError(
                f"{path} appeared while it was being written", hint="name a folder that is not there yet"
            ) from error
        raise


def put(folder: Path, name: str, data: bytes) -> Copied:
    """Write ``data`` as the new file ``name`` below ``folder``, and sync it."""
    with _new_file(folder, name, 0o666) as out:
        write_at(out, 0, data)
        os.fsync(out)
    return Copied(len(data), hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), 0)


def put_source(folder: Path, name: str, source: ByteSource, progress: Advance | None = None) -> Copied:
    """Copy ``source``, a piece of a file, to the new file ``name`` below ``folder``, as :func:`checked_copy` does."""
    with _new_file(folder, name, 0o666) as out:
        return checked_copy(source, out, progress=progress)


def put_file(folder: Path, name: str, source: FileSource, progress: Advance | None = None) -> Copied:
    """Copy ``source`` to the new file ``name`` below ``folder``, as :func:`checked_copy` does."""
    with _new_file(folder, name, mode_of(source)) as out:
        return checked_copy(source, out, progress=progress)


@contextlib.contextmanager
def _new_file(folder: Path, name: str, mode: int) -> Iterator[int]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, _NEW, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
