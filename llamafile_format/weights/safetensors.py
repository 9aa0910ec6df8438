"""Read a safetensors header: strict, bounded, in place (spec/1, 7.16).

:func:`read_safetensors` never raises for bad bytes and never reads the numbers of a tensor. It is stricter than the
library of that name, which takes the last of two equal keys: whatever is without a fault here, the library loads, and
sees the same in it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llamafile_format import limits as caps
from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.findings import Finding
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_cursor import Log, Stop

LENGTH = struct.Struct("<Q")
METADATA = "__metadata__"
FIELDS = ("dtype", "shape", "data_offsets")
DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of one number of each type."""

ALIGNMENT = 8
_DEPTH = 8
_COUNT = re.compile(r"0|[1-9][0-9]{0,19}")
_BEYOND = 1 << 64


@dataclass(frozen=True, slots=True)
class SafeTensor:
    """One row: ``start`` counts from the first byte of the file, ``shape`` has the slowest dimension first."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Safetensors:
    """What a header says, as far as it was read. ``stopped`` is empty, ``fault`` or ``cap``; findings say which."""

    tensors: tuple[SafeTensor, ...]
    metadata: dict[str, str]
    data_offset: int
    size: int
    findings: tuple[Finding, ...]
    stopped: str

    @property
    def complete(self) -> bool:
        """True if the header was read to its end."""
        return not self.stopped


def read_safetensors(source: ByteSource, *, base: int = 0, member: str = "") -> Safetensors:
    """The header of the safetensors file that ``source`` is.

    ``base`` is added to the offsets of findings, ``member`` names the member in them. Raises SourceError only.
    """
    log = Log(base, member)
    reading = _Reading(source, log)
    stopped = ""
    try:
        reading.run()
    except Stop as stop:
        stopped = stop.reason
    return Safetensors(
        tuple(reading.tensors), reading.metadata, reading.data_offset, source.size, tuple(log.findings), stopped
    )


class _Reading:
    """State of one reading, so that what was read before a stop is kept."""

    def __init__(self, source: ByteSource, log: Log) -> None:
        self.source = source
        self.log = log
        self.tensors: list[SafeTensor] = []
        self.metadata: dict[str, str] = {}
        self.data_offset = 0

    def run(self) -> None:
        """Length, header, each of its rows; then how the rows lie in the file."""
        header = self._parse(self._header())
        for name, value in header.items():
            if name == METADATA:
                self._metadata(value)
            elif (tensor := self._tensor(name, value)) is not None:
                self.tensors.append(tensor)
        if len(self.tensors) == len(header) - (METADATA in header):
            self._layout()

    def _header(self) -> bytes:
        """The bytes of the header (7.16.2), believed to be there only after comparison with what remains."""
        size = self.source.size
        if size < LENGTH.size:
            raise self.log.stop("LF5101", 0, "header", length="none", remaining=size)
        (length,) = LENGTH.unpack(self.source.read_at(0, LENGTH.size))
        if not 2 <= length <= size - LENGTH.size:
            raise self.log.stop("LF5101", 0, "header", length=length, remaining=size - LENGTH.size)
        if length > caps.SAFETENSORS_HEADER:
            what, most = "bytes of the header", caps.SAFETENSORS_HEADER
            raise self.log.past_cap("LF5113", 0, "header", what=what, found=length, limit=most)
        self.data_offset = LENGTH.size + length
        return self.source.read_at(LENGTH.size, length)

    def _parse(self, text: bytes) -> dict[str, Any]:
        """The header as an object: JSON, from ``{`` to ``}``, blanks behind it, each name once (7.16.3)."""
        body = text.rstrip(b" ")
        if not body.startswith(b"{") or not body.endswith(b"}"):
            raise self._not_json("it does not begin with { and end with } and blanks")
        twice: list[str] = []

        def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            """The object, in which the first of equal names counts."""
            found: dict[str, Any] = {}
            for name, value in pairs:
                if name in found:
                    twice.append(name)
                else:
                    found[name] = value
            return found

        try:
            value = parse_json(body, depth=_DEPTH, pairs=once, number=_count, fraction=_no_count, constant=_no_constant)
            if b"\\u" in body:
                json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
        except LimitExceeded as error:
            raise self.log.past_cap(
                "LF5113", LENGTH.size, "header", what="values", found=str(error.found), limit=caps.JSON_MARKS
            ) from error
        except FormatError as error:
            raise self._not_json(error.message) from error
        except UnicodeEncodeError as error:
            raise self._not_json("half a surrogate pair is escaped in it") from error
        for name in twice:
            self.log.add("LF5103", LENGTH.size, name, name=name)
        if not isinstance(value, dict):  # begins with { and ends with }: anything else is a defect of ours
            raise self._not_json("it is no object")
        return value

    def _not_json(self, reason: str) -> Stop:
        return self.log.stop("LF5102", LENGTH.size, "header", reason=reason)

    def _metadata(self, value: Any) -> None:
        """``__metadata__``: texts by name (7.16.7)."""
        if not isinstance(value, dict):
            self.log.add("LF5109", LENGTH.size, METADATA, name=METADATA)
            return
        for name, text in value.items():
            if isinstance(text, str):
                self.metadata[name] = text
            else:
                self.log.add("LF5109", LENGTH.size, METADATA, name=name)

    def _tensor(self, name: str, value: Any) -> SafeTensor | None:
        """The row ``name`` (7.16.4 and 7.16.5); None if it says too little to go on."""
        if not _usual(name):
            self.log.add("LF5111", LENGTH.size, name, name=name)
        fault = _shape_fault(value)
        if fault:
            self.log.add("LF5104", LENGTH.size, name, name=name, reason=fault)
            return None
        if extra := next((field for field in value if field not in FIELDS), None):
            self.log.add("LF5112", LENGTH.size, name, name=name, field=extra)
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        bits = DTYPE_BITS.get(dtype)
        if bits is None:
            self.log.add("LF5105", LENGTH.size, name, name=name, found=dtype)
            return None
        elements = _product(shape)
        if elements * bits >= _BEYOND or end - start != -(-elements * bits // 8) or elements * bits % 8:
            wanted = "more than 2^61" if elements * bits >= _BEYOND else _bytes(elements * bits)
            self.log.add("LF5106", LENGTH.size, name, name=name, found=end - start, wanted=wanted)
            return None
        return SafeTensor(name, dtype, shape, elements, self.data_offset + start, end - start)

    def _layout(self) -> None:
        """All bytes behind the header belong to one tensor each (7.16.6)."""
        at = self.data_offset
        for tensor in sorted(self.tensors, key=lambda each: (each.start, each.size)):
            if tensor.start != at:
                rule = "LF5107" if tensor.start > at else "LF5108"
                self.log.add(rule, min(at, tensor.start), tensor.name, name=tensor.name, bytes=abs(tensor.start - at))
            at = max(at, tensor.start + tensor.size)
        if at != self.source.size:
            self.log.add("LF5114", min(at, self.source.size), "data", end=at, size=self.source.size)
        odd = [each for each in self.tensors if each.size and each.start % max(1, DTYPE_BITS[each.dtype] // 8)]
        if self.tensors and (self.data_offset % ALIGNMENT or odd):
            self.log.add("LF5110", self.data_offset, "data", at=self.data_offset, count=len(odd))


def _bytes(bits: int) -> str:
    return str(bits // 8) if bits % 8 == 0 else f"{bits} bits, no whole number of bytes"


def _usual(name: str) -> bool:
    """False for names that no tool should take for the name of a file or print as they are."""
    return bool(name) and name.isprintable() and not name.startswith("/") and ".." not in re.split(r"[/\\]", name)


def _shape_fault(value: Any) -> str:
    """What is wrong with the fields of a row; empty if nothing is."""
    if not isinstance(value, dict):
        return "it is no object"
    if missing := next((field for field in FIELDS if field not in value), None):
        return f"{missing} is missing"
    shape, offsets = value["shape"], value["data_offsets"]
    if not isinstance(value["dtype"], str):
        return "dtype is no text"
    if not _counts(shape):
        return "shape is no list of whole numbers from 0"
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        return "data_offsets are no two whole numbers, the smaller first"
    return ""


def _counts(value: Any) -> bool:
    """True for a list of numbers from 0 to 2^64 - 1."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _count(text: str) -> int:
    """A number of JSON: -1 for those that count nothing."""
    value = int(text) if _COUNT.fullmatch(text) else -1
    return value if value < _BEYOND else -1


def _no_count(_: str) -> int:
    return -1


def _no_constant(text: str) -> Any:
    raise FormatError(f"{text} is no JSON", clause="7.16.3")


def _product(shape: tuple[int, ...]) -> int:
    """Elements of ``shape``; it stops growing once no file could hold them."""
    total = 1
    for dimension in shape:
        total *= dimension
        if total >= _BEYOND:
            return _BEYOND
    return total


def dtypes_of(tensors: tuple[SafeTensor, ...]) -> Iterator[tuple[str, int, int, int]]:
    """(type, tensors, elements, bytes) of each type, most bytes first."""
    sums: dict[str, list[int]] = {}
    for tensor in tensors:
        row = sums.setdefault(tensor.dtype, [0, 0, 0])
        row[0], row[1], row[2] = row[0] + 1, row[1] + tensor.elements, row[2] + tensor.size
    for dtype, (count, elements, size) in sorted(sums.items(), key=lambda item: (-item[1][2], item[0])):
        yield dtype, count, elements, size
