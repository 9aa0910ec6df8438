"""What pinned engines demand of a model before they start it, as data (spec/1, 14.1.12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.gguf_model import ValueType

ARCHITECTURE = "{arch}"
"""Stands in a key for the value of ``general.architecture``."""


@dataclass(frozen=True, slots=True)
class Loader:
    """One engine's demands. Keys may hold :data:`ARCHITECTURE`.

    ``types`` hold for a key that is there, ``layer_types`` too, but an array is one value for each layer;
    ``array_types`` are those of elements. One of ``epsilons`` below 0 is too much where there is no other.
    ``tensor_alignment`` is that of tensor data in bytes; ``tokenizers`` are ids that a tokenizer cannot do without,
    each with what it is if nobody says.
    """

    engine: str
    versions: frozenset[str]
    gguf_versions: frozenset[int]
    byte_order: str
    needed: tuple[str, ...]
    types: Mapping[str, ValueType]
    layer_types: Mapping[str, ValueType]
    array_types: Mapping[str, ValueType]
    epsilons: tuple[str, ...]
    distinct_tokens: bool
    tensor_alignment: int
    tokenizers: Mapping[str, Mapping[str, int]]


@cache
def loaders() -> tuple[Loader, ...]:
    """Every row of the registry."""
    return tuple(
        Loader(
            engine=row["engine"],
            versions=frozenset(row["tried"]),
            gguf_versions=frozenset(row["gguf_versions"]),
            byte_order=row["byte_order"],
            needed=tuple(row["needed"]),
            types=_types(row["types"]),
            layer_types=_types(row["layer_types"]),
            array_types=_types(row["array_types"]),
            epsilons=tuple(row["epsilons"]),
            distinct_tokens=row["distinct_tokens"],
            tensor_alignment=row["tensor_alignment"],
            tokenizers=row["tokenizers"],
        )
        for row in spec_yaml("registry/loaders.yaml")["loaders"]
    )


def _types(names: Mapping[str, str]) -> dict[str, ValueType]:
    return {key: ValueType[name] for key, name in names.items()}


def loader_of(engine: str, version: str) -> Loader | None:
    """The demands of the build ``version`` of ``engine``; None if nobody has tried it."""
    return next((row for row in loaders() if row.engine == engine and version in row.versions), None)
