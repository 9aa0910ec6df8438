"""From a range of bytes to its recovery data (spec/1, 17.2 and 17.3): the same bytes always, in bounded memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llamafile_format.progress import Advance
from llamafile_format.recovery.geometry import Geometry, geometry_of
from llamafile_format.recovery.packets import CREATOR, HEAD, SLICE, head_of, packet
from llamafile_format.recovery.parity import Read, bands, sums
from llamafile_format.recovery.sets import HASHED_FIRST, NAME, Sum, critical_bodies
from llamafile_format.source import ByteSource

CREATOR_TEXT = b"llamafile-format recovery 1\0"
_BLOCK = 4 << 20
_PENDING = 4


@dataclass(frozen=True, slots=True)
class Summed:
    """What the critical packets say of a range: its MD5, that of its first 16 KiB, and the sums of its slices."""

    md5: bytes
    first: bytes
    sums: tuple[Sum, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A set to be: its id, all critical packets one behind the other, its geometry."""

    set_id: bytes
    critical: bytes
    geometry: Geometry


class Store(Protocol):
    """What recovery data is written to, and read back from: bytes at offsets."""

    def write(self, at: int, data: bytes | memoryview) -> None:
        """All of ``data`` at offset ``at``."""

    def read(self, at: int, length: int) -> bytes:
        """``length`` bytes from ``at`` that were written before."""


Place = Callable[[int], tuple[Store, int]]
"""From an exponent to where its packet goes."""


def encode_set(
    source: ByteSource,
    geometry: Geometry,
    *,
    name: bytes = NAME,
    percent: int,
    skeleton: bytes = b"",
    progress: Advance | None = None,
) -> Encoded:
    """The set over all of ``source``; its recovery slices are what :func:`write_slices` computes."""
    summed = sums_of(source, geometry, progress=progress)
    set_id, bodies = critical_bodies(
        name, geometry, summed.md5, summed.first, summed.sums, percent=percent, skeleton=skeleton
    )
    critical = b"".join(packet(kind, set_id, body) for kind, body in {**bodies, CREATOR: CREATOR_TEXT}.items())
    return Encoded(set_id, critical, geometry)


def sums_of(source: ByteSource, geometry: Geometry, *, progress: Advance | None = None) -> Summed:
    """One pass over ``source``: the MD5 of the whole in one thread, those of the slices beside it."""
    whole = hashlib.md5(usedforsecurity=False)
    slices = _Slices(geometry)
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for at in range(0, geometry.length, _BLOCK):
            block = source.read_at(at, min(_BLOCK, geometry.length - at))
            pending += [one.submit(whole.update, block), other.submit(slices.update, block)]
            while len(pending) > _PENDING:
                pending.pop(0).result()
            if progress:
                progress(len(block))
        for each in pending:
            each.result()
    first = source.read_at(0, min(HASHED_FIRST, geometry.length))
    return Summed(whole.digest(), hashlib.md5(first, usedforsecurity=False).digest(), slices.done())


class _Slices:
    """Sums of slices from blocks of any size."""

    def __init__(self, geometry: Geometry) -> None:
        self._size = geometry.slice_size
        self._sums: list[Sum] = []
        self._begin()

    def _begin(self) -> None:
        self._md5, self._crc, self._filled = hashlib.md5(usedforsecurity=False), 0, 0

    def update(self, block: bytes) -> None:
        """``block`` follows what came before."""
        view = memoryview(block)
        while view:
            part = view[: self._size - self._filled]
            self._add(part)
            view = view[len(part) :]

    def _add(self, part: memoryview | bytes) -> None:
        self._md5.update(part)
        self._crc = zlib.crc32(part, self._crc)
        self._filled += len(part)
        if self._filled == self._size:
            self._sums.append(Sum(self._md5.digest(), self._crc))
            self._begin()

    def done(self) -> tuple[Sum, ...]:
        """All sums; the last slice is filled up with zeros."""
        while self._filled:
            self._add(bytes(min(_BLOCK, self._size - self._filled)))
        return tuple(self._sums)


def padded(source: ByteSource, geometry: Geometry) -> Read:
    """Reads parts of slices of ``source``, zeros behind its end."""

    def read(index: int, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` of slice ``index``."""
        there = max(0, min(length, geometry.size_of(index) - offset))
        data = source.read_at(index * geometry.slice_size + offset, there) if there else b""
        return data + bytes(length - there)

    return read


def columns(
    source: ByteSource, geometry: Geometry, *, progress: Advance | None = None
) -> Iterator[tuple[int, list[memoryview]]]:
    """(offset, data of every recovery slice from there on), band by band."""
    exponents = range(geometry.recovery)
    for offset, width in bands(geometry.slice_size, geometry.recovery):
        read, slices = padded(source, geometry), geometry.slices
        rows = sums(exponents, range(slices), read, (offset, width), slices=slices, progress=progress)
        yield offset, [row.astype("<u2", copy=False).view(np.uint8).data for row in rows]


def write_slices(source: ByteSource, encoded: Encoded, place: Place, *, progress: Advance | None = None) -> None:
    """Compute the recovery slices of ``source`` and write each as a packet at its ``place``."""
    geometry = encoded.geometry
    for offset, rows in columns(source, geometry, progress=progress):
        for exponent, data in enumerate(rows):
            out, at = place(exponent)
            out.write(at + HEAD.size + 4 + offset, data)
    write_heads(encoded, place)


def write_heads(encoded: Encoded, place: Place) -> None:
    """Make packets of the data of recovery slices that were written at their ``place``."""
    for exponent in range(encoded.geometry.recovery):
        out, at = place(exponent)
        out.write(at + HEAD.size, exponent.to_bytes(4, "little"))
        out.write(at, _head(encoded, _from(out, at + HEAD.size)))


def _from(out: Store, body: int) -> Callable[[int, int], bytes]:
    return lambda start, length: out.read(body + start, length)


def _head(encoded: Encoded, read: Callable[[int, int], bytes]) -> bytes:
    """The header of the slice packet whose body ``read`` gives."""
    size = encoded.geometry.slice_size + 4
    state = hashlib.md5(encoded.set_id + SLICE, usedforsecurity=False)
    for start in range(0, size, _BLOCK):
        state.update(read(start, min(_BLOCK, size - start)))
    return head_of(SLICE, encoded.set_id, state.digest(), size)


# The member: everything in one piece, critical packets three times


COPIES = 3


@dataclass(frozen=True, slots=True)
class _Member:
    """Where things lie in the member: ``critical`` bytes three times, slice packets in two halves between them."""

    critical: int
    geometry: Geometry

    @property
    def packet(self) -> int:
        """Bytes of one slice packet."""
        return HEAD.size + 4 + self.geometry.slice_size

    @property
    def size(self) -> int:
        """Bytes of the member."""
        return COPIES * self.critical + self.geometry.recovery * self.packet

    def slice_at(self, exponent: int) -> int:
        """Where the packet of ``exponent`` begins."""
        halves = 1 + (exponent >= self.geometry.recovery // 2)
        return halves * self.critical + exponent * self.packet

    @property
    def copies(self) -> tuple[int, ...]:
        """Where the critical packets begin."""
        middle = self.critical + self.geometry.recovery // 2 * self.packet
        return 0, middle, self.size - self.critical


def member_size(length: int, percent: int, skeleton: int) -> int:
    """Bytes of the member that protects ``length`` bytes with a skeleton of ``skeleton`` bytes."""
    geometry = geometry_of(length, percent)
    none = Sum(bytes(16), 0)
    set_id, bodies = critical_bodies(
        NAME, geometry, none.md5, none.md5, [none] * geometry.slices, percent=percent, skeleton=bytes(skeleton)
    )
    packets = {**bodies, CREATOR: CREATOR_TEXT}
    return _Member(sum(len(packet(kind, set_id, body)) for kind, body in packets.items()), geometry).size


def write_member(
    covered: ByteSource, percent: int, skeleton: bytes, out: Store, at: int, *, progress: Advance | None = None
) -> None:
    """Write the member that protects all of ``covered`` to ``out`` from ``at`` on."""
    geometry = geometry_of(covered.size, percent)
    encoded = encode_set(covered, geometry, percent=percent, skeleton=skeleton, progress=progress)
    where = _Member(len(encoded.critical), geometry)
    for start in where.copies:
        out.write(at + start, encoded.critical)
    write_slices(covered, encoded, lambda exponent: (out, at + where.slice_at(exponent)), progress=progress)


def first_difference(
    covered: ByteSource, percent: int, skeleton: bytes, member: ByteSource, *, progress: Advance | None = None
) -> int | None:
    """Where ``member`` differs from what :func:`write_member` would write for the same arguments; None if nowhere."""
    geometry = geometry_of(covered.size, percent)
    encoded = encode_set(covered, geometry, percent=percent, skeleton=skeleton, progress=progress)
    where = _Member(len(encoded.critical), geometry)
    if member.size != where.size:
        return min(member.size, where.size)
    for start in where.copies:
        if (at := _differs(member, start, encoded.critical)) is not None:
            return at
    for exponent in range(geometry.recovery):
        start = where.slice_at(exponent)
        body = start + HEAD.size
        head = _head(encoded, lambda at, length, body=body: member.read_at(body + at, length))  # type: ignore[misc]
        if (at := _differs(member, start, head + exponent.to_bytes(4, "little"))) is not None:
            return at
    for offset, rows in columns(covered, geometry, progress=progress):
        for exponent, data in enumerate(rows):
            at = _differs(member, where.slice_at(exponent) + HEAD.size + 4 + offset, bytes(data))
            if at is not None:
                return at
    return None


def _differs(member: ByteSource, at: int, expected: bytes) -> int | None:
    found = member.read_at(at, len(expected))
    if found == expected:
        return None
    return at + next(index for index, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
