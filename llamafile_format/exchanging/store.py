"""A folder in which other programs keep models, read by names below it: nothing leads out of it.

No link on the way is followed, and what is opened is the plain file that was looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.errors import FormatError, LimitExceeded, SourceError, UsageError
from llamafile_format.source import RestingFile
from llamafile_format.source.local import Identity

_HINT = "a store holds folders and plain files; take the model from somewhere else"


@dataclass(frozen=True, slots=True)
class Store:
    """The folder ``root``, whatever leads to it; ``what`` it is, for messages."""

    root: Path
    what: str

    def path(self, *names: str) -> Path:
        """Where ``names`` lie, one below the other."""
        return self.root.joinpath(*names)

    def look(self, *names: str) -> os.stat_result | None:
        """What lies there, None if nothing does. FormatError if a link or a file stands in the way, or it is one that
        is neither file nor folder."""
        info = None
        for count in range(1, len(names) + 1):
            path = self.path(*names[:count])
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise SourceError(f"cannot read {path}: {error.strerror}") from error
            if stat.S_ISLNK(info.st_mode):
                raise FormatError(f"{path} is a link, and leads out of {self.what}", hint=_HINT)
            if not stat.S_ISDIR(info.st_mode) and (count < len(names) or not stat.S_ISREG(info.st_mode)):
                kind = "a file" if stat.S_ISREG(info.st_mode) else "neither a file nor a folder"
                raise FormatError(f"{path} is {kind}", hint=_HINT)
        return info

    def open(self, *names: str) -> RestingFile:
        """The plain file there. FormatError if it is none, SourceError if there is nothing."""
        path, info = self.path(*names), self.look(*names)
        if info is None:
            raise SourceError(f"{path} is not there", hint=f"{self.what} is not whole: fetch the model again")
        if not stat.S_ISREG(info.st_mode):
            raise FormatError(f"{path} is a folder", hint=_HINT)
        source = RestingFile(path)
        if source.identity != Identity.of(info):
            source.close()
            raise SourceError(f"{path} was exchanged while it was read", hint="try again when it is at rest")
        return source

    def read(self, most: int, *names: str) -> bytes:
        """The contents of the plain file there; LimitExceeded if it has more than ``most`` bytes."""
        with self.open(*names) as source:
            if source.size > most:
                raise LimitExceeded(f"{source.name} is too large", found=source.size, allowed=f"{most} bytes")
            return source.read_at(0, source.size)

    def names(self, *names: str) -> Mapping[str, int]:
        """Names in the folder there with their modes, sorted; nothing if it is not there."""
        info = self.look(*names)
        if info is None or not stat.S_ISDIR(info.st_mode):
            return {}
        try:
            with os.scandir(self.path(*names)) as entries:
                found = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
        except OSError as error:
            raise SourceError(f"cannot read {self.path(*names)}: {error.strerror}") from error
        return dict(sorted(found.items()))


def opened(root: Path, what: str) -> Store:
    """The store at ``root``; UsageError if there is no folder."""
    if not root.is_dir():
        raise UsageError(f"{what} is not at {root}", hint="name its folder: --store DIR")
    return Store(root, what)
