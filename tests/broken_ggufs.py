"""GGUFs that are broken in one way each, made from a good one: the field's own ways of breaking models.

Every mutation is a fault by chapter 7 of the specification, wherever it strikes; none is a matter of taste.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from spec.vectors.generate.gguf_builder import BOOL, F32, I32, STRING, U8, U32, U64
from tests.gguf_workbench import Tensor, Workbench, take_apart

Broken = tuple[str, bytes]
"""What was done, and the result."""

IDS = "tokenizer.ggml."
SIZES = ("block_count", "context_length", "embedding_length", "vocab_size", "rope.dimension_count")
HEADS = ("feed_forward_length", "attention.head_count", "attention.head_count_kv")


def broken_ggufs(good: bytes) -> list[Broken]:
    """Every mutation of ``good``, a GGUF of version 3 without faults; each name once."""
    bench = take_apart(good)
    made = [*_cut(good), *_counts(good), *_lengths(good, bench), *_rows(bench), *_keys(bench), *_tail(good)]
    assert len({name for name, _ in made}) == len(made)
    assert all(data != good for _, data in made)
    return made


@dataclass(frozen=True)
class _Places:
    """Offsets of structures of a GGUF."""

    keys: tuple[int, ...]
    rows: tuple[int, ...]
    header: int
    data: int
    tensors: tuple[tuple[int, int], ...]


def _places(good: bytes) -> _Places:
    gguf = read_gguf(BytesSource(good))
    ends = tuple((gguf.data_offset + t.offset, gguf.data_offset + t.offset + (t.size_bytes or 0)) for t in gguf.tensors)
    return _Places(
        tuple(entry.offset for entry in gguf.entries.values()),
        tuple(tensor.info_offset for tensor in gguf.tensors),
        gguf.header_length,
        gguf.data_offset,
        ends,
    )


def _cut(good: bytes) -> Iterator[Broken]:
    """Truncated where structures meet, and beside it."""
    places = _places(good)
    for at in (1, 3, 4, 7, 8, 12, 16, 23, 24, 25):
        yield f"cut in the header at {at}", good[:at]
    for number, at in enumerate(places.keys):
        yield f"cut before value {number}", good[:at]
        yield f"cut in value {number}", good[: at + 1] if at + 1 < places.rows[0] else good[: at - 1]
    for number, at in enumerate(places.rows):
        yield f"cut before row {number}", good[:at]
    yield "cut behind the table", good[: places.header]
    for number, (start, end) in enumerate(places.tensors):
        yield f"cut at tensor {number}", good[:start]
        yield f"cut in tensor {number}", good[: (start + end) // 2]
    yield "cut by one byte", good[: places.tensors[-1][1] - 1]


def _counts(good: bytes) -> Iterator[Broken]:
    """Magic, version and the two counts."""

    def put(at: int, layout: str, value: int) -> bytes:
        return good[:at] + struct.pack(layout, value) + good[at + struct.calcsize(layout) :]

    for magic in (b"GGML", b"FUGG", b"gguf", b"lmgg", b"\0\0\0\0", b"PK\3\4"):
        yield f"magic {magic!r}", magic + good[4:]
    for version in (0, 4, 5, 255, 1 << 31):
        yield f"version {version}", put(4, "<I", version)
    tensors, keys = struct.unpack_from("<QQ", good, 8)
    for name, at, count in (("tensors", 8, tensors), ("keys", 16, keys)):
        for value in (0, count - 1, count + 1, count * 2, 1 << 31, 1 << 32, 1 << 60, (1 << 64) - 1):
            yield f"{value} {name}", put(at, "<Q", value)


def _lengths(good: bytes, bench: Workbench) -> Iterator[Broken]:
    """Lengths of keys, value types, and array counts that lie."""
    places = _places(good)
    at = 24
    for number, (key, pair) in enumerate(bench.entries.items()):
        for value in (1 << 20, 1 << 40, (1 << 64) - 1):
            yield f"key {number} is {value} long", good[:at] + struct.pack("<Q", value) + good[at + 8 :]
        kind = at + 8 + len(key)
        for value in (13, 255, 1 << 31):
            yield f"key {number} has type {value}", good[:kind] + struct.pack("<I", value) + good[kind + 4 :]
        if good[kind : kind + 4] == struct.pack("<I", 9):
            for value in (9, 13):
                yield f"array {number} of {value}", good[: kind + 4] + struct.pack("<I", value) + good[kind + 8 :]
            for count in (1 << 28, 1 << 50, (1 << 64) - 1):
                yield f"array {number} has {count}", good[: kind + 8] + struct.pack("<Q", count) + good[kind + 16 :]
        at += len(pair)
    assert at == places.rows[0]


def _rows(bench: Workbench) -> Iterator[Broken]:
    """Rows of the tensor table: names, shapes, types, offsets, order."""
    last = len(bench.tensors) - 1
    for index in (0, 1, last // 2, last):
        row = bench.tensors[index]
        for name, changes in _row_faults(row, bench.tensors[(index + 1) % len(bench.tensors)]):
            yield f"tensor {index} {name}", bench.with_tensor(index, **changes).build()
    yield "tensors reversed", replace(bench, tensors=bench.tensors[::-1]).build()
    yield "first tensor dropped", replace(bench, tensors=bench.tensors[1:]).build()
    yield "last tensor dropped", replace(bench, tensors=bench.tensors[:-1]).build()
    yield "a tensor twice", replace(bench, tensors=(*bench.tensors, bench.tensors[0])).build()


def _row_faults(row: Tensor, other: Tensor) -> Iterator[tuple[str, dict[str, object]]]:
    yield "without a name", {"name": ""}
    yield "with a long name", {"name": "n" * 64}
    yield "with another's name", {"name": other.name}
    yield "with a NUL in its name", {"name": row.name + "\0"}
    yield "without dimensions", {"dims": ()}
    yield "of five dimensions", {"dims": (*row.dims, 1, 1, 1, 1)}
    yield "with a dimension of 0", {"dims": (*row.dims[:-1], 0)}
    yield "with a dimension of 2^63", {"dims": (*row.dims[:-1], 1 << 63)}
    yield "with twice the rows", {"dims": (*row.dims[:-1], row.dims[-1] * 2)}
    yield "of type 4, which is gone", {"type_id": 4}
    yield "of type 200", {"type_id": 200}
    yield "of type 2^31", {"type_id": 1 << 31}
    yield "one byte on", {"offset": row.offset + 1}
    yield "one block on", {"offset": row.offset + 32}
    yield "far behind the end", {"offset": 1 << 40}
    yield "at 2^64 - 32", {"offset": (1 << 64) - 32}
    yield "where another is", {"offset": other.offset}


def _keys(bench: Workbench) -> Iterator[Broken]:
    """Keys: twice, without name, of another type, out of range, at odds with each other."""
    arch = "llama."
    for key in ("general.architecture", f"{IDS}tokens", "general.name", f"{arch}block_count"):
        entries = {**bench.entries, "\0twice": bench.entries[key]}
        yield f"{key} twice", replace(bench, entries=entries).build()
    yield "a key without a name", bench.with_entry("", U8, 1).build()
    yield "no architecture", bench.without("general.architecture").build()
    yield "architecture a number", bench.with_entry("general.architecture", U32, 1).build()
    yield "architecture a sentence", bench.with_entry("general.architecture", STRING, "Large Language Model").build()
    for name in SIZES:
        yield f"{name} a string", bench.with_entry(arch + name, STRING, "4").build()
        yield f"{name} a float", bench.with_entry(arch + name, F32, 4.0).build()
        yield f"{name} a boolean", bench.with_entry(arch + name, BOOL, 1).build()
    for name in HEADS:
        yield f"{name} a string", bench.with_entry(arch + name, STRING, "4").build()
        yield f"{name} for three layers", bench.with_array(arch + name, U32, [4, 4, 4]).build()
        yield f"{name} of floats", bench.with_array(arch + name, F32, [4.0] * 4).build()
    for value in (0, 513, 1 << 20):
        yield f"{value} blocks", bench.with_entry(f"{arch}block_count", U32, value).build()
    for name in ("context_length", "embedding_length"):
        for value in (0, 1 << 31):
            yield f"{name} of {value}", bench.with_entry(arch + name, U64, value).build()
    yield "heads that do not divide", bench.with_entry(f"{arch}attention.head_count", U32, 7).build()
    yield "key-value heads that do not divide", bench.with_entry(f"{arch}attention.head_count_kv", U32, 3).build()
    for value in (0, 7, 24, 4, 1 << 20):
        yield f"alignment {value}", bench.with_entry("general.alignment", U32, value).build()
    yield "alignment of 8 bytes", bench.with_entry("general.alignment", U64, 32).build()
    yield "tokens a string", bench.with_entry(f"{IDS}tokens", STRING, "a b c").build()
    yield "tokens numbers", bench.with_array(f"{IDS}tokens", U32, list(range(512))).build()
    yield "scores too few", bench.with_array(f"{IDS}scores", F32, [0.0] * 511).build()
    yield "scores whole numbers", bench.with_array(f"{IDS}scores", I32, [0] * 512).build()
    yield "token types too many", bench.with_array(f"{IDS}token_type", I32, [1] * 513).build()
    yield "token types strings", bench.with_array(f"{IDS}token_type", STRING, ["1"] * 512).build()
    yield "byte tokens without digits", bench.with_array(f"{IDS}token_type", I32, [6] * 512).build()
    yield "template a number", bench.with_entry("tokenizer.chat_template", U32, 1).build()
    yield "a shard of none", bench.with_entry("split.no", U32, 0).build()
    yield "shard 2 of 2", bench.with_entry("split.no", U32, 2).with_entry("split.count", U32, 2).build()
    yield "a shard alone", bench.with_entry("split.no", U32, 0).with_entry("split.count", U32, 2).build()


def _tail(good: bytes) -> Iterator[Broken]:
    """Bytes behind the end."""
    yield "a byte behind the end", good + b"\1"
    yield "zeros behind the end", good + bytes(64)
    yield "itself behind the end", good + good
    yield "a ZIP behind the end", good + b"PK\5\6" + bytes(18)
    yield "text behind the end", good + b"\n-- \nsent by my mail program\n"
