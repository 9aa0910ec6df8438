"""Vectors of chapter 7: the bytes of a GGUF (7.2 to 7.7)."""

from __future__ import annotations

from spec.vectors.generate.gguf_builder import (
    ARRAY,
    BOOL,
    STRING,
    U8,
    U32,
    U64,
    V3,
    model,
    model_entries,
    register,
    tensors_of,
    with_tensors,
)

HEAD = b"GGUF" + V3.number("I", 3)
FLOATS = tensors_of()[1]


def key_head(key: str, kind: int) -> bytes:
    """A key and its type, for values with a fault."""
    return V3.text(key) + V3.number("I", kind)


def array_head(kind: int, count: int) -> bytes:
    """An array's type, element type and count under the key ``x.y``."""
    return key_head("x.y", ARRAY) + V3.number("I", kind) + V3.length(count)


def row(name: str | bytes = "b.weight", dims: tuple[int, ...] = (8, 2), kind: int = 0, offset: int = 32) -> bytes:
    """The second tensor row, changed."""
    return V3.tensor(name, dims, kind, offset)


def second(changed: bytes, data: bytes = FLOATS) -> bytes:
    """A model whose second tensor row is ``changed``."""
    return with_tensors([V3.tensor("a.weight", (8,), 0, 0), changed], data)


def cut(text: bytes, count: int) -> bytes:
    """``text`` without its last ``count`` bytes."""
    return text[:-count]


def gguf_with_padding(byte: int) -> bytes:
    """A model whose one tensor of 12 bytes is followed by padding of ``byte``."""
    return with_tensors(
        [V3.tensor("a", (3,), 0, 0), V3.tensor("b", (1,), 0, 32)], bytes(12) + bytes([byte]) * 20 + bytes(4)
    )


def cut_table() -> bytes:
    """A file that declares one tensor more than it has bytes for."""
    return V3.build(model_entries(), [V3.tensor("a", (1,), 0, 0)], b"", tensor_count=3, alignment=1)


register(
    [
        ("header-magic-wrong", "LF5001", "The magic is GGUX.", lambda: b"GGUX" + model()[4:]),
        ("header-other-format", "LF5001", "The old ggml magic.", lambda: b"lmgg" + bytes(60)),
        ("header-empty", "LF5002", "No bytes at all.", lambda: b""),
        ("header-magic-only", "LF5002", "Only the magic is there.", lambda: b"GGUF"),
        ("header-cut-in-counts", "LF5002", "The header ends inside the tensor count.", lambda: HEAD + b"\0\0\0"),
        ("header-version-0", "LF5003", "Version 0.", lambda: b"GGUF" + bytes(4) + model()[8:]),
        ("header-version-4", "LF5003", "Version 4.", lambda: b"GGUF" + V3.number("I", 4) + model()[8:]),
        (
            "header-tensor-count-huge",
            "LF5006",
            "2^60 tensors: times the size of a record wraps around.",
            lambda: HEAD + V3.length(1 << 60) + V3.length(0),
        ),
        (
            "header-tensor-count-negative",
            "LF5006",
            "The tensor count is -1 as a signed number.",
            lambda: HEAD + b"\xff" * 8 + V3.length(0) + bytes(64),
        ),
        (
            "header-key-count-huge",
            "LF5007",
            "2^61 keys: times the size of a record wraps around.",
            lambda: HEAD + V3.length(0) + V3.length(1 << 61) + bytes(64),
        ),
        ("key-empty", "LF5010", "A key without a name.", lambda: model(V3.entry("", U8, 1))),
        ("key-not-utf-8", "LF5011", "A key of byte FF.", lambda: model(V3.entry(b"x.\xff", U8, 1))),
        ("key-with-nul", "LF5012", "A NUL inside a key.", lambda: model(V3.entry("general.name\0x", U8, 1))),
        ("key-too-long", "LF5013", "A key of 65536 bytes.", lambda: model(V3.entry("k" * 65_536, U8, 1))),
        ("key-twice", "LF5015", "The same key twice.", lambda: model(V3.entry("x", U8, 1), V3.entry("x", U8, 2))),
        (
            "keys-cut",
            "LF5016",
            "The file ends inside the value of the last key.",
            lambda: cut(V3.build(model_entries()), 2),
        ),
        (
            "keys-cut-in-array",
            "LF5016",
            "The file ends inside the length of a string in an array.",
            lambda: V3.build([*model_entries(), array_head(STRING, 2) + V3.text("abcdefgh") + b"\0\0\0"]),
        ),
        ("value-type-unknown", "LF5018", "Value type 13.", lambda: model(key_head("x.y", 13) + bytes(8))),
        (
            "string-length-wraps",
            "LF5019",
            "A string length of 2^64-1.",
            lambda: model(key_head("x.y", STRING) + b"\xff" * 8 + bytes(32)),
        ),
        (
            "string-past-end",
            "LF5019",
            "A string one byte longer than the file.",
            lambda: V3.build([*model_entries(), key_head("x.y", STRING) + V3.length(9) + bytes(8)]),
        ),
        (
            "string-in-array-past-end",
            "LF5019",
            "The second string of an array is longer than the file.",
            lambda: V3.build([*model_entries(), array_head(STRING, 2) + V3.text("a") + V3.length(1 << 40)]),
        ),
        (
            "key-length-past-end",
            "LF5019",
            "A key longer than the file.",
            lambda: V3.build([*model_entries(), V3.length(1 << 32) + bytes(16)]),
        ),
        (
            "string-over-limit",
            "LF5020",
            "A string of 64 MiB and one byte.",
            lambda: V3.build([*model_entries(), V3.entry("x.y", STRING, bytes((64 << 20) + 1))]),
        ),
        (
            "string-with-nul",
            "LF5021",
            "A NUL inside a string.",
            lambda: model(V3.entry("general.name", STRING, "a\0b")),
        ),
        (
            "string-not-utf-8",
            "LF5022",
            "A string with byte C3 before an ASCII letter.",
            lambda: model(V3.entry("general.name", STRING, b"caf\xc3e")),
        ),
        ("bool-two", "LF5023", "A boolean of value 2.", lambda: model(V3.entry("x.y", BOOL, 2))),
        ("array-of-arrays", "LF5024", "An array of arrays.", lambda: model(array_head(ARRAY, 1) + bytes(32))),
        (
            "array-nested-deeply",
            "LF5024",
            "Arrays nested 100 deep.",
            lambda: V3.build([key_head("x.y", ARRAY) + (V3.number("I", ARRAY) + V3.length(1)) * 100]),
        ),
        ("array-type-unknown", "LF5025", "Elements of type 77.", lambda: model(array_head(77, 1) + bytes(32))),
        (
            "array-count-2-63",
            "LF5026",
            "2^63 bytes in a file of a few.",
            lambda: V3.build([array_head(U8, 1 << 63)]),
        ),
        (
            "array-count-wraps",
            "LF5026",
            "2^62 numbers of 4 bytes: the product wraps to 0.",
            lambda: V3.build([array_head(U32, 1 << 62) + bytes(16)]),
        ),
        (
            "array-of-strings-impossible",
            "LF5026",
            "More strings than lengths fit into the file.",
            lambda: V3.build([array_head(STRING, 1000) + bytes(16)]),
        ),
        (
            "array-over-limit",
            "LF5027",
            "2^27 + 1 elements, with the bytes for them.",
            lambda: V3.build([*model_entries(), array_head(U8, (1 << 27) + 1) + bytes((1 << 27) + 1)]),
        ),
        ("alignment-wrong-type", "LF5029", "UINT64.", lambda: model(V3.entry("general.alignment", U64, 32))),
        ("alignment-0", "LF5030", "Alignment 0.", lambda: model(V3.entry("general.alignment", U32, 0))),
        ("alignment-3", "LF5030", "Alignment 3.", lambda: model(V3.entry("general.alignment", U32, 3))),
        ("alignment-4", "LF5031", "Alignment 4.", lambda: model(V3.entry("general.alignment", U32, 4))),
        ("alignment-2-31", "LF5031", "Alignment 2^31.", lambda: model(V3.entry("general.alignment", U32, 1 << 31))),
        (
            "tensor-table-cut",
            "LF5032",
            "The file ends inside the last row.",
            lambda: cut(V3.build(model_entries(), alignment=1, tensors=tensors_of()[0]), 3),
        ),
        ("tensor-count-too-high", "LF5032", "Three rows declared, two there.", cut_table),
        ("tensor-name-empty", "LF5033", "A tensor without a name.", lambda: second(row(name=""))),
        ("tensor-name-64", "LF5034", "A name of 64 bytes.", lambda: second(row(name="n" * 64))),
        ("tensor-name-not-utf-8", "LF5035", "A name of byte FF.", lambda: second(row(name=b"\xff"))),
        ("tensor-name-with-nul", "LF5036", "Equal up to a NUL.", lambda: second(row(name="a.weight\0x"))),
        ("tensor-name-twice", "LF5037", "Two tensors of one name.", lambda: second(row(name="a.weight"))),
        ("tensor-dims-0", "LF5038", "No dimensions.", lambda: with_tensors([row(dims=(), offset=0)], bytes(32))),
        ("tensor-dims-5", "LF5038", "Five dimensions.", lambda: second(row(dims=(8, 2, 1, 1, 1)))),
        (
            "tensor-dims-huge",
            "LF5038",
            "2^32-1 dimensions.",
            lambda: second(V3.text("b") + b"\xff" * 4 + bytes(32)),
        ),
        ("tensor-dim-0", "LF5039", "A dimension of 0.", lambda: second(row(dims=(8, 0)))),
        (
            "tensor-dim-negative",
            "LF5040",
            "A dimension of 2^64-8, negative as a signed number.",
            lambda: second(row(dims=((1 << 64) - 8,))),
        ),
        (
            "tensor-elements-2-63",
            "LF5040",
            "2^42+1 squared elements: the product wraps.",
            lambda: second(row(dims=((1 << 42) + 1, (1 << 42) + 1))),
        ),
        (
            "tensor-elements-almost-2-64",
            "LF5040",
            "2^63-1 by 2: passes a check of each dimension.",
            lambda: second(row(dims=((1 << 63) - 1, 2))),
        ),
        ("tensor-type-unknown", "LF5041", "Type 4711.", lambda: second(row(kind=4711))),
        (
            "tensor-type-removed",
            "LF5042",
            "Type 4, removed.",
            lambda: with_tensors([row(dims=(16,), kind=4, offset=0)], bytes(10)),
        ),
        ("tensor-row-not-block", "LF5044", "33 elements in blocks of 32.", lambda: second(row(dims=(33,), kind=8))),
        (
            "tensor-bytes-2-63",
            "LF5045",
            "2^61 numbers of 8 bytes.",
            lambda: second(row(dims=(1 << 61,), kind=28)),
        ),
        (
            "offset-unaligned",
            "LF5046",
            "The second tensor starts at 36.",
            lambda: second(row(offset=36), FLOATS + bytes(28)),
        ),
        ("offset-overlap", "LF5047", "Both tensors start at 0.", lambda: second(row(offset=0), FLOATS[:64])),
        ("offset-gap", "LF5048", "32 bytes between tensors.", lambda: second(row(offset=64), FLOATS + bytes(32))),
        (
            "offset-wraps",
            "LF5049",
            "An offset of 2^64-32: plus the size it is small again.",
            lambda: second(row(offset=(1 << 64) - 32), FLOATS[:32]),
        ),
        ("data-cut", "LF5050", "The last byte of data is missing.", lambda: cut(model(), 1)),
        ("data-missing", "LF5050", "No data at all.", lambda: with_tensors(tensors_of()[0][:1], b"")),
        ("data-trailing", "LF5051", "32 bytes behind the last tensor.", lambda: model() + bytes(32)),
        (
            "data-trailing-no-tensors",
            "LF5051",
            "64 bytes behind the keys of a file without tensors.",
            lambda: V3.build(model_entries()) + bytes(64),
        ),
        ("padding-not-zero", "LF5052", "Padding of byte 41.", lambda: gguf_with_padding(0x41)),
        (
            "tensors-out-of-order",
            "LF5053",
            "The table lists the second tensor first.",
            lambda: with_tensors(tensors_of()[0][::-1], FLOATS),
        ),
    ],
    zipped=[
        "key-too-long",
        "string-over-limit",
        "array-over-limit",
    ],
)
