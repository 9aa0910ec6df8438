"""The files of a sidecar set: their names, and which of them are there (spec/1, 17.7).

``FILE.par2`` has the critical packets, ``FILE.vol0+1.par2`` and the like have the recovery slices, 1, 2, 4 and so on,
as all programs for PAR2 name and find them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".par2"
_VOLUME = re.compile(r"(?P<stem>.+)\.vol[0-9]{1,5}\+[0-9]{1,5}\.par2\Z", re.IGNORECASE | re.DOTALL)
_MOST = 4096
"""Volumes of one set that are looked at."""


def index_of(path: Path) -> Path:
    """The first file of the set that protects ``path``."""
    return path.with_name(path.name + SUFFIX)


def volumes(path: Path, recovery: int) -> list[tuple[Path, int, int]]:
    """(file, first exponent, count) for ``recovery`` slices of ``path``."""
    result, first, count = [], 0, 1
    parts = []
    while first < recovery:
        parts.append((first, min(count, recovery - first)))
        first, count = first + count, 2 * count
    wide, broad = len(str(parts[-1][0])), len(str(max(count for _, count in parts)))
    for first, count in parts:
        result.append((path.with_name(f"{path.name}.vol{first:0{wide}}+{count:0{broad}}{SUFFIX}"), first, count))
    return result


def files_of(path: Path) -> list[Path]:
    """The files that are there of the set that protects ``path``, in the order of their names."""
    return _there(path.parent, path.name)


def files_of_set(named: Path) -> list[Path]:
    """The files of the set of which ``named`` is one."""
    match = _VOLUME.match(named.name)
    stem = match["stem"] if match else named.name[: -len(SUFFIX)] if named.name.lower().endswith(SUFFIX) else ""
    found = _there(named.parent, stem) if stem else []
    return found if named in found else [named, *found]


def _there(folder: Path, stem: str) -> list[Path]:
    return sorted(folder / name for name in _names(folder, stem))[:_MOST]


def _names(folder: Path, stem: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        match = _VOLUME.match(entry.name)
        if (entry.name == stem + SUFFIX or (match and match["stem"] == stem)) and entry.is_file():
            yield entry.name
