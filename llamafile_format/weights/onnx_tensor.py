"""One tensor of an ONNX model: its shape, and data of that size in one place (spec/1, 7.17.5)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from llamafile_format.weights.onnx_model import External, OnnxTensor
from llamafile_format.weights.onnx_schema import ELEMENT_TYPES, STRING, ElementType
from llamafile_format.weights.protobuf import ALONE, Found, Wire

_BEYOND = 1 << 63
_TYPED = {each.typed for each in ELEMENT_TYPES.values()}
_EXTERNAL = 1  # of data_location
_KEYS = ("location", "offset", "length", "checksum")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}")
_PATH_MAX = 1024


@dataclass(slots=True)
class _Parts:
    """What the fields of a tensor say, before it is judged."""

    dims: list[int] = field(default_factory=list)
    type: int = 0
    name: str = ""
    raw: tuple[int, int] | None = None
    typed: dict[str, tuple[int, int]] = field(default_factory=dict)
    pairs: list[tuple[str, str, int]] = field(default_factory=list)
    outside: bool = False
    segment: bool = False


def read_tensor(wire: Wire, begin: int, end: int) -> OnnxTensor | None:
    """The tensor in ``[begin, end)``; None, and findings, if its size cannot be told or is not that of its data."""
    parts = _Parts()
    for found in wire.fields("Tensor", begin, end):
        _take(parts, wire, found)
    kind = ELEMENT_TYPES.get(parts.type)
    if kind is None:
        wire.log.add("LF5126", begin, parts.name, name=parts.name, found=parts.type)
        return None
    elements = 0 if 0 in parts.dims else math.prod(parts.dims[:64])
    if len(parts.dims) > 64 or any(size >= _BEYOND for size in parts.dims) or elements * max(kind.bits, 1) >= _BEYOND:
        _wrong(wire, begin, parts, f"its shape is {_shape(parts.dims)}")
        return None
    size = None if parts.type == STRING else -(-elements * kind.bits // 8)
    external = _external(wire, begin, parts)
    if fault := _fault(parts, kind, elements, size, external):
        _wrong(wire, begin, parts, fault)
        return None
    start = parts.raw[0] if parts.raw else None
    return OnnxTensor(parts.name, parts.type, tuple(parts.dims), elements, size, start, external)


def _wrong(wire: Wire, at: int, parts: _Parts, reason: str) -> None:
    wire.log.add("LF5127", at, parts.name, name=parts.name, reason=reason)


def _shape(dims: list[int]) -> str:
    signed = [size - (1 << 64) if size >= _BEYOND else size for size in dims[:8]]
    return " x ".join(map(str, signed)) + (f" and {len(dims) - 8} more" if len(dims) > 8 else "")


def _take(parts: _Parts, wire: Wire, found: Found) -> None:
    """One field."""
    known, begin, end = found
    match known.name:
        case "dims":
            parts.dims += wire.numbers(begin, end, "dims")
        case "data_type":
            parts.type = begin
        case "name":
            parts.name = wire.text(begin, end, "name of a tensor")
        case "raw_data":
            parts.raw = (begin, end)
        case "external_data":
            parts.pairs.append((*read_entry(wire, begin, end), begin))
        case "data_location":
            parts.outside = begin == _EXTERNAL
        case "segment":
            parts.segment = True
            wire.through(known.kind, begin, end)
        case name if name in _TYPED:
            single = end == ALONE or known.kind == "bytes"
            few, most = (1, 1) if single else wire.numbers_in(known, begin, end)
            if not single and known.kind != "number" and (end - begin) == (8 if known.kind == "double" else 4):
                few, most = 1, 1
            before = parts.typed.get(name, (0, 0))
            parts.typed[name] = (before[0] + few, before[1] + most)
        case _ if end != ALONE:
            wire.rest(known, begin, end)


def read_entry(wire: Wire, begin: int, end: int) -> tuple[str, str]:
    """A key and its value."""
    key = value = ""
    for known, start, stop in wire.fields("Entry", begin, end):
        text = wire.text(start, stop, known.name)
        key, value = (text, value) if known.name == "key" else (key, text)
    return key, value


def _fault(parts: _Parts, kind: ElementType, elements: int, size: int | None, external: External | None) -> str:
    """What is wrong with the data of a tensor of ``elements`` elements, which take ``size`` bytes; empty if nothing."""
    places = (parts.raw is not None) + len(parts.typed) + bool(parts.outside or parts.pairs)
    if parts.segment:
        return "it is a segment of another tensor"
    if places > 1:
        return "its data are in more than one place"
    if bool(parts.pairs) != parts.outside:
        return "its data lie outside by one field, and not by another"
    if external is not None:
        if size is None:
            return "texts cannot lie outside"
        if external.length not in (None, size):
            return f"it has {external.length} bytes outside, its shape and type come to {size}"
    elif parts.raw is not None:
        given = parts.raw[1] - parts.raw[0]
        if size is None or given != size:
            return f"it has {given} bytes, its shape and type come to {'texts' if size is None else size}"
    elif parts.typed:
        return _typed_fault(parts, kind, elements)
    elif elements and not parts.outside:
        return "it has no data"
    return ""


def _typed_fault(parts: _Parts, kind: ElementType, elements: int) -> str:
    name, (few, most) = next(iter(parts.typed.items()))
    packed = -(-elements * kind.bits // 8) if kind.bits in (2, 4) else elements * kind.values
    if name != kind.typed:
        return f"its data are in {name}, where {kind.name} has {kind.typed}"
    if not few <= packed <= most:
        return f"it has {few if few == most else f'{few} to {most}'} values, its shape and type come to {packed}"
    return ""


def _external(wire: Wire, at: int, parts: _Parts) -> External | None:
    """Where the data lie outside, if the keys say it without a fault (7.17.6)."""
    said: dict[str, str] = {}
    for key, value, place in parts.pairs:
        if key in said:
            wire.log.add("LF5122", place, parts.name, what=f"the key {key} of the external data of", name=parts.name)
        said.setdefault(key, value)
    if not said and not parts.outside:
        return None
    offset, length = said.get("offset", "0"), said.get("length")
    reason = next((f"there is a key {key}" for key in said if key not in _KEYS), "")
    if reason or (reason := _leads_away(said.get("location", ""))):
        pass
    elif not _DIGITS.fullmatch(offset) or not (length is None or _DIGITS.fullmatch(length)):
        reason = f"offset {offset} and length {length} are no whole numbers below 10^19"
    if reason:
        wire.log.add("LF5128", at, parts.name, name=parts.name, reason=reason)
        return None
    return External(said["location"], int(offset), None if length is None else int(length), at)


def _leads_away(location: str) -> str:
    """Why ``location`` is no path beside the model; empty if it is one."""
    parts = location.split("/")
    if not location:
        return "no location is named"
    if len(location) > _PATH_MAX or not location.isprintable() or any(each in location for each in "\\:"):
        return f"the location {location} is no plain path"
    if any(part in ("", ".", "..") for part in parts):
        return f"the location {location} leads elsewhere"
    return ""
