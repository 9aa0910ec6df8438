"""Sources on this machine: an open file, or bytes in memory."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from llamafile_format.errors import SourceError
from llamafile_format.source.base import ByteSource, Range

# O_NONBLOCK: a pipe that nobody writes to must not hold us up before we see that it is one.
READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_BINARY", "O_NONBLOCK", "O_NOCTTY"))


class BytesSource:
    """A source over ``data`` held in memory."""

    __slots__ = ("_data", "name", "size")

    def __init__(self, data: bytes, name: str = "<bytes>") -> None:
        self._data = data
        self.name = name
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")
        return self._data[offset : offset + length]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file it is, and in which state, as far as the system tells: sizes in bytes, times in ns since 1970.

    Anybody may set ``mtime``; ``ctime`` is the system's own, and moves with every change that goes through it.
    """

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, info: os.stat_result) -> Identity:
        """What a ``stat`` or an ``fstat`` says."""
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class FileSource:
    """A regular file, read by ``pread``; the descriptor is closed by :meth:`close` or at the end of a ``with``."""

    __slots__ = ("_owned", "fd", "identity", "name", "opened", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path``; SourceError if it cannot be opened or is not a regular file."""
        self.name = os.fspath(path)
        self._owned = True
        try:
            self.fd = os.open(path, READ)
        except OSError as error:
            raise SourceError(f"cannot open {self.name}: {error.strerror}") from error
        self.size = self._regular_size()

    @classmethod
    def from_descriptor(cls, fd: int, name: str) -> FileSource:
        """A source over an open descriptor that stays the caller's to close."""
        self = cls.__new__(cls)
        self.name, self.fd, self._owned = name, fd, False
        self.size = self._regular_size()
        return self

    def _regular_size(self) -> int:
        info = os.fstat(self.fd)
        if not stat.S_ISREG(info.st_mode):
            self.close()
            if stat.S_ISDIR(info.st_mode):
                raise SourceError(f"{self.name} is a directory", hint="name a file in it")
            hint = "name a file; pipes cannot be read at random offsets"
            raise SourceError(f"{self.name} is not a regular file", hint=hint)
        self.identity, self.opened = Identity.of(info), time.time_ns()
        return info.st_size

    def changed(self) -> bool:
        """True if somebody has written to the file since it was opened, as far as size and times tell."""
        return Identity.of(os.fstat(self.fd)) != self.identity

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`. ``length`` is checked against the file's size before a byte is allocated."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")
        try:
            data = os.pread(self.fd, length, offset)
            while len(data) < length:
                more = os.pread(self.fd, length - len(data), offset + len(data))
                if not more:
                    raise SourceError(f"{self.name} shrank while it was read, at byte {offset + len(data)}")
                data += more
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name}: cannot read at byte {offset}: {error.strerror}") from error
        return data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        done = 0
        try:
            while done < len(buffer):
                count = os.preadv(self.fd, [buffer[done:]], offset + done)
                if not count:
                    raise SourceError(f"{self.name} ends at byte {offset + done}, {len(buffer) - done} bytes early")
                done += count
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name}: cannot read at byte {offset + done}: {error.strerror}") from error

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]

    def close(self) -> None:
        """Close the descriptor if this source opened it; safe to call twice."""
        if self._owned and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()


def open_source(what: str | os.PathLike[str] | bytes | IO[bytes] | ByteSource) -> ByteSource:
    """A :class:`ByteSource` for a path, an open binary file, bytes, or a source (returned as it is)."""
    if isinstance(what, bytes | bytearray | memoryview):
        return BytesSource(bytes(what))
    if isinstance(what, str | os.PathLike):
        return FileSource(Path(what))
    if isinstance(what, ByteSource):
        return what
    if isinstance(what, io.BytesIO):
        return BytesSource(what.getvalue())
    return FileSource.from_descriptor(what.fileno(), str(getattr(what, "name", "<file>")))
