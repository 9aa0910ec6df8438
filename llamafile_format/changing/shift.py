"""Moving the tail of a file without copying it: fallocate's insert and collapse range (spec/1, 8.5.2)."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

UNIT = 65536  # bytes; a multiple of every block size in use, so that a shift is legal on every machine
_FALLOC = {"collapse": 0x08, "insert": 0x20}  # linux/falloc.h


class Kind(IntEnum):
    """What a shift does; the number stands in the journal."""

    NONE = 0
    INSERT = 1
    COLLAPSE = 2


@dataclass(frozen=True, slots=True)
class Shift:
    """Insert ``length`` zero bytes at offset ``at``, or take that many out from there. Multiples of 64 KiB."""

    kind: Kind = Kind.NONE
    at: int = 0
    length: int = 0

    @property
    def delta(self) -> int:
        """By how much bytes behind ``at`` move: positive towards the end."""
        return self.length if self.kind is Kind.INSERT else -self.length

    def moved(self, offset: int) -> int:
        """Where the byte at ``offset`` of the old file lies afterwards; it must not be one that is taken out."""
        return offset if self.kind is Kind.NONE or offset < self.at else offset + self.delta

    def apply(self, fd: int) -> None:
        """Do it to the open file ``fd``. OSError if the file system cannot."""
        if self.kind is Kind.INSERT:
            _fallocate(fd, _FALLOC["insert"], self.at, self.length)
        elif self.kind is Kind.COLLAPSE:
            _fallocate(fd, _FALLOC["collapse"], self.at, self.length)

    def undo(self, fd: int) -> None:
        """The reverse; bytes that were taken out come back as zeros."""
        if self.kind is not Kind.NONE:
            kind = Kind.COLLAPSE if self.kind is Kind.INSERT else Kind.INSERT
            Shift(kind, self.at, self.length).apply(fd)


def can_shift(folder: Path) -> bool:
    """True if files in ``folder`` can be shifted: tried on a nameless file of three units."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        from tempfile import TemporaryFile

        with TemporaryFile(dir=folder) as file:
            os.pwrite(file.fileno(), bytes(3 * UNIT), 0)
            Shift(Kind.INSERT, UNIT, UNIT).apply(file.fileno())
            Shift(Kind.COLLAPSE, UNIT, UNIT).apply(file.fileno())
    except OSError:
        return False
    return True


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if not sys.platform.startswith("linux"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or library.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    while call(fd, mode, offset, length):
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
