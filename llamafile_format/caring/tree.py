"""A folder that came from a stranger: every name and kind in it is judged before one file is opened.

No link is followed and nothing but files and folders is taken. Names are those that members may have (spec/1, 4.8):
no two of them are one file on another system, and none leads out of the folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.errors import FormatError, LimitExceeded, SourceError, UsageError
from llamafile_format.source import RestingFile
from llamafile_format.source.local import Identity
from llamafile_format.zip.names import collisions, name_problems

MAX_FILES = 100_000
MAX_DEPTH = 64  # folders in folders
MAX_TABLE = 64 << 20  # bytes of a manifest or an inventory
_HINT = "a package holds files and folders with plain names, and nothing else"


@dataclass(frozen=True, slots=True)
class Tree:
    """``files`` are by their path below ``root``, with ``/`` between names, sorted."""

    root: Path
    files: Mapping[str, Identity]

    def open(self, path: str) -> RestingFile:
        """The file ``path``, which must be the one that was found. FormatError if it is not there or is another."""
        if path not in self.files:
            raise FormatError(f"{self.root} has no {path}", hint="the package is not whole")
        source = RestingFile(self.root / path)
        if source.identity != self.files[path]:
            source.close()
            raise SourceError(f"{self.root / path} was exchanged while the package was read")
        return source

    def read(self, path: str, most: int = MAX_TABLE) -> bytes:
        """The contents of the file ``path``. LimitExceeded if it has more than ``most`` bytes."""
        with self.open(path) as source:
            if source.size > most:
                raise LimitExceeded(f"{path} is too large", found=source.size, allowed=f"{most} bytes")
            return source.read_at(0, source.size)

    def below(self, folder: str) -> list[str]:
        """Paths of the files in ``folder`` and below it."""
        return [path for path in self.files if path.startswith(f"{folder}/")]


def read_tree(root: str | os.PathLike[str], without: Collection[str] = ()) -> Tree:
    """Everything in the folder ``root``, but for what is called as ``without`` says, wherever it lies in it.

    UsageError if it is no folder, FormatError for what no package has in it.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name the folder of the package")
    files: dict[str, Identity] = {}
    for path, info in _walk(folder, "", 0, without):
        files[path] = Identity.of(info)
        if len(files) > MAX_FILES:
            raise LimitExceeded(f"{folder} has too many files", allowed=f"{MAX_FILES}")
    names = sorted(files)
    for index, earlier in collisions(names):
        raise FormatError(f"{folder}: {names[earlier]!r} and {names[index]!r} are one file on some systems", hint=_HINT)
    return Tree(folder, {name: files[name] for name in names})


def _walk(folder: Path, inside: str, depth: int, without: Collection[str]) -> Iterator[tuple[str, os.stat_result]]:
    if depth > MAX_DEPTH:
        raise LimitExceeded(f"{folder} is nested too deeply", allowed=f"{MAX_DEPTH} folders")
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry.name, entry.stat(follow_symlinks=False)) for entry in entries if entry.name not in without
            )
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}") from error
    for name, info in found:
        path = f"{inside}{name}"
        problems = name_problems(path.encode("utf-8", "surrogateescape"))
        if problems:
            raise FormatError(f"{folder}: the name {path!r} {problems[0].value}", hint=_HINT)
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(folder / name, f"{path}/", depth + 1, without)
        elif stat.S_ISREG(info.st_mode):
            yield path, info
        else:
            kind = "a link" if stat.S_ISLNK(info.st_mode) else "neither a file nor a folder"
            raise FormatError(f"{folder / name} is {kind}", hint=_HINT)
