"""An object on another machine as a byte source, read in few requests (spec/1, 10.12.4).

What verifies and inspects asks for small stretches, often the same ones, and knows nothing of networks. Members are
aligned to 64 KiB, so their headers stand in the block in front of their data. Hence aligned blocks, kept for a while;
one round of requests for all stretches that are asked for together; more and more at a time for whoever reads on and
on, as long headers of weights make us do; and large reads past all that, in pieces side by side into the reader's own
buffer. Memory does not grow with the object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from threading import Lock
from types import TracebackType
from typing import Protocol, TypeVar

from llamafile_format.errors import SourceError
from llamafile_format.source.answers import Version
from llamafile_format.source.base import Range
from llamafile_format.source.traffic import Traffic

T = TypeVar("T")

BLOCK = 1 << 16
TAIL = 1 << 18
"""Bytes asked for first: end records, directory and manifest of most files."""

HEAD = 7 * BLOCK
"""Bytes asked for at the same time: the prefix's beginning, first headers; with the tail less than 1 MiB."""

_PAIR = 2
"""Blocks that are fetched for one that is needed: a header, and the beginning of the data behind it."""

_AHEAD = 1 << 20
_FURTHEST = 1 << 25
"""Bytes that are fetched for whoever reads on where the last fetch ended: from the one, doubled up to the other."""

_KEPT = 1 << 10
"""Blocks that are kept."""

_PIECE = 1 << 20
"""A large read is split into requests for so many bytes at least: each costs some 0.3 ms of processor time."""

PARALLEL = 8
"""Connections, which are shared out among those who read: many readers have one request each, a single one has many."""


class RangedObject(Protocol):
    """What answers ranges. Errors are SourceError; methods are safe to call from several threads once it has begun."""

    @property
    def name(self) -> str:
        """What may be shown of its address."""

    @property
    def version(self) -> Version:
        """Size, and which state it was in when the first bytes were read."""

    def begin(self, tail: int) -> tuple[int, bytes]:
        """Its last ``tail`` bytes and where they begin, or fewer; from now on it has a version."""

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes [start, end), fewer where the object ends before."""

    def fetch_into(self, start: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``start``; how much that was: less only where the object ends."""

    def close(self) -> None:
        """End whatever is being read, at once and from any thread; safe to call twice."""


class RemoteSource:
    """A :class:`ByteSource` over ``ranged``. Close it, or use it in a ``with``; no change underneath goes unnoticed
    that the server tells of.
    """

    def __init__(self, ranged: RangedObject, traffic: Traffic, *, patience: float = 900.0, identity: str = "") -> None:
        """Ask for both ends at once. SourceError if the object cannot be read by ranges.

        ``identity`` stands for the object, of whose address its name does not tell all.
        """
        self.name = ranged.name
        self.identity = identity or ranged.name
        self.traffic = traffic
        self._object = ranged
        self._patience = patience
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock, self._lock_readers = Lock(), Lock()
        self._readers = 0
        self._ends = {HEAD // BLOCK: 0}
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="ranges")
        try:
            self.size = self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def revision(self) -> str:
        """Which state of the object is read, in the words of its server; empty if it says nothing."""
        return self._object.version.tag

    @property
    def sha256(self) -> str:
        """What its server says that all its bytes have, 64 hex digits; empty if it says nothing. To be compared."""
        return self._object.version.sha256

    @property
    def pinned(self) -> bool:
        """True if :attr:`revision` will stand for the same bytes on another day, by the word of its server."""
        return self._object.version.pinned

    def _begin(self) -> int:
        self.traffic.round()
        tail, head = self._pool.submit(self._object.begin, TAIL), self._pool.submit(self._object.fetch, 0, HEAD)
        start, data = self._wait(tail)
        size = self._object.version.size
        self._keep(start, data, size)
        self._keep(0, self._wait(head), size)
        self.traffic.limits = self.traffic.limits.of(size)
        return size

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        self._check(offset, length)
        return self._cut(offset, length, self._gather([(offset, length)], sequential=True)) if length else b""

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`: one round."""
        for offset, length in ranges:
            self._check(offset, length)
        blocks = self._gather(ranges, sequential=False)
        return [self._cut(offset, length, blocks) if length else b"" for offset, length in ranges]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`. Large reads are not kept."""
        self._check(offset, len(buffer))
        if len(buffer) < _PIECE:
            buffer[:] = self.read_at(offset, len(buffer))
            return
        with self._lock_readers:
            self._readers += 1
            share = max(1, PARALLEL // self._readers)
        try:
            self._read_large(offset, buffer, max(_PIECE, -(-len(buffer) // share)))
        finally:
            with self._lock_readers:
                self._readers -= 1

    def read_exactly(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset`` with what is asked for and not a byte more; nothing of it is kept."""
        self._check(offset, len(buffer))
        self._read_large(offset, buffer, _PIECE)

    def _read_large(self, offset: int, buffer: memoryview, piece: int) -> None:
        starts = range(0, len(buffer), piece)
        jobs = [self._pool.submit(self._object.fetch_into, offset + at, buffer[at : at + piece]) for at in starts]
        for at, job in zip(starts, jobs, strict=True):
            if self._wait(job) != min(piece, len(buffer) - at):
                raise SourceError(f"{self.name}: ends at byte {self.size} no more")

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SourceError(f"{self.name}: read of {length} bytes at {offset} leaves its {self.size} bytes")

    def _gather(self, ranges: Sequence[Range], *, sequential: bool) -> dict[int, bytes]:
        """All blocks that ``ranges`` touch; those that are not here come in one round."""
        wanted = {
            i for offset, length in ranges if length for i in range(offset // BLOCK, -(-(offset + length) // BLOCK))
        }
        with self._lock:
            found = {i: self._blocks[i] for i in wanted if i in self._blocks}
            missing = sorted(wanted - found.keys())
            if not missing:
                return found
            runs = self._runs(missing, sequential=sequential)
            self.traffic.round()
            jobs = [(low, self._pool.submit(self._fetch, low, high)) for low, high in runs]
            for low, job in jobs:
                found.update(self._keep(low * BLOCK, self._wait(job), self.size))
            return found

    def _fetch(self, low: int, high: int) -> bytes:
        """The blocks [low, high)."""
        start, end = low * BLOCK, min(high * BLOCK, self.size)
        data = self._object.fetch(start, end)
        if len(data) != end - start:
            raise SourceError(f"{self.name}: ends at byte {start + len(data)}, and not at {self.size}")
        return data

    def _runs(self, missing: Sequence[int], *, sequential: bool) -> list[tuple[int, int]]:
        """Stretches [low, high) of blocks to ask for: what is missing, a block more for each, and what lies ahead.

        ``_ends`` are the ends of earlier stretches, with the bytes that were fetched ahead: who asks for what lies
        there reads on.
        """
        runs: list[tuple[int, int]] = []
        for i in missing:
            if runs and i <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(i + 1, runs[-1][1]))
            else:
                runs.append((i, i + 1 if i + 1 in self._blocks else i + _PAIR))
        ahead = self._ends.pop(missing[0], None) if sequential else None
        further = 0 if ahead is None else min(max(2 * ahead, _AHEAD), _FURTHEST)
        low, high = runs[-1]
        runs[-1] = (low, max(high, low + further // BLOCK))
        if len(self._ends) > _KEPT:
            self._ends.clear()
        self._ends |= dict.fromkeys((high for _, high in runs), further)
        last = -(-self.size // BLOCK)
        return [(low, min(high, last)) for low, high in runs]

    def _keep(self, start: int, data: bytes, size: int) -> list[tuple[int, bytes]]:
        """Keep the whole blocks of ``data``, which begins at ``start``, and forget the oldest; the blocks."""
        blocks = []
        for i in range(-(-start // BLOCK), -(-(start + len(data)) // BLOCK)):
            block = data[i * BLOCK - start : (i + 1) * BLOCK - start]
            if len(block) == min(BLOCK, size - i * BLOCK):
                blocks.append((i, block))
                self._blocks[i] = block
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return blocks

    def _cut(self, offset: int, length: int, blocks: dict[int, bytes]) -> bytes:
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        data = blocks[first] if first == last else b"".join(blocks[i] for i in range(first, last + 1))
        return data[offset - first * BLOCK :][:length]

    def _wait(self, job: Future[T]) -> T:
        """What ``job`` gives. SourceError if that takes longer than there is time, whatever the server does."""
        left = self.traffic.left()
        try:
            return job.result(self._patience if left is None else min(left, self._patience))
        except NotDone:
            self._object.close()
            self.traffic.left()
            raise SourceError(f"{self.name}: the server holds us up") from None

    def close(self) -> None:
        """End all connections and requests; safe to call twice."""
        self._object.close()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> RemoteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
