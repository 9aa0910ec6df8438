"""What a GGUF says, as data: entries, lazy values, tensors (spec/1, 7.2). Nothing here judges; see ``gguf.py``.

Offsets in these classes count from byte 0 of the GGUF, wherever in a container it lies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from llamafile_format.findings import Finding
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_limits import STRING_BYTES

WINDOW = 1 << 20
"""Bytes held at once while a value is read."""


class ValueType(IntEnum):
    """Type tag of a metadata value, as stored."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALAR_CODES: dict[ValueType, str] = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "B",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}
INTEGER_TYPES = frozenset(SCALAR_CODES) - {ValueType.FLOAT32, ValueType.FLOAT64, ValueType.BOOL}


def decode_text(data: bytes) -> str:
    """UTF-8, with bytes that are not UTF-8 shown as ``\\xNN`` so that nothing is lost or raised."""
    return data.decode("utf-8", "backslashreplace")


class Dialect(NamedTuple):
    """How numbers are stored: ``order`` is ``<`` or ``>``; lengths, counts and dimensions are 4 bytes in version 1."""

    version: int
    order: str

    @property
    def length(self) -> struct.Struct:
        """Layout of a string length, count or dimension."""
        return struct.Struct(self.order + ("I" if self.version == 1 else "Q"))


@dataclass(frozen=True, slots=True)
class TextValue:
    """A string that was left in the file: ``length`` bytes from ``offset``; ``preview`` is its beginning."""

    offset: int
    length: int
    preview: str
    source: ByteSource = field(repr=False, compare=False)

    def read(self, limit: int = STRING_BYTES) -> bytes:
        """The first ``limit`` bytes of the string. Raises SourceError if the source cannot be read."""
        return self.source.read_at(self.offset, min(self.length, limit))

    def windows(self) -> Iterator[bytes]:
        """The whole string in pieces of at most 1 MiB."""
        for start in range(0, self.length, WINDOW):
            yield self.source.read_at(self.offset + start, min(WINDOW, self.length - start))


@dataclass(frozen=True, slots=True)
class ArrayValue:
    """An array that was left in the file: ``count`` elements, ``length`` bytes from ``offset`` (first element)."""

    element_type: ValueType
    count: int
    offset: int
    length: int
    dialect: Dialect
    source: ByteSource = field(repr=False, compare=False)

    def first(self, count: int, longest: int = 4096) -> tuple[int | float | bool | str, ...]:
        """The first ``count`` elements, decoded; strings cut to ``longest`` bytes."""
        elements = islice(self.strings(longest) if self.element_type is ValueType.STRING else self._scalars(), count)
        return tuple(decode_text(element) if isinstance(element, bytes) else element for element in elements)

    def __iter__(self) -> Iterator[int | float | bool | bytes]:
        """Every element in order, read in windows of 1 MiB; strings as their raw bytes."""
        return self.strings() if self.element_type is ValueType.STRING else self._scalars()

    def count_of(self, number: int) -> int:
        """How many elements of an array of numbers are ``number``."""
        return sum(values.count(number) for values in self._windows())

    def _scalars(self) -> Iterator[int | float | bool]:
        for values in self._windows():
            yield from map(bool, values) if self.element_type is ValueType.BOOL else values

    def _windows(self) -> Iterator[tuple[int | float, ...]]:
        code = SCALAR_CODES[self.element_type]
        width = struct.calcsize("<" + code)
        per_window = WINDOW // width
        for start in range(0, self.count, per_window):
            number = min(per_window, self.count - start)
            data = self.source.read_at(self.offset + start * width, number * width)
            yield struct.unpack(f"{self.dialect.order}{number}{code}", data)

    def strings(self, longest: int = STRING_BYTES) -> Iterator[bytes]:
        """Every string in order, cut to ``longest`` bytes. The reader has checked that the lengths stay inside."""
        layout = self.dialect.length
        base, end = self.offset, self.offset + self.length
        data, at = b"", 0
        for _ in range(self.count):
            if at + layout.size > len(data):
                base += at
                data, at = self.source.read_at(base, min(WINDOW, end - base)), 0
            (length,) = layout.unpack_from(data, at)
            at += layout.size
            kept = min(length, longest)
            yield data[at : at + kept] if at + kept <= len(data) else self.source.read_at(base + at, kept)
            at += length
            if at > len(data):
                base += at
                data, at = b"", 0


Scalar = int | float | bool | str
Value = Scalar | TextValue | ArrayValue


class Entry(NamedTuple):
    """One key with its value; ``offset`` is where the value's bytes start, ``length`` how many there are."""

    key: str
    type: ValueType
    value: Value
    offset: int
    length: int


class TensorInfo(NamedTuple):
    """One row of the tensor table. ``dims`` is fastest first, ``offset`` counts from the data section.

    ``size_bytes`` is None where the type's block layout is not known; ``info_offset`` is where the row starts.
    """

    name: str
    dims: tuple[int, ...]
    type_id: int
    offset: int
    size_bytes: int | None
    elements: int
    info_offset: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """A GGUF as far as it could be read. ``complete`` is False if reading stopped at a fault or at the budget.

    ``data_offset`` is where the tensor data starts, ``data_length`` the bytes its tensors span from there with padding
    (as the table says, not as the file has), ``header_length`` the bytes before padding, ``size`` those of the source.
    ``stopped`` is ``""``, ``"fault"``, ``"cap"`` (12.4) or ``"budget"``.
    """

    version: int
    byte_order: str
    entries: Mapping[str, Entry]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    data_length: int
    header_length: int
    size: int
    findings: tuple[Finding, ...]
    complete: bool
    stopped: str = ""
    declared_keys: int = 0
    declared_tensors: int = 0
    bytes_read: int = 0

    @property
    def metadata(self) -> dict[str, Value]:
        """Key to value, in file order."""
        return {key: entry.value for key, entry in self.entries.items()}

    def integer(self, key: str) -> int | None:
        """The value of ``key`` if it is stored with an integer type, else None."""
        entry = self.entries.get(key)
        if entry is None or entry.type not in INTEGER_TYPES:
            return None
        return entry.value if isinstance(entry.value, int) else None

    def number(self, key: str) -> int | float | None:
        """The value of ``key`` if it is an integer or floating point number, else None."""
        entry = self.entries.get(key)
        if entry is None or entry.type is ValueType.BOOL or not isinstance(entry.value, int | float):
            return None
        return entry.value

    def text(self, key: str, limit: int = STRING_BYTES) -> str | None:
        """The string under ``key``, at most ``limit`` bytes of it, else None."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        if isinstance(entry.value, TextValue):
            return decode_text(entry.value.read(limit))
        return entry.value if isinstance(entry.value, str) else None

    def array(self, key: str) -> ArrayValue | None:
        """The array under ``key``, else None."""
        entry = self.entries.get(key)
        return entry.value if entry is not None and isinstance(entry.value, ArrayValue) else None
