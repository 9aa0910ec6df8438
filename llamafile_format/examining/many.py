"""Several files at once: what a user who names a folder means (spec/1, 10.7.4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from llamafile_format.errors import SourceError
from llamafile_format.source.pending import MAGIC, SUFFIX

OURS = ".llamafile"
"""A file whose name ends like this counts, whatever it turns out to be."""


Refused = Callable[[str, SourceError], None]
"""Hears of a folder that cannot be read, and why."""


def expand(names: Iterable[str], *, refused: Refused | None = None) -> Iterator[tuple[str, bool]]:
    """Each file that ``names`` mean, and whether it was named itself: files as they are, of folders all that is below.

    By name, so in the same order everywhere. Links in folders are not followed, what begins with a dot (unfinished
    files, tools' own folders) and journals are left out. A folder that cannot be read is told to ``refused``, and the
    others go on; without it, it is a SourceError.
    """
    for name in names:
        if not Path(name).is_dir():
            yield name, True
            continue
        yield from ((path, False) for path in _below(name, refused))


def _below(folder: str, refused: Refused | None) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            rows = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        fault = SourceError(f"cannot read {folder}: {error.strerror}")
        if refused is None:
            raise fault from error
        refused(folder, fault)
        return
    for entry in rows:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, refused)
        elif entry.is_file(follow_symlinks=False) and not _is_journal(Path(entry.path)):
            yield entry.path


def _is_journal(path: Path) -> bool:
    if path.suffix != SUFFIX:
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
