"""What lies in the private cache, and taking it away: builds, what was left of unpacking them, memories, work folders.

    for item in contents():
        print(item.kind.value, item.size, item.path)

Only folders that belong to this user, and that nobody else can exchange, are looked into; no link below is followed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from llamafile_format.engines.cache import PART, candidates, has_process
from llamafile_format.engines.private_place import firm
from llamafile_format.errors import SourceError

_FOLDER = "llamafile-format"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OLD = 86400.0  # seconds: an unfinished file of another host that is younger may still be worked on


class ItemKind(Enum):
    """Why something is in the cache."""

    BUILD = "build"  # a program, or its wheels, that was taken out of a file; the next start puts it there again
    LEFTOVER = "leftover"  # an unfinished program of a start that was killed
    MEMORY = "memory"  # of verifications; the next start verifies again
    JOURNAL = "journal"  # of verifications that were not finished; the next one begins anew
    COMPILED = "compiled"  # WebAssembly as wasmtime compiled it; the next replay compiles it again
    WORK = "work"  # inputs and results of `runtimes build`; made again in minutes to hours


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder of the cache: what it is for, bytes of disk, and when it last changed (seconds since 1970)."""

    kind: ItemKind
    path: Path
    size: int
    changed: float


def contents() -> list[Item]:
    """Everything in every place that may hold the cache, by kind and path."""
    found: dict[Path, Item] = {}
    for place in candidates():
        with contextlib.suppress(OSError):  # a place that is not there, or that others could exchange while we empty it
            folder = firm(place) / _FOLDER
            if _mine(folder):
                for item in _in(folder):
                    found.setdefault(item.path, item)
    order = list(ItemKind)
    return sorted(found.values(), key=lambda item: (order.index(item.kind), item.path))


def remove(item: Item) -> None:
    """Take ``item`` away. A program that is running goes on. SourceError if it cannot be removed."""
    try:
        if stat.S_ISDIR(item.path.lstat().st_mode):
            shutil.rmtree(item.path)
        else:
            item.path.unlink()
        if item.kind in (ItemKind.BUILD, ItemKind.LEFTOVER):
            with contextlib.suppress(OSError):
                item.path.parent.rmdir()  # the folder of the digest, if that was all
    except FileNotFoundError:
        return
    except OSError as error:
        raise SourceError(f"cannot remove {item.path}: {error.strerror}") from error


def _in(folder: Path) -> Iterator[Item]:
    for entry in _entries(folder):
        if entry.name == "rt":
            for digest in _entries(folder / "rt"):
                if _DIGEST.fullmatch(digest.name) and _mine(folder / "rt" / digest.name):
                    yield from _programs(folder / "rt" / digest.name)
        elif entry.name == "wheels" and _mine(folder / entry.name):
            yield from _programs(folder / entry.name)
        elif entry.name == "verified":
            yield _item(ItemKind.MEMORY, folder / entry.name)
        elif entry.name == "resumed":
            yield _item(ItemKind.JOURNAL, folder / entry.name)
        elif entry.name == "compiled":
            yield _item(ItemKind.COMPILED, folder / entry.name)
        else:
            yield _item(ItemKind.WORK, folder / entry.name)


def _programs(folder: Path) -> Iterator[Item]:
    for entry in _entries(folder):
        path = folder / entry.name
        match = PART.fullmatch(entry.name)
        if match is None:
            yield _item(ItemKind.BUILD, path)
        elif not _at_work(match, path):
            yield _item(ItemKind.LEFTOVER, path)


def _at_work(match: re.Match[str], path: Path) -> bool:
    """May the process that began this file still write to it?"""
    if match["host"] == (platform.node() or "host") and os.name == "posix":
        return has_process(int(match["process"]))
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime < _OLD
    return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _item(kind: ItemKind, path: Path) -> Item:
    info = path.lstat()
    return Item(kind, path, _disk(path), info.st_mtime)


def _disk(path: Path) -> int:
    """Bytes of disk of ``path`` and all below it."""
    info = path.lstat()
    size = getattr(info, "st_blocks", -(-info.st_size // 512)) * 512
    if stat.S_ISDIR(info.st_mode):
        size += sum(_disk(path / entry.name) for entry in _entries(path))
    return size


def _mine(folder: Path) -> bool:
    """A folder, no link, of this user."""
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and (os.name == "nt" or info.st_uid == os.getuid())
