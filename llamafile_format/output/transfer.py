"""Moving bytes between files: shared blocks where the file system can, holes kept as holes, plain copies elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from llamafile_format.errors import SourceError
from llamafile_format.manifest.hashing import cores
from llamafile_format.manifest.merkle import CHUNK_SIZE, pieces
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, FileSource, Window

_FICLONERANGE = 0x4020940D  # linux/fs.h: _IOW(0x94, 13, struct file_clone_range)
_CLONE_UNIT = 65536  # a multiple of every block size that reflink file systems use
_BLOCK = 4096  # O_DIRECT: no file system in use asks for more
_CLONE_REFUSALS = frozenset(
    {errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOTTY, errno.EPERM, errno.ETXTBSY, errno.ENOSYS, errno.EISDIR}
)


def file_range(source: ByteSource, offset: int, length: int) -> tuple[FileSource, int] | None:
    """The local file and absolute offset behind [offset, offset + length) of ``source``, if there is one."""
    if isinstance(source, Window):
        return file_range(source._source, source._offset + offset, length)
    return (source, offset) if isinstance(source, FileSource) else None


def clone(source: ByteSource, offset: int, length: int, out: int, at: int) -> int:
    """Share blocks of ``source`` with the file ``out`` at ``at``; how many leading bytes were shared (0 if none)."""
    origin = file_range(source, offset, length)
    units = length - length % _CLONE_UNIT
    if origin is None or not units or at % 4096 or not sys.platform.startswith("linux"):
        return 0
    import fcntl

    try:
        fcntl.ioctl(out, _FICLONERANGE, struct.pack("<qQQQ", origin[0].fd, origin[1], units, at))
    except OSError as error:
        if error.errno in _CLONE_REFUSALS:
            return 0
        raise
    return units


def refuse_changed(source: ByteSource) -> None:
    """SourceError if the file behind ``source`` was written to since it was opened.

    Shared blocks are hashed where they came from: a file that changes in between would get the digest of other bytes.
    """
    origin = file_range(source, 0, source.size)
    if origin is not None and origin[0].changed():
        raise SourceError(
            f"{source.name} changed while it was read; nothing was written", hint="try again when it is at rest"
        )


def data_ranges(source: ByteSource, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the stretches of [offset, offset + length) that hold data; holes are left out."""
    origin = file_range(source, offset, length)
    if origin is None or not hasattr(os, "SEEK_DATA"):
        yield offset, length
        return
    file, start = origin
    at, end = start, start + length
    while at < end:
        try:
            low = os.lseek(file.fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            yield offset + (at - start), end - at
            return
        if low >= end:
            return
        high = min(os.lseek(file.fd, low, os.SEEK_HOLE), end)
        yield offset + (low - start), high - low
        at = high


def write_at(out: int, at: int, data: bytes | memoryview) -> None:
    """All of ``data`` at offset ``at`` of the file ``out``."""
    view = memoryview(data)
    while view:
        count = os.pwrite(out, view, at)
        view, at = view[count:], at + count


def sink_beyond(shared: int, source: ByteSource, out: int, at: int) -> Callable[[int, memoryview], None]:
    """What writes pieces of ``source``, while they are hashed, to ``out``; the source's byte 0 belongs at ``at``.

    The first ``shared`` bytes are there already. Holes of the source stay holes: the caller sets the size of the file.
    """

    def sink(offset: int, view: memoryview) -> None:
        """``view`` lies at ``offset`` of the source."""
        if offset + len(view) > shared:
            for low, count in data_ranges(source, offset, len(view)):
                write_at(out, at + low, view[low - offset : low - offset + count])

    return sink


class DirectWriter:
    """Writes to the file ``out``; whole aligned chunks go past the page cache where the file system allows it.

    A model is larger than what is worth caching, and copying it into the cache costs as much as hashing it. Anything
    unaligned, and everything on systems without O_DIRECT, takes the ordinary way.
    """

    def __init__(self, out: int) -> None:
        self._out = out
        self._direct = -1
        if hasattr(os, "O_DIRECT"):
            with contextlib.suppress(OSError):  # no /proc, or a file system that refuses: tmpfs, some network ones
                self._direct = os.open(f"/proc/self/fd/{out}", os.O_WRONLY | os.O_DIRECT)

    def write(self, at: int, view: memoryview) -> None:
        """All of ``view`` at offset ``at``."""
        if self._direct >= 0 and len(view) == CHUNK_SIZE and at % _BLOCK == 0:
            try:
                done = os.pwrite(self._direct, view, at)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                done = 0
            if done == len(view):
                return
        write_at(self._out, at, view)

    def close(self) -> None:
        """Close what was opened here; ``out`` stays open."""
        if self._direct >= 0:
            os.close(self._direct)
            self._direct = -1


def copy(source: ByteSource, offset: int, length: int, out: int, at: int, *, progress: Advance | None = None) -> int:
    """Bring ``length`` bytes of ``source`` to ``at`` in ``out``; how many of them are shared blocks."""
    shared = clone(source, offset, length, out, at)
    if progress and shared:
        progress(shared)

    def work() -> Iterator[tuple[int, int]]:
        """(offset, length) of the pieces that hold data behind what is shared."""
        for low, count in data_ranges(source, offset + shared, length - shared):
            yield from pieces(low, count)

    def move(piece: tuple[int, int]) -> None:
        """Read and write one piece."""
        write_at(out, at + piece[0] - offset, source.read_at(*piece))
        if progress:
            progress(piece[1])

    in_parallel(move, work())
    return shared


def in_parallel(move: Callable[[tuple[int, int]], None], items: Iterable[tuple[int, int]]) -> None:
    """Call ``move`` on every item from as many threads as there are cores; items are taken one by one, never listed.

    Where one fails, or the caller is interrupted, no further item is begun.
    """
    from concurrent.futures import ThreadPoolExecutor

    source = iter(items)
    lock = threading.Lock()
    over = threading.Event()

    def run() -> None:
        """Move pieces until there are none."""
        while not over.is_set():
            with lock:
                item = next(source, None)
            if item is None:
                return
            move(item)

    with ThreadPoolExecutor(cores()) as pool:
        try:
            for worker in [pool.submit(run) for _ in range(cores())]:
                worker.result()
        except BaseException:
            over.set()
            raise


class OpenFile:
    """The open file ``fd`` from byte ``base`` on, to write to and to read back from."""

    def __init__(self, fd: int, base: int = 0) -> None:
        self._fd, self._base = fd, base

    def write(self, at: int, data: bytes | memoryview) -> None:
        """All of ``data`` at offset ``at``."""
        write_at(self._fd, self._base + at, data)

    def read(self, at: int, length: int) -> bytes:
        """``length`` bytes from ``at``; SourceError if they are not there."""
        data = os.pread(self._fd, length, self._base + at)
        while len(data) < length:
            more = os.pread(self._fd, length - len(data), self._base + at + len(data))
            if not more:
                raise SourceError("what was written a moment ago cannot be read back")
            data += more
        return data
