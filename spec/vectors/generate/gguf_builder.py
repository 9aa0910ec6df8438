"""Build GGUFs field by field, with or without faults, for the vectors of the weights and templates chapters.

Nothing here uses the library: the bytes follow from the tables of spec/1, 7.2 alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spec.vectors.generate import vector

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


@dataclass(frozen=True)
class Dialect:
    """Version and byte order; version 1 has 4-byte lengths, counts and dimensions."""

    version: int = 3
    order: str = "<"

    def number(self, code: str, value: float) -> bytes:
        """``value`` as ``code`` in this byte order."""
        return struct.pack(self.order + code, value)

    def length(self, value: int) -> bytes:
        """A length, count or dimension."""
        return self.number("I" if self.version == 1 else "Q", value)

    def text(self, value: str | bytes) -> bytes:
        """A string with its length."""
        raw = value.encode() if isinstance(value, str) else value
        return self.length(len(raw)) + raw

    def value(self, kind: int, value: object) -> bytes:
        """A scalar or string value without its type."""
        if kind == STRING:
            assert isinstance(value, str | bytes)
            return self.text(value)
        assert isinstance(value, int | float)
        return self.number(CODES[kind], value)

    def entry(self, key: str | bytes, kind: int, value: object) -> bytes:
        """A key with a scalar or string value."""
        return self.text(key) + self.number("I", kind) + self.value(kind, value)

    def array(self, key: str, kind: int, values: Sequence[object]) -> bytes:
        """A key with an array value."""
        head = self.text(key) + self.number("I", ARRAY) + self.number("I", kind) + self.length(len(values))
        return head + b"".join(self.value(kind, value) for value in values)

    def tensor(self, name: str | bytes, dims: Sequence[int], kind: int, offset: int) -> bytes:
        """One row of the tensor table."""
        head = self.text(name) + self.number("I", len(dims)) + b"".join(map(self.length, dims))
        return head + self.number("I", kind) + self.number("Q", offset)

    def build(
        self,
        entries: Sequence[bytes],
        tensors: Sequence[bytes] = (),
        data: bytes = b"",
        *,
        alignment: int = 32,
        tensor_count: int | None = None,
        key_count: int | None = None,
    ) -> bytes:
        """A whole GGUF; the counts can be made to lie."""
        counts = self.length(len(tensors) if tensor_count is None else tensor_count)
        counts += self.length(len(entries) if key_count is None else key_count)
        head = b"GGUF" + self.number("I", self.version) + counts + b"".join(entries) + b"".join(tensors)
        return head + bytes(-len(head) % alignment if tensors else 0) + data


V1, V2, V3, BIG = Dialect(1), Dialect(2), Dialect(3), Dialect(3, ">")

SIZES: dict[str, int] = {
    "block_count": 2,
    "context_length": 64,
    "embedding_length": 32,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}


def model_entries(dialect: Dialect = V3, architecture: str = "llama", **sizes: int | None) -> list[bytes]:
    """The keys of a small model; a size given as None is left out. Dots are written as two underscores."""
    changed = {key.replace("__", "."): value for key, value in sizes.items()}
    merged = {**SIZES, **changed}
    entries = [dialect.entry("general.architecture", STRING, architecture)]
    for key, value in merged.items():
        if value is not None:
            entries.append(dialect.entry(f"{architecture}.{key}", U32, value))
    return entries


def tensors_of(dialect: Dialect = V3) -> tuple[list[bytes], bytes]:
    """Two F32 tensors of 32 and 64 bytes, and their data."""
    rows = [dialect.tensor("a.weight", (8,), 0, 0), dialect.tensor("b.weight", (8, 2), 0, 32)]
    return rows, b"".join(dialect.number("f", number) for number in range(24))


def model(*extra: bytes, dialect: Dialect = V3, alignment: int = 32, **sizes: int | None) -> bytes:
    """A small good model, with ``extra`` entries."""
    rows, data = tensors_of(dialect)
    return dialect.build([*model_entries(dialect, **sizes), *extra], rows, data, alignment=alignment)


def with_tensors(rows: Sequence[bytes], data: bytes, **counts: int) -> bytes:
    """A small model with other tensors."""
    return V3.build(model_entries(), rows, data, **counts)


def vocabulary(
    tokens: Sequence[str | bytes] = ("<unk>", "<s>", "</s>", "<0x0A>", "hello", "world"),
    types: Sequence[int] = (2, 3, 3, 6, 1, 1),
    kind: str = "llama",
) -> list[bytes]:
    """The keys of a small vocabulary."""
    return [
        V3.entry("tokenizer.ggml.model", STRING, kind),
        V3.array("tokenizer.ggml.tokens", STRING, tokens),
        V3.array("tokenizer.ggml.scores", F32, [0.0] * len(tokens)),
        V3.array("tokenizer.ggml.token_type", I32, types),
    ]


Row = tuple[str, str, str, Callable[[], bytes]]
"""Name, rules, comment, maker."""


def register(rows: Sequence[Row], *, layer: str = "weights", zipped: Sequence[str] = (), valid: str = "") -> None:
    """Register bad vectors: one fault each."""
    for name, rules, comment, maker in rows:
        encoding = "zlib" if name in zipped else "raw"
        vector(name, kind="gguf", rules=rules, layer=layer, valid=valid, comment=comment, encoding=encoding)(maker)


def register_good(
    rows: Sequence[tuple[str, str, str, str, Callable[[], bytes]]], *, zipped: Sequence[str] = ()
) -> None:
    """Register good vectors: name, rules found (warnings and notes only), near, comment, maker."""
    for name, rules, near, comment, maker in rows:
        encoding = "zlib" if name in zipped else "raw"
        vector(name, kind="gguf", rules=rules, near=near, comment=comment, encoding=encoding)(maker)
