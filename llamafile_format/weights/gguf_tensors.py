"""Read the tensor table of a GGUF and check how its tensors lie in the data section (spec/1, 7.2.5, 7.6 and 7.7)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from llamafile_format.source import ByteSource
from llamafile_format.weights import gguf_limits as limits
from llamafile_format.weights.gguf_cursor import Cursor, Log
from llamafile_format.weights.gguf_model import Dialect, TensorInfo, decode_text
from llamafile_format.weights.tensor_types import TypeStatus, meanings, type_name

MAGIC = b"GGUF"
OFFSET_SPACE = 1 << 64
"""Offsets are 64-bit: engines compute modulo this."""


def padded(size: int, alignment: int) -> int:
    """``size`` rounded up to a multiple of ``alignment`` bytes."""
    return -(-size // alignment) * alignment


def read_tensors(cursor: Cursor, dialect: Dialect, count: int, tensors: list[TensorInfo]) -> None:
    """Read ``count`` rows into ``tensors``. Stops only where the extent of a row is unknown."""
    cursor.truncated = "LF5032"
    layout32, layout64 = struct.Struct(dialect.order + "I"), struct.Struct(dialect.order + "Q")
    names: set[str] = set()
    for index in range(count):
        place = cursor.position
        cursor.field = f"tensor {index}"
        name = _read_name(cursor, dialect, index)
        if name in names:
            cursor.log.add("LF5037", place, f"tensor {index}", name=name)
        names.add(name)
        dims = _read_dims(cursor, dialect, layout32, name)
        type_place = cursor.position
        type_id = cursor.number(layout32)
        elements = prod(dims)
        size = _check_type(cursor.log, type_place, name, type_id, dims)
        offset = cursor.number(layout64)
        tensors.append(TensorInfo(name, dims, type_id, offset, size, elements, place))


def _read_name(cursor: Cursor, dialect: Dialect, index: int) -> str:
    """One tensor name, checked; a name with a fault is still returned."""
    place = cursor.position
    label = f"tensor {index}"
    length = cursor.number(dialect.length)
    if length > cursor.remaining:
        raise cursor.log.stop("LF5019", place, label, length=length, remaining=cursor.remaining)
    raw = cursor.take(min(length, limits.TENSOR_NAME_BYTES + 1))
    if length > limits.TENSOR_NAME_BYTES:
        cursor.log.add("LF5034", place, label, length=length, limit=limits.TENSOR_NAME_BYTES)
        cursor.skip(length - len(raw))
        return f"{decode_text(raw)}... (tensor {index})"
    if not raw:
        cursor.log.add("LF5033", place, label, index=index)
    if b"\0" in raw:
        cursor.log.add("LF5036", place, label, name=decode_text(raw))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        cursor.log.add("LF5035", place, label, name=decode_text(raw))
        return decode_text(raw)


def _read_dims(cursor: Cursor, dialect: Dialect, layout32: struct.Struct, name: str) -> tuple[int, ...]:
    """The shape, fastest dimension first: 1 to 4 dimensions, each at least 1, product below 2^63."""
    place = cursor.position
    count = cursor.number(layout32)
    if count > limits.DIMENSIONS:
        raise cursor.log.stop("LF5038", place, name, found=count, limit=limits.DIMENSIONS)
    if count == 0:
        cursor.log.add("LF5038", place, name, found=0, limit=limits.DIMENSIONS)
    dims = tuple(cursor.number(dialect.length) for _ in range(count))
    if 0 in dims:
        cursor.log.add("LF5039", place, name, shape=_shape(dims))
    elif prod(dims) > limits.ELEMENTS:
        cursor.log.add("LF5040", place, name, shape=_shape(dims))
    return dims


def _shape(dims: Sequence[int]) -> str:
    return " x ".join(map(str, dims))


def _check_type(log: Log, place: int, name: str, type_id: int, dims: tuple[int, ...]) -> int | None:
    """Bytes of the tensor, or None where they do not follow from type and shape (a finding says why)."""
    known = meanings(type_id)
    if not known:
        log.add("LF5041", place, name, found=type_id)
        return None
    best = known[0]
    if best.status is TypeStatus.REMOVED:
        log.add("LF5042", place, name, found=type_id, type=best.name)
    elif best.status is TypeStatus.FORK:
        others = ", ".join(f"{row.name} ({row.numbering})" for row in known)
        log.add("LF5043", place, name, found=type_id, meanings=others)
    if not dims or 0 in dims or prod(dims) > limits.ELEMENTS:
        return None
    if dims[0] % best.elements:
        log.add("LF5044", place, name, row=dims[0], block=best.elements, type=type_name(type_id))
        return None
    size = best.size_of(dims)
    if size is not None and size > limits.TENSOR_BYTES:
        log.add("LF5045", place, name, shape=_shape(dims), type=type_name(type_id))
        return None
    return size


@dataclass(frozen=True, slots=True)
class DataSection:
    """Where tensor data lies: from ``start`` (bytes from the GGUF's first) to at most ``size``, the end of the file.

    The header ends at ``header_end``, without padding; what stands behind the data is read from ``source``.
    """

    header_end: int
    start: int
    size: int
    alignment: int
    log: Log
    source: ByteSource

    def check(self, tensors: Sequence[TensorInfo]) -> int:
        """Check that the tensors tile the section in table order; return its length in bytes with padding.

        Engines require each offset to be the running sum of the padded sizes before it: anything else is a gap, an
        overlap or a reordering, by which two readers may see different weights.
        """
        end = 0
        for tensor in sorted(tensors, key=lambda row: row.offset):
            end = max(end, self._place(tensor, end))
        for before, after in pairwise(tensors):
            if after.offset < before.offset:
                self.log.add("LF5053", after.info_offset, after.name, offset=after.offset, before=before.name)
        known = all(tensor.size_bytes is not None for tensor in tensors)
        length = padded(end, self.alignment)
        if known and self.size > self.start + length:
            self._behind(tensors, self.start + end, self.start + length)
        return length

    def _behind(self, tensors: Sequence[TensorInfo], end: int, padded_end: int) -> None:
        """Bytes behind the last tensor: another GGUF, as ``cat`` of shards leaves it, or something else.

        The one in front may have come with its final padding or without, or have no tensors and no data section.
        """
        for at in sorted({end, padded_end} if tensors else {self.header_end}):
            if at + len(MAGIC) <= self.size and self.source.read_at(at, len(MAGIC)) == MAGIC:
                self.log.add("LF5088", at, "tail", at=at, size=self.size)
                return
        self.log.add("LF5051", padded_end, "tail", extra=self.size - padded_end)

    def _place(self, tensor: TensorInfo, end: int) -> int:
        """Check one tensor against ``end``, where those below it end (unpadded); return where it ends."""
        place, name, offset, length = tensor.info_offset, tensor.name, tensor.offset, tensor.size_bytes
        if offset % self.alignment:
            self.log.add("LF5046", place, name, offset=offset, alignment=self.alignment)
        if length is None:
            return end
        if self.start + offset + padded(length, self.alignment) >= OFFSET_SPACE:
            self.log.add("LF5049", place, name, offset=offset, length=length)
            return end
        expected = padded(end, self.alignment)
        if offset < end:
            self.log.add("LF5047", place, name, offset=offset, expected=expected)
        elif offset >= expected + self.alignment:
            self.log.add("LF5048", place, name, offset=offset, expected=expected)
        if self.start + offset + length > self.size:
            self.log.add("LF5050", place, name, end=self.start + offset + length, size=self.size)
        return offset + length
