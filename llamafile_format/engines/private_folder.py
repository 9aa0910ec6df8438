"""Small files of this user's alone, in a folder of the private cache (spec/1, 14.3.8).

Folders and files are opened by descriptors: no link is followed, and nothing is believed that is not this user's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from llamafile_format.engines.cache import candidates
from llamafile_format.engines.private_place import OTHERS, firm, is_own

_OURS = "llamafile-format"


@contextlib.contextmanager
def private_folder(name: str, *, make: bool) -> Iterator[int]:
    """A descriptor of the folder ``name`` in the first place that works. Raises OSError if none does."""
    reason = OSError(f"no folder takes what is to be {name}")
    for place in candidates():
        try:
            folder = _enter(place, name, make=make)
        except OSError as error:
            reason = error
            continue
        try:
            yield folder
        finally:
            os.close(folder)
        return
    raise reason


def folder_path(name: str) -> Path | None:
    """Where :func:`private_folder` is, for whoever lists or empties it; None if there is none."""
    for place in candidates():
        with contextlib.suppress(OSError):
            os.close(_enter(place, name, make=False))
            return place / _OURS / name
    return None


def _enter(place: Path, name: str, *, make: bool) -> int:
    if make:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(firm(place), flags)
    try:
        for step, forbidden in ((_OURS, OTHERS), (name, 0o077)):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(step, 0o700, dir_fd=folder)
            inner = os.open(step, flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
            _judge(is_own(os.fstat(folder), forbidden), "is not this user's alone")
    except OSError:
        os.close(folder)
        raise
    return folder


def _judge(good: bool, reason: str) -> None:
    if not good:
        raise PermissionError(reason)


def judge_file(descriptor: int, most: int) -> None:
    """PermissionError unless the open file is a plain one of this user, with one name and at most ``most`` bytes."""
    info = os.fstat(descriptor)
    _judge(is_own(info), "is not this user's alone")
    _judge(stat.S_ISREG(info.st_mode) and info.st_nlink == 1, "is no plain file, or has another name")
    _judge(info.st_size <= most, "is too long")


def read_private(folder: int, name: str, most: int) -> bytes:
    """The file ``name`` of at most ``most`` bytes. Raises OSError if there is none that may be believed."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        judge_file(file, most)
        return os.read(file, most)
    finally:
        os.close(file)


def write_private(folder: int, name: str, data: bytes) -> None:
    """Put ``data`` under ``name`` in one step, in place of whatever has it."""
    partial = f"{name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # of a process of this id that was killed here
        os.unlink(partial, dir_fd=folder)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(file, data)
        os.fchmod(file, 0o600)  # whatever the umask is
    finally:
        os.close(file)
    try:
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(partial, dir_fd=folder)
        raise
