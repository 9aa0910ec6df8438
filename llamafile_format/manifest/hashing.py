"""Hashing at the speed of all cores: one read of the bytes, every digest from it (spec/1, 6.5).

``hashlib`` and ``zlib`` release the interpreter lock on large buffers, so threads are enough. Bytes are read into a few
reused buffers of one chunk each: memory is the same for a gigabyte and for a terabyte, and no file is mapped, because a
file that shrinks under a mapping kills the process.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from llamafile_format.manifest.merkle import CHUNK_SIZE, chunk_root, combine_crcs, pieces
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource

if TYPE_CHECKING:  # what hashes little needs no threads, and starts faster without them
    from concurrent.futures import Future


Sink = Callable[[int, memoryview], None]
"""Called with (offset from the start of the pass, bytes); may be called from several threads, each byte once."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Digests:
    """Everything that one pass over a byte range computes. ``chunks`` are raw SHA-256 digests of 4 MiB pieces."""

    size: int
    crc32: int
    sha256: bytes
    chunks: tuple[bytes, ...]
    sha512: bytes = b""
    chunks512: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The chunk root (clause 6.3)."""
        return chunk_root(self.chunks)


def sha256_of(source: ByteSource) -> str:
    """SHA-256 of all of ``source``, in hex, without threads."""
    digest = hashlib.sha256()
    for at in range(0, source.size, CHUNK_SIZE):
        digest.update(source.read_at(at, min(CHUNK_SIZE, source.size - at)))
    return digest.hexdigest()


def digest_range(
    source: ByteSource,
    offset: int,
    length: int,
    *,
    sha512: bool = False,
    whole: bool = True,
    sink: Sink | None = None,
    progress: Advance | None = None,
) -> Digests:
    """All digests of ``length`` bytes from ``offset``, in one read; each piece is also handed to ``sink``.

    Buffers are anonymous memory that starts on a page, so that a sink may write them past the page cache.
    The whole-range hash is sequential and owns a thread; piece hashes, CRCs and the sink run beside it. Without
    ``whole`` the whole-range hashes stay empty. Raises SourceError when bytes cannot be read, and what ``sink`` raises.
    """
    if length <= CHUNK_SIZE:
        return _digest_small(source, offset, length, sha512=sha512, sink=sink, progress=progress)
    from concurrent.futures import ThreadPoolExecutor

    totals = [hashlib.sha256(), hashlib.sha512()] if sha512 else [hashlib.sha256()]
    if not whole:
        totals = []
    workers = cores()
    threads = workers + (2 if sink else 0)  # some wait for the disk while the others hash
    buffers = deque(memoryview(mmap.mmap(-1, CHUNK_SIZE)) for _ in range(threads + 3))
    pending: deque[tuple[memoryview, int, Future[tuple[int, bytes, bytes]], Future[None] | None]] = deque()
    crcs: list[tuple[int, int]] = []
    chunks: list[bytes] = []
    chunks512: list[bytes] = []

    def retire() -> None:
        """Take in the oldest piece that is at work, once it is done; its buffer is free again."""
        buffer, count, piece, total = pending.popleft()
        crc, small, large = piece.result()
        crcs.append((crc, count))
        chunks.append(small)
        if sha512:
            chunks512.append(large)
        if total is not None:
            total.result()
        buffers.append(buffer)
        if progress:
            progress(count)

    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as serial:
        for at, count in pieces(offset, length):
            if not buffers:
                retire()
            buffer = buffers.popleft()
            view = buffer[:count]
            source.read_into(at, view)
            total = serial.submit(_update, totals, view) if totals else None
            pending.append((buffer, count, pool.submit(_piece, view, at - offset, sha512, sink), total))
        while pending:
            retire()
    return Digests(
        size=length,
        crc32=combine_crcs(crcs),
        sha256=totals[0].digest() if totals else b"",
        chunks=tuple(chunks),
        sha512=totals[1].digest() if len(totals) > 1 else b"",
        chunks512=tuple(chunks512),
    )


def _update(totals: Iterable[hashlib._Hash], view: memoryview) -> None:
    for total in totals:
        total.update(view)


def _piece(view: memoryview, at: int, sha512: bool, sink: Sink | None) -> tuple[int, bytes, bytes]:
    if sink is not None:
        sink(at, view)
    return (
        zlib.crc32(view),
        hashlib.sha256(view).digest(),
        hashlib.sha512(view).digest() if sha512 else b"",
    )


def _digest_small(
    source: ByteSource, offset: int, length: int, *, sha512: bool, sink: Sink | None, progress: Advance | None
) -> Digests:
    data = source.read_at(offset, length)
    if sink is not None:
        sink(0, memoryview(data))
    if progress:
        progress(length)
    small = hashlib.sha256(data).digest()
    large = hashlib.sha512(data).digest() if sha512 else b""
    chunks = (small,) if data else ()
    return Digests(length, zlib.crc32(data), small, chunks, large, ((large,) if data and sha512 else ()))


@dataclass(frozen=True, slots=True)
class Piece:
    """At most 4 MiB with the digests they must have. ``crc32`` is checked where it is known (not None)."""

    offset: int
    length: int
    sha256: bytes
    sha512: bytes = b""
    crc32: int | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A piece that has other digests; ``sha256`` is what was found, ``digest`` whether it (or only the CRC) differs."""

    piece: Piece
    sha256: bytes
    digest: bool
    crc32: bool


class Proven(Protocol):
    """Pieces that were right before, in the same state of the same object. Threads share it."""

    def knows(self, piece: Piece) -> bool:
        """True if ``piece``, with all that it must be, was right: then it is not read."""

    def keep(self, piece: Piece) -> None:
        """``piece`` is right; said by the thread that has just handed its bytes to the sink."""


def check_pieces(
    source: ByteSource,
    expected: Iterable[Piece],
    *,
    sink: Sink | None = None,
    progress: Advance | None = None,
    workers: int | None = None,
    proven: Proven | None = None,
) -> Iterator[Mismatch]:
    """Hash pieces on all cores; yield those that differ, in the order given. Raises SourceError on reads.

    ``sink`` is given every piece, by its offset in ``source``. Each worker reads into its own buffer of one chunk.
    Pieces are taken from ``expected`` a few at a time, so a list of a million is never held. Those that are ``proven``
    are not read.
    """
    count = workers or cores()
    window: deque[Future[list[Mismatch]]] = deque()
    batches = _batches(expected if proven is None else _unproven(expected, proven, progress))
    first = next(batches, [])
    second = next(batches, None)
    check = partial(_check_batch, source, buffers=_Buffers(), sink=sink, progress=progress, proven=proven)
    if second is None:  # a small file: starting threads would take longer than the work
        yield from check(first)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        for batch in chain([first, second], batches):
            window.append(pool.submit(check, batch))
            if len(window) > count + 1:
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()


def _unproven(expected: Iterable[Piece], proven: Proven, progress: Advance | None) -> Iterator[Piece]:
    for piece in expected:
        if not proven.knows(piece):
            yield piece
        elif progress:
            progress(piece.length)


_BATCH = 64  # small pieces (headers, documents) travel together, or the hand-over would cost more than the hash


def _batches(expected: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    weight = 0
    for piece in expected:
        batch.append(piece)
        weight += piece.length
        if weight >= CHUNK_SIZE or len(batch) >= _BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


class _Buffers:
    """A stack of reused buffers; append and pop of a deque are atomic, so threads share it without a lock."""

    def __init__(self) -> None:
        self._free: deque[memoryview] = deque()

    def take(self, length: int) -> memoryview:
        """A buffer of at least ``length`` bytes: one that was given back, or a new one."""
        buffer = self._free.pop() if self._free else memoryview(b"")
        return buffer if len(buffer) >= length else memoryview(bytearray(length))

    def give(self, buffer: memoryview) -> None:
        """Take ``buffer`` back."""
        self._free.append(buffer)


def _check_batch(
    source: ByteSource,
    batch: Sequence[Piece],
    *,
    buffers: _Buffers,
    sink: Sink | None,
    progress: Advance | None,
    proven: Proven | None,
) -> list[Mismatch]:
    wrong = []
    buffer = buffers.take(max((piece.length for piece in batch), default=0))
    try:
        for piece in batch:
            view = buffer[: piece.length]
            source.read_into(piece.offset, view)
            if sink is not None:
                sink(piece.offset, view)
            found = hashlib.sha256(view).digest()
            digest = found != piece.sha256 or bool(piece.sha512 and hashlib.sha512(view).digest() != piece.sha512)
            crc = piece.crc32 is not None and zlib.crc32(view) != piece.crc32
            if digest or crc:
                wrong.append(Mismatch(piece, found, digest, crc))
            elif proven is not None:
                proven.keep(piece)
            if progress:
                progress(piece.length)
    finally:
        buffers.give(buffer)
    return wrong
