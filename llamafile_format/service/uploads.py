"""Uploads on their way to the disk: bounded by what was promised before the first byte (spec/1, 10.16.4)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llamafile_format.service.config import Gate, Key
from llamafile_format.service.jobs import FILE, Busy, Jobs

_PIECE = 1 << 20
_AT_ONCE = 16  # uploads of one key that may be under way
_SLOWEST = 1 << 16
"""Bytes a second: a sender that is slower in the long run is given up."""


class TooLarge(Exception):
    """More bytes than one upload may have."""


class CutOff(Exception):
    """The sender fell silent, was too slow, or sent fewer bytes than it said."""


class Uploads:
    """The folder of uploads that wait for their judgement. Used from one event loop, but for :meth:`room`; sizes are
    bytes.
    """

    def __init__(self, gate: Gate, jobs: Jobs) -> None:
        self.folder = gate.state / "uploads"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._caps = gate.caps
        self._share = gate.caps.storage // (1 if len(gate.keys) == 1 else 2)  # of one key
        self._jobs = jobs
        self._promised: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()

    def path(self, name: str) -> Path:
        """Where the upload of the job ``name`` lies."""
        return self.folder / name

    def stored(self) -> int:
        """Bytes that lie here: uploads, and the reports beside them."""
        total = self._jobs.stored()
        for folder in (self.folder, self.folder.parent):
            for each in os.scandir(folder):
                with contextlib.suppress(OSError):
                    total += 0 if each.name == FILE else each.stat(follow_symlinks=False).st_size
        return total

    def room(self, length: int = 0) -> None:
        """Busy if there is none for ``length`` bytes, or for another report."""
        if length >= self._caps.storage - self.stored() - sum(tuple(self._promised.values())):
            raise Busy("there is no room for other uploads and reports", 60)

    @contextmanager
    def promise(self, key: Key, length: int) -> Iterator[None]:
        """Room for ``length`` bytes. TooLarge, or Busy if there is none now.

        What is promised to one is not promised to another, whoever sends first; no key has more than half, if there
        are others.
        """
        if length > (most := min(self._caps.upload, key.day, self._share)):
            raise TooLarge(f"more than {most} bytes")
        if self._under_way[key.name] >= _AT_ONCE:
            raise Busy(f"{_AT_ONCE} uploads of this key are under way already", 5)
        sent, seconds = self._jobs.day(key)
        promised = self._promised[key.name]
        if length > key.day - sent - promised:
            raise Busy(f"this key has sent its {key.day} bytes of a day", seconds)
        if length > self._share - self._jobs.waiting(key) - promised:
            raise Busy("this key has too many bytes waiting", 30)
        self.room(length)
        self._promised[key.name] += length
        self._under_way[key.name] += 1
        try:
            yield
        finally:
            self._promised[key.name] -= length
            self._under_way[key.name] -= 1

    async def receive(self, name: str, body: AsyncIterator[bytes], length: int) -> None:
        """Write ``body``, of ``length`` bytes, to :meth:`path`, whole and synced, or not at all. TooLarge, CutOff."""
        loop = asyncio.get_running_loop()
        part = self.folder / f"{name}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        size, began, waiting = 0, loop.time(), bytearray()
        try:
            while (piece := await self._next(body)) is not None:
                size += len(piece)
                if size > length:
                    raise TooLarge(f"more than the {length} bytes that were announced")
                if loop.time() - began > self._caps.idle + size / _SLOWEST:
                    raise CutOff("it comes too slowly")
                waiting += piece
                if len(waiting) >= _PIECE:
                    await _done(_write, descriptor, bytes(waiting))
                    waiting.clear()
            if size != length:
                raise CutOff(f"it ended after {size} of {length} bytes")
            await _done(_settle, descriptor, bytes(waiting), part, self.path(name))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    async def _next(self, body: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await asyncio.wait_for(anext(body), self._caps.idle)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise CutOff(f"nothing came for {self._caps.idle:g} seconds") from None

    def drop(self, name: str) -> None:
        """Delete the upload of the job ``name``, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete what no job waits for: left by a kill between the bytes and the row."""
        wanted = self._jobs.uploads()
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)


async def _done(work: Callable[..., None], *arguments: object) -> None:
    """``work`` in a thread; never left behind, as its descriptor will be closed and be another's."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _settle(descriptor: int, data: bytes, part: Path, path: Path) -> None:
    _write(descriptor, data)
    os.fsync(descriptor)
    part.rename(path)
    if os.name != "posix":  # elsewhere folders are not opened
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
