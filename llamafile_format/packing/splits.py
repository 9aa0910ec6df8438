"""Merging the shards of a split GGUF into one member (spec/1, 7.8 and 8.1.3).

The merged file is never held or written apart: its header is built in memory, its tensor data is read from the shards
as the container is written. Tensor bytes are those of the shards, only their offsets change.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from llamafile_format.checks.manifest import SPLIT_NAME
from llamafile_format.errors import FormatError
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.packing.assemble import Content, with_extra
from llamafile_format.packing.inputs import split_sets
from llamafile_format.source import ByteSource, BytesSource, Chain, Window
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import Gguf, TensorInfo

_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")


def merge_splits(contents: Sequence[Content]) -> list[Content]:
    """``contents`` with every split set of weights merged into one member named without ``-NNNNN-of-NNNNN``.

    The shards' names, sizes and SHA-256 are recorded in the member's manifest entry. Raises FormatError if the shards
    are not one consistent set.
    """
    weights = {content.path: content for content in contents if content.role == "weights"}
    result = [content for content in contents if content.role != "weights"]
    for first, paths in split_sets(weights).items():
        match = SPLIT_NAME.match(first)
        shards = [weights[path] for path in paths]
        result.append(_merge(f"{match['stem']}.gguf", shards) if match and len(shards) > 1 else shards[0])
    return result


def _merge(path: str, shards: Sequence[Content]) -> Content:
    parsed = [_read(shard) for shard in shards]
    _check_set(path, parsed)
    source = _joined(path, shards, parsed)
    digests = [digest_range(shard.source, 0, shard.source.size) for shard in shards]
    record = [
        {"path": shard.path, "sha256": digest.sha256.hex(), "size": digest.size}
        for shard, digest in zip(shards, digests, strict=True)
    ]
    return with_extra(replace(shards[0], path=path, source=source), merged_from=record)


def _read(shard: Content) -> Gguf:
    gguf = read_gguf(shard.source, member=shard.path)
    if gguf.stopped or gguf.version < 2 or gguf.byte_order != "little":
        raise FormatError(
            f"{shard.path} cannot be merged: it is not a complete little-endian GGUF of version 2 or 3",
            hint="pack the shards as they are, without --merge-splits",
        )
    return gguf


def _check_set(path: str, parsed: Sequence[Gguf]) -> None:
    numbers = [gguf.integer("split.no") for gguf in parsed]
    counts = {gguf.integer("split.count") for gguf in parsed}
    if numbers != list(range(len(parsed))) or counts != {len(parsed)}:
        raise FormatError(f"the shards of {path} do not belong together", found=f"numbers {numbers}, counts {counts}")
    if len({gguf.alignment for gguf in parsed}) > 1:
        raise FormatError(f"the shards of {path} have different alignments")
    names = [tensor.name for gguf in parsed for tensor in gguf.tensors]
    declared = parsed[0].integer("split.tensors.count")
    if len(set(names)) != len(names) or (declared is not None and declared != len(names)):
        raise FormatError(f"the shards of {path} hold {len(names)} tensors", allowed=f"{declared}, each once")


def _joined(path: str, shards: Sequence[Content], parsed: Sequence[Gguf]) -> Chain:
    """The merged file: header with the first shard's metadata, then every shard's tensor data, padded."""
    alignment = parsed[0].alignment
    tensors: list[tuple[TensorInfo, int]] = []
    data: list[ByteSource] = []
    offset = 0
    for shard, gguf in zip(shards, parsed, strict=True):
        for tensor in sorted(gguf.tensors, key=lambda item: item.offset):
            tensors.append((tensor, offset))
            data.append(Window(shard.source, gguf.data_offset + tensor.offset, _size(tensor)))
            padding = -_size(tensor) % alignment
            data.append(BytesSource(bytes(padding)))
            offset += _size(tensor) + padding
    header = _header(shards[0].source, parsed[0], tensors)
    return Chain(path, [BytesSource(header + bytes(-len(header) % alignment)), *data])


def _size(tensor: TensorInfo) -> int:
    if tensor.size_bytes is None:
        raise FormatError(f"tensor {tensor.name} has type {tensor.type_id}, whose size is not known", clause="LF5051")
    return tensor.size_bytes


def _header(source: ByteSource, gguf: Gguf, tensors: Sequence[tuple[TensorInfo, int]]) -> bytes:
    kept = [entry for key, entry in gguf.entries.items() if key not in _SPLIT_KEYS]
    head = [b"GGUF", struct.pack("<IQQ", gguf.version, len(tensors), len(kept))]
    for entry in kept:
        key = entry.key.encode("utf-8")
        head.append(struct.pack("<Q", len(key)) + key + struct.pack("<I", entry.type))
        head.append(source.read_at(entry.offset, entry.length))
    for tensor, offset in tensors:
        name = tensor.name.encode("utf-8")
        head.append(struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.dims)))
        head.append(struct.pack(f"<{len(tensor.dims)}Q", *tensor.dims) + struct.pack("<IQ", tensor.type_id, offset))
    return b"".join(head)
