"""Is there room? Asked before gigabytes are written, and answered only where the answer is certain.

A file system that shares, compresses or counts blocks in a way of its own, or lies on another machine, may hold more
than its free space says. There nothing is refused beforehand, and a full disk is met when it is full.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from llamafile_format.errors import SourceError
from llamafile_format.output.transfer import data_ranges, file_range
from llamafile_format.source import ByteSource, put_down

_PLAIN = frozenset({"ext2", "ext3", "ext4", "tmpfs", "vfat", "exfat", "msdos"})
"""File systems on which a byte of data takes a byte of room."""
_SHARING = frozenset({"xfs", "overlay"})
"""The same, but for what they share with a file of their own."""


def free_in(folder: Path) -> int | None:
    """Bytes that this user can write in ``folder``; None where nobody can say."""
    if not hasattr(os, "statvfs"):
        return None
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


_ELSEWHERE = "free some space there, or write to another folder"


def require_room(folder: Path, sources: Iterable[ByteSource], more: int = 0, *, hint: str = _ELSEWHERE) -> None:
    """SourceError if ``folder`` cannot hold the data of ``sources`` and ``more`` bytes.

    Holes of sparse files take no room. What might come to share blocks with its source counts as nothing.
    """
    kind = _kind(folder)
    if kind not in _PLAIN | _SHARING:
        return
    free = free_in(folder)
    if free is None:
        return
    shares = folder.stat().st_dev if kind in _SHARING else None
    need = more
    for source in sources:
        need += _data(source, shares)
        put_down(source)
    if need > free:
        raise SourceError(
            f"no space left in {folder}: {need} bytes are needed and {free} are free; nothing was written",
            hint=hint,
        )


def _data(source: ByteSource, shares: int | None) -> int:
    """Bytes of ``source`` that are not holes; 0 if the file system with the device number ``shares`` may share them."""
    origin = file_range(source, 0, source.size)
    if origin is None:
        return source.size
    info = os.fstat(origin[0].fd)
    if info.st_dev == shares:
        return 0
    if info.st_blocks * 512 >= info.st_size:
        return source.size
    return sum(length for _, length in data_ranges(source, 0, source.size))


def _kind(folder: Path) -> str:
    """Name of the file system of ``folder`` as Linux has it; empty where it is not known."""
    if not sys.platform.startswith("linux"):
        return ""
    with contextlib.suppress(OSError, ValueError):
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                front, _, back = line.partition(" - ")
                if front.split(" ")[2] == wanted:
                    return back.split(" ")[0]
    return ""
