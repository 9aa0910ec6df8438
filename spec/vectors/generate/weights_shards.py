"""Vectors of chapter 7: shards, alone and joined end to end (7.7.6)."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.gguf_builder import U32, V3, model, model_entries

CHAPTER = "weights"


def shard(number: int, count: int) -> bytes:
    """A model that says that it is shard ``number`` (from 0) of ``count``."""
    keys = (("split.no", number), ("split.count", count), ("split.tensors.count", 2 * count))
    return model(*(V3.entry(key, U32, value) for key, value in keys))


@vector("joined-with-cat", kind="gguf", rules="LF5088", layer="weights", comment="Two shards, one behind the other.")
def joined_with_cat() -> bytes:
    return shard(0, 2) + shard(1, 2)


@vector("joined-header-first", kind="gguf", rules="LF5088", layer="weights", comment="A shard without tensors first.")
def joined_header_first() -> bytes:
    return V3.build([*model_entries(), V3.entry("split.no", U32, 0), V3.entry("split.count", U32, 2)]) + shard(1, 2)


@vector("good-shard", kind="gguf", near="LF5088", comment="A shard by itself.")
def good_shard() -> bytes:
    return shard(1, 2)
