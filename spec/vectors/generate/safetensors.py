"""Vectors of 7.16: safetensors as members, one fault each, and their good neighbours."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.contents import alone, named
from spec.vectors.generate.forge import Part, Spec, container, readme

FLOATS = bytes(range(16))
ONE = b'"dtype":"F32","shape":[4],"data_offsets":[0,16]'
INDEX = "model.safetensors.index.json"
Row = dict[str, Any]


def row(start: int, end: int, shape: tuple[int, ...] = (4,), dtype: str = "F32", **more: object) -> Row:
    """What a header says about one tensor."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end], **more}


def raw(header: bytes, data: bytes = FLOATS, length: int | None = None) -> bytes:
    """A file with ``header`` as it is."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def file(rows: Mapping[str, Any], data: bytes = FLOATS, pad: int = 8) -> bytes:
    """A file of ``rows``, its header filled with blanks to a multiple of ``pad``."""
    text = json.dumps(rows, separators=(",", ":")).encode()
    return raw(text + b" " * (-len(text) % pad), data)


def _aligned(text: bytes) -> bytes:
    return text + b" " * (-len(text) % 8)


def _bad(name: str, rules: str, comment: str, data: bytes) -> None:
    mark = vector(name, rules=rules, layer="content", comment=comment)
    mark(lambda: named(data, "tiny.safetensors"))


def _good(name: str, near: str, comment: str, data: bytes, rules: str = "") -> None:
    mark = vector(name, rules=rules, near=near, comment=comment)
    mark(lambda: named(data, "tiny.safetensors"))


_BAD: list[tuple[str, str, str, bytes]] = [
    ("header-begins-with-a-blank", "LF5102", "A blank in front of the object.", raw(_aligned(b"{\n" + ONE + b" "))),
    ("header-not-utf-8", "LF5102", "A name with the byte FF.", raw(_aligned(b'{"\xff":{' + ONE + b"}}"))),
    ("header-half-a-pair", "LF5102", "Half of a surrogate pair.", raw(_aligned(b'{"\\ud800":{' + ONE + b"}}"))),
    ("header-line-feed-behind", "LF5102", "A line feed behind the object.", raw(b'{"a":{' + ONE + b"}}\n")),
    (
        "header-deep",
        "LF5102",
        "Nine arrays in a field that nobody knows.",
        raw(_aligned(b'{"a":{' + ONE + b',"x":' + b"[" * 9 + b"]" * 9 + b"}}")),
    ),
    ("name-twice", "LF5103", "One tensor twice.", raw(_aligned(b'{"a":{' + ONE + b'},"a":{' + ONE + b"}}"))),
    ("field-twice", "LF5103", "One type twice.", raw(_aligned(b'{"a":{"dtype":"F32",' + ONE + b"}}"))),
    (
        "metadata-twice",
        "LF5103",
        "One key of the metadata twice.",
        raw(_aligned(b'{"__metadata__":{"k":"1","k":"2"},"a":{' + ONE + b"}}")),
    ),
    ("row-is-text", "LF5104", "A row that is a text.", file({"a": "F32"}, b"")),
    ("row-without-shape", "LF5104", "A row without a shape.", file({"a": {"dtype": "F32", "data_offsets": [0, 16]}})),
    ("dimension-negative", "LF5104", "A dimension below 0.", file({"a": row(0, 16, (-4,))})),
    (
        "dimension-of-point",
        "LF5104",
        "A dimension of 4.0.",
        raw(_aligned(b'{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}')),
    ),
    ("offsets-turned", "LF5104", "The end in front of the beginning.", file({"a": row(16, 0)})),
    ("type-unknown", "LF5105", "A type of nobody.", file({"a": row(0, 16, (4,), "Q99")})),
    ("size-of-another-shape", "LF5106", "16 bytes for five numbers of four.", file({"a": row(0, 16, (5,))})),
    ("shape-wraps", "LF5106", "A shape of 2^126 numbers.", file({"a": row(0, 16, (2**63, 2**63))})),
    ("bits-left-over", "LF5106", "Three numbers of four bits.", file({"a": row(0, 2, (3,), "F4")}, b"\0\0")),
    ("hole-in-front", "LF5107", "Eight bytes in front of the first.", file({"a": row(8, 16, (2,))})),
    ("hole-between", "LF5107", "Four bytes between two.", file({"a": row(0, 4, (1,)), "b": row(8, 16, (2,))})),
    ("overlap", "LF5108", "Two names for the same bytes.", file({"a": row(0, 16), "b": row(0, 16)})),
    ("metadata-number", "LF5109", "A number in the metadata.", file({"__metadata__": {"k": 1}, "a": row(0, 16)})),
    ("metadata-list", "LF5109", "Metadata that are a list.", file({"__metadata__": [], "a": row(0, 16)})),
    ("trailing", "LF5114", "A byte behind the last.", file({"a": row(0, 16)}, FLOATS + b"x")),
    ("cut", "LF5114", "The last byte is missing.", file({"a": row(0, 16)}, FLOATS[:-1])),
]
for _row in _BAD:
    _bad(*_row)


_GOOD: list[tuple[str, str, str, bytes]] = [
    ("good", "LF5101 LF5102 LF5111 LF5112 LF5114", "Four numbers.", file({"a": row(0, 16)})),
    ("good-nothing", "LF5110", "An empty object.", raw(b"{}", b"")),
    ("good-scalar", "LF5104 LF5106", "A single number, and three.", file({"a": row(0, 4, ()), "b": row(4, 16, (3,))})),
    ("good-none", "LF5106 LF5107", "A tensor without numbers.", file({"a": row(0, 16), "z": row(16, 16, (0,))})),
    (
        "good-order",
        "LF5107 LF5108",
        "Data in another order than names.",
        file({"b": row(8, 16, (2,)), "a": row(0, 8, (2,))}),
    ),
    ("good-bits", "LF5105 LF5106", "32 numbers of four bits.", file({"a": row(0, 16, (32,), "F4")})),
    ("good-metadata", "LF5103 LF5109", "A text.", file({"__metadata__": {"format": "pt"}, "a": row(0, 16)})),
]
for _each in _GOOD:
    _good(*_each)


_TOLD: list[tuple[str, str, str, bytes]] = [
    ("told-unaligned", "LF5110", "Data that begin at an odd byte.", file({"a": row(0, 16)}, pad=1)),
    ("told-name-of-a-path", "LF5111", "A name that climbs.", file({"../../x": row(0, 16)})),
    ("told-name-empty", "LF5111", "No name.", file({"": row(0, 16)})),
    ("told-field", "LF5112", "A field of nobody.", file({"a": row(0, 16, extra=1)})),
]
for _name, _rule, _comment, _data in _TOLD:
    _good(_name, "LF5104", _comment, _data, _rule)


@vector("length-beyond", rules="LF5101", near="LF5085", layer="content", comment="A header longer than the file.")
def length_beyond() -> bytes:
    return named(raw(b'{"a":{' + ONE + b"}}", length=1 << 63), "tiny.safetensors")


@vector("header-too-large", rules="LF5113", valid="undetermined", encoding="zlib", comment="A header of 16 MiB and 1.")
def header_too_large() -> bytes:
    return named(raw(_long_header((16 << 20) + 8)), "tiny.safetensors")


@vector("good-header-16-mib", near="LF5113", encoding="zlib", comment="A header of 16 MiB.")
def header_large() -> bytes:
    return named(raw(_long_header(16 << 20)), "tiny.safetensors")


def _long_header(length: int) -> bytes:
    text = b'{"a":{' + ONE + b"}}"
    return text + b" " * (length - len(text))


# Shards and their index (7.16.8)


def sharded(index: bytes | None, *shards: tuple[str, bytes]) -> bytes:
    """A container with ``shards``, the first of which starts, and ``index``."""
    given = [Part(path, data, "weights", "application/x-safetensors", 32) for path, data in shards]
    beside = [Part(INDEX, index, "document", "application/json")] if index is not None else []
    return container(Spec([readme(), *beside, *given], labels={"default": given[0].path}))


def index_of(mapped: object) -> bytes:
    """An index with ``mapped``."""
    return json.dumps({"metadata": {"total_size": 32}, "weight_map": mapped}).encode()


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
BOTH = ((FIRST, file({"a": row(0, 16)})), (SECOND, file({"b": row(0, 16)})))

WHOLE = ("model.safetensors", BOTH[0][1])


def _set(name: str, rules: str, comment: str, maker: Callable[[], bytes]) -> None:
    vector(name, rules=rules, layer="content", comment=comment)(maker)


_set("index-shard-missing", "LF5116", "One of two.", lambda: sharded(index_of({"a": FIRST, "b": SECOND}), BOTH[0]))
_set(
    "index-tensor-missing",
    "LF5116",
    "A tensor that is in no shard.",
    lambda: sharded(index_of({"a": FIRST, "b": SECOND, "c": SECOND}), *BOTH),
)
_set(
    "index-tensor-surplus",
    "LF5116",
    "A tensor that the index leaves out.",
    lambda: sharded(index_of({"a": FIRST}), (FIRST, file({"a": row(0, 8, (2,)), "b": row(8, 16, (2,))}))),
)
_set("index-leads-away", "LF5115", "A name with a folder.", lambda: sharded(index_of({"a": "../x.safetensors"}), WHOLE))
_set(
    "index-name-twice",
    "LF5115",
    "One tensor in two shards.",
    lambda: sharded(
        b'{"weight_map":{"a":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"}}', WHOLE
    ),
)
_set("index-is-a-list", "LF5115", "No map.", lambda: sharded(index_of([]), WHOLE))


@vector("good-index", near="LF5115 LF5116 LF5117", comment="Two shards and their index.")
def good_index() -> bytes:
    return sharded(index_of({"a": FIRST, "b": SECOND}), *BOTH)


@vector("shard-without-index", rules="LF5117", near="LF5116", comment="Two shards, and nothing that says so.")
def shard_without_index() -> bytes:
    return sharded(None, *BOTH)


@vector("good-as-model", near="LF5086", comment="Weights that are no GGUF, read and good.")
def good_as_model() -> bytes:
    return alone(Part("m.bin", file({"a": row(0, 16)}), "weights", "application/x-safetensors", 32))
