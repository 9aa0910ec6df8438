"""Files that are many: each gives its descriptor back between two uses, and is the very same file again afterwards.

A folder of thousands of files becomes thousands of members, and a process may have a few hundred descriptors.
"""

from __future__ import annotations

import os
from threading import Lock

from llamafile_format.errors import SourceError
from llamafile_format.source.base import ByteSource
from llamafile_format.source.local import READ, FileSource, Identity


class RestingFile(FileSource):
    """A :class:`FileSource` that is opened again when it is read after :meth:`rest`. SourceError if it is another file
    then, or was written to. No other thread may be reading it while it is put to rest."""

    __slots__ = ("_awake", "_lock", "_resting")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._awake, self._resting, self._lock = -1, False, Lock()
        super().__init__(path)

    @property
    def fd(self) -> int:
        """The open descriptor."""
        with self._lock:
            if self._resting:
                self._awake, self._resting = self._opened_again(), False
            return self._awake

    @fd.setter
    def fd(self, value: int) -> None:
        """Set by the class above, which opens it."""
        self._awake = value

    def _opened_again(self) -> int:
        try:
            found = os.open(self.name, READ)
        except OSError as error:
            raise SourceError(f"cannot open {self.name} again: {error.strerror}") from error
        if Identity.of(os.fstat(found)) != self.identity:
            os.close(found)
            raise SourceError(
                f"{self.name} changed while it was read; nothing was written", hint="try again when it is at rest"
            )
        return found

    def rest(self) -> None:
        """Give the descriptor back until the next use."""
        with self._lock:
            if self._awake >= 0:
                os.close(self._awake)
                self._awake, self._resting = -1, True

    def close(self) -> None:
        """See :class:`FileSource`."""
        self.rest()
        self._resting = False

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()


def put_down(*sources: ByteSource | None) -> None:
    """Let those of ``sources`` rest that can."""
    for source in sources:
        if isinstance(source, RestingFile):
            source.rest()
