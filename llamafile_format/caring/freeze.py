"""``freeze`` and ``thaw``: a container packed for a shelf, and the same container again, bit for bit (spec/1, 18.4)."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from llamafile_format.caring.admitting import Admitted, admit, admitted
from llamafile_format.container import Container, Kind
from llamafile_format.errors import FormatError, LimitExceeded, SourceError, UsageError
from llamafile_format.frozen.layout import MAX_BLOCKS, Frozen, Index, Row, tail_of
from llamafile_format.frozen.planes import BLOCK, freeze_block, thaw_block
from llamafile_format.manifest.hashing import cores
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import refuse_changed, write_at
from llamafile_format.prefix.impostors import FROZEN
from llamafile_format.progress import Advance, Progress, counted
from llamafile_format.source import ByteSource, FileSource

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST = 95
"""Percent of its size that a frozen container may have: what saves less does not pay."""
_HINT = "it was not written as it should be: take another copy"
_PROBES = 64
"""Blocks that are tried before a larger file is gone through."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FrozenResult:
    """The frozen file ``path`` of ``size`` bytes, made of a container of ``original_size``; digests are of that."""

    path: Path
    size: int
    original_size: int
    sha256: str
    manifest_sha256: str

    @property
    def percent(self) -> float:
        """The size, in percent of the container's."""
        return 100 * self.size / self.original_size


@dataclass(frozen=True, slots=True)
class Thawed:
    """The container ``path`` of ``size`` bytes, with digests of all of it and of its manifest."""

    path: Path
    size: int
    sha256: str
    manifest_sha256: str


def freeze(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> FrozenResult:
    """Write the container at ``path`` as the new frozen file ``out``; it has its name when it was seen to thaw.

    Signature records go along, as every byte does. Raises UsageError if ``out`` exists, if ``path`` is no container, or
    if that would save less than 5 %; what :func:`admitted` does; SourceError if bytes cannot be read or written.
    """
    target = Path(out)
    _refuse_there(target)
    with admitted(os.fspath(path), "was not frozen", progress) as file:
        manifest = _manifest_of(file)
        _refuse_probed(file.source)
        require_room(target.parent, [], file.source.size * MOST // 100)
        with output(target, mode=0o666) as store:
            advance = counted(progress, 2 * file.source.size)
            index = _write(file.source, manifest, store, advance)
            size = os.fstat(store).st_size
            _refuse_poor(file.source, size, file.source.size)
            _prove(FileSource.from_descriptor(store, target.name), index, advance)
    return FrozenResult(target, size, index.size, index.sha256, manifest)


def thaw(path: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: Progress | None = None) -> Thawed:
    """Write the container that is frozen at ``path`` as the new file ``out``, bit for bit as it was.

    Raises UsageError if ``out`` exists; FormatError if ``path`` is no frozen container, is damaged, or holds anything
    but the container that it names; LimitExceeded if it is larger than is read; SourceError if there is no room.
    """
    target = Path(out)
    _refuse_there(target)
    with FileSource(path) as source:
        frozen = Frozen(source)
        index = frozen.index
        require_room(target.parent, [], index.size)
        with output(target, mode=_mode_of(frozen)) as store:
            _thaw_into(frozen, store, counted(progress, index.size))
            refuse_changed(source)
            found = admit(FileSource.from_descriptor(store, target.name), "was not thawed", progress)
            if _manifest_of(found) != index.manifest_sha256:
                raise FormatError(
                    f"{source.name} was not thawed: it holds a container with another manifest than it says",
                    clause="18.4.3",
                    hint="somebody has put another container into it",
                )
    return Thawed(target, index.size, index.sha256, index.manifest_sha256)


def _refuse_there(target: Path) -> None:
    """UsageError if something has the name already."""
    if os.path.lexists(target):
        raise UsageError(f"{target} exists", hint="name a new file: what is there is never replaced")


def _manifest_of(file: Admitted) -> str:
    """SHA-256 of the manifest; UsageError for a llamafile that has none."""
    if file.report.kind is not Kind.CONTAINER:
        raise UsageError(
            f"{file.source.name} is an older llamafile, and has no manifest that would prove it when it is thawed",
            hint="`llamafile-format repack` makes a container of it",
        )
    return hashlib.sha256(Container(file.source).manifest_bytes).hexdigest()


def _mode_of(frozen: Frozen) -> int:
    """Executable if the first bytes that were frozen are no archive's: then there is a prefix."""
    row, data = next(frozen.stored())
    return 0o666 if _block(frozen, 0, row, data)[:2] == b"PK" else 0o777


def _write(source: FileSource, manifest: str, store: int, advance: Advance) -> Index:
    """Everything of a frozen file, one block after the other; the table is kept by rows of 52 bytes."""
    whole, table, at = hashlib.sha256(), bytearray(), len(FROZEN)
    write_at(store, 0, FROZEN)

    def read() -> Iterator[bytes]:
        """Blocks, in order."""
        for start in range(0, source.size, BLOCK):
            block = source.read_at(start, min(BLOCK, source.size - start))
            whole.update(block)
            yield block

    for width, planes in _ahead(freeze_block, read()):
        stored = b"".join(planes)
        table += Row(width, tuple(map(len, planes)), hashlib.sha256(stored).digest()).packed()
        write_at(store, at, stored)
        at += len(stored)
        advance(BLOCK)
    refuse_changed(source)
    index = Index(manifest, whole.hexdigest(), source.size, hashlib.sha256(table).hexdigest())
    write_at(store, at, bytes(table) + tail_of(index))
    return index


def _ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``function`` of each item, in order, computed by all cores; a few results are ahead and no more."""
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores()) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > cores() + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _block(frozen: Frozen, number: int, row: Row, data: bytes) -> bytes:
    """The block ``number``; nothing of one that is all zeros."""
    try:
        return thaw_block(data, row.sizes, row.width, frozen.index.length(number)) if row.width else b""
    except FormatError as error:
        what = f"{frozen.source.name}: block {number}: {error.message}"
        raise FormatError(what, clause=error.clause, found=error.found, allowed=error.allowed, hint=_HINT) from error


def _blocks(frozen: Frozen) -> Iterator[tuple[Row, bytes]]:
    """Each row with its block, thawed; nothing of one that is all zeros."""

    def thawed(item: tuple[int, Row, bytes]) -> tuple[Row, bytes]:
        """The block of one row."""
        number, row, data = item
        return row, _block(frozen, number, row, data)

    yield from _ahead(thawed, ((number, *each) for number, each in enumerate(frozen.stored())))


def _thaw_into(frozen: Frozen, store: int | None, advance: Advance) -> None:
    """Write what is frozen, holes as holes. FormatError if it has another digest than the index says."""
    whole, at = hashlib.sha256(), 0
    for number, (row, block) in enumerate(_blocks(frozen)):
        length = frozen.index.length(number)
        whole.update(block if row.width else bytes(length))
        if store is not None and row.width:
            write_at(store, at, block)
        at += length
        advance(length)
    if store is not None:
        os.ftruncate(store, at)
    if whole.hexdigest() != frozen.index.sha256:
        raise FormatError(
            f"{frozen.source.name} does not thaw to what it says",
            clause="18.4.3",
            found=whole.hexdigest(),
            allowed=frozen.index.sha256,
            hint=_HINT,
        )


def _prove(source: ByteSource, index: Index, advance: Advance) -> None:
    """SourceError unless what was written thaws to what was read."""
    try:
        frozen = Frozen(source)
        _thaw_into(frozen, None, advance)
    except FormatError as error:
        raise SourceError(
            f"what was written reads back with other bytes; nothing was kept: {error}",
            hint="the medium, or what lies between, is damaged: try another one",
        ) from error
    if frozen.index != index:
        raise SourceError("what was written reads back with another index; nothing was kept")


def _refuse_probed(source: FileSource) -> None:
    """:func:`_refuse_poor`, by some blocks of a large file; LimitExceeded for one with too many."""
    blocks = -(-source.size // BLOCK)
    if blocks > MAX_BLOCKS:
        raise LimitExceeded(
            f"{source.name} has too many blocks", clause="18.5.1", found=blocks, allowed=f"{MAX_BLOCKS}"
        )
    if blocks <= _PROBES:
        return
    starts = [blocks * number // _PROBES * BLOCK for number in range(_PROBES)]
    found = _ahead(freeze_block, (source.read_at(start, min(BLOCK, source.size - start)) for start in starts))
    kept = sum(len(plane) for _, planes in found for plane in planes)
    _refuse_poor(source, kept, _PROBES * BLOCK, "about ")


def _refuse_poor(source: FileSource, kept: int, size: int, about: str = "") -> None:
    if kept * 100 > MOST * size:
        left = f"{about}{100 * kept / size:.1f} % of it would be left"
        raise UsageError(
            f"{source.name} was not frozen, because it does not pay: {left}",
            hint=f"more than {MOST} % is refused: weights in F32, F16 and BF16 freeze well, quantised ones are packed",
        )
