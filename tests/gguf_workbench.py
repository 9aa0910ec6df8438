"""A good GGUF in pieces, to be put together again with one piece changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from spec.vectors.generate.gguf_builder import V3, Dialect

EXHIBIT = Path(__file__).resolve().parents[1] / "examples/exhibit/exhibit-q8_0.gguf"


@dataclass(frozen=True)
class Tensor:
    """One row of the tensor table."""

    name: str
    dims: tuple[int, ...]
    type_id: int
    offset: int


@dataclass(frozen=True)
class Workbench:
    """``entries`` are encoded pairs by key, in order; ``data`` is the data section."""

    entries: dict[str, bytes]
    tensors: tuple[Tensor, ...]
    data: bytes
    dialect: Dialect = field(default=V3)

    def with_entry(self, key: str, kind: int, value: object) -> Workbench:
        """With ``key`` set to a scalar or string."""
        return replace(self, entries={**self.entries, key: self.dialect.entry(key, kind, value)})

    def with_array(self, key: str, kind: int, values: Sequence[object]) -> Workbench:
        """With ``key`` set to an array."""
        return replace(self, entries={**self.entries, key: self.dialect.array(key, kind, values)})

    def without(self, *keys: str) -> Workbench:
        """Without ``keys``."""
        return replace(self, entries={key: pair for key, pair in self.entries.items() if key not in keys})

    def with_tensor(self, index: int, **changes: object) -> Workbench:
        """With fields of one row of the tensor table changed."""
        rows = list(self.tensors)
        rows[index] = replace(rows[index], **changes)  # type: ignore[arg-type]
        return replace(self, tensors=tuple(rows))

    def build(self, *, tensor_count: int | None = None, key_count: int | None = None, alignment: int = 32) -> bytes:
        """The bytes."""
        rows = [self.dialect.tensor(row.name, row.dims, row.type_id, row.offset) for row in self.tensors]
        return self.dialect.build(
            list(self.entries.values()),
            rows,
            self.data,
            tensor_count=tensor_count,
            key_count=key_count,
            alignment=alignment,
        )


def take_apart(data: bytes) -> Workbench:
    """The pieces of a little-endian GGUF of version 3 without faults."""
    gguf = read_gguf(BytesSource(data))
    assert gguf.complete
    assert not gguf.findings
    entries = {}
    for key, entry in gguf.entries.items():
        head = V3.text(key) + V3.number("I", entry.type)
        entries[key] = head + data[entry.offset : entry.offset + entry.length]
    tensors = tuple(Tensor(row.name, row.dims, row.type_id, row.offset) for row in gguf.tensors)
    return Workbench(entries, tensors, data[gguf.data_offset :])


def exhibit() -> Workbench:
    """The smallest exhibit."""
    return take_apart(EXHIBIT.read_bytes())
