"""Several files at once: what a user who names a folder means (spec/1, 10.7.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from llamafile_format.errors import SourceError
from llamafile_format.source.pending import MAGIC, SUFFIX

OURS = ".llamafile"
"""A file whose name ends like this counts, whatever it turns out to be."""


def expand(names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Each file that ``names`` mean, and whether it was named itself: files as they are, of folders all that is below.

    By name, so in the same order everywhere. Links in folders are not followed, what begins with a dot (unfinished
    files, tools' own folders) and journals are left out.
    """
    for name in names:
        if not Path(name).is_dir():
            yield name, True
            continue
        yield from ((path, False) for path in _below(name))


def _below(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            rows = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}") from error
    for entry in rows:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
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
