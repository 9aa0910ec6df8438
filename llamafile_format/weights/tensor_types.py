"""What a tensor's type number means: block layout, name, and whose numbering it belongs to (spec/1, 7.6).

The numbers are not stable: forks reuse numbers that mainline GGML freed, so a number outside the mainline table has a
meaning only together with the engine that wrote it. The table is ``spec/registry/tensor-types.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import prod

from llamafile_format.specdata import spec_yaml

MAINLINE = "ggml"


class TypeStatus(Enum):
    """Standing of a type number in its numbering."""

    CURRENT = "current"
    REMOVED = "removed"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class TensorType:
    """One row of the table. A row of a tensor is stored as blocks of ``elements`` numbers in ``block_bytes`` bytes.

    ``row_bytes`` is added once a row, ``tensor_bytes`` once a tensor. ``block_bytes`` is None where the size does not
    follow from the shape alone.
    """

    id: int
    name: str
    elements: int
    block_bytes: int | None
    row_bytes: int
    tensor_bytes: int
    status: TypeStatus
    numbering: str

    def size_of(self, dims: tuple[int, ...]) -> int | None:
        """Bytes of a tensor of shape ``dims`` (fastest first); None if unknown or a row is no multiple of the block."""
        if self.block_bytes is None or not dims or dims[0] % self.elements:
            return None
        rows = prod(dims[1:])
        return rows * (dims[0] // self.elements * self.block_bytes + self.row_bytes) + self.tensor_bytes


@cache
def type_table() -> Mapping[int, tuple[TensorType, ...]]:
    """Every meaning of every number: current mainline first, then forks, then what mainline removed."""
    table: dict[int, list[TensorType]] = {}
    for ident, name, elements, size, row, tensor, status, numbering in spec_yaml("registry/tensor-types.yaml")["types"]:
        entry = TensorType(ident, name, elements, size, row, tensor, TypeStatus(status), numbering)
        table.setdefault(ident, []).append(entry)
    rank = [TypeStatus.CURRENT, TypeStatus.FORK, TypeStatus.REMOVED]
    return {ident: tuple(sorted(rows, key=lambda row: rank.index(row.status))) for ident, rows in table.items()}


def meanings(type_id: int) -> tuple[TensorType, ...]:
    """All known meanings of ``type_id``, best first; empty if no table knows it."""
    return type_table().get(type_id, ())


def type_name(type_id: int) -> str:
    """The name to show for ``type_id``: ``Q4_K``, ``I2_S (bitnet)``, ``type 4711``."""
    known = meanings(type_id)
    if not known:
        return f"type {type_id}"
    best = known[0]
    if best.status is TypeStatus.CURRENT:
        return best.name
    return f"{best.name} ({best.numbering if best.status is TypeStatus.FORK else 'removed'})"
