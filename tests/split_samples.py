"""Splitting a GGUF into shards, written here without the product's writers, as upstream's tool lays them out."""

from __future__ import annotations

import struct
from pathlib import Path

from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf


def split(model: Path, folder: Path, count: int = 3) -> list[Path]:
    """The shards of ``model`` in ``folder``: all keys in the first one, tensors in their order over all of them."""
    data = model.read_bytes()
    gguf = read_gguf(BytesSource(data))
    rows = [tensor.info_offset for tensor in gguf.tensors] + [gguf.header_length]
    keys = data[24 : rows[0]]
    paths, per_shard = [], -(-len(gguf.tensors) // count)
    for number in range(count):
        infos, body = b"", b""
        chosen = gguf.tensors[number * per_shard : (number + 1) * per_shard]
        for tensor in chosen:
            name = tensor.name.encode()
            body += bytes(-len(body) % gguf.alignment)
            shape = struct.pack(f"<{len(tensor.dims)}Q", *tensor.dims)
            infos += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.dims)) + shape
            infos += struct.pack("<IQ", tensor.type_id, len(body))
            start = gguf.data_offset + tensor.offset
            body += data[start : start + (tensor.size_bytes or 0)]
        more = _number("split.no", number) + _number("split.count", count)
        more += _text("split.tensors.count") + struct.pack("<Ii", 5, len(gguf.tensors))
        kept = keys if number == 0 else b""
        head = b"GGUF" + struct.pack("<IQQ", 3, len(chosen), 3 + (len(gguf.entries) if number == 0 else 0))
        head += kept + more + infos
        path = folder / f"{model.stem}-{number + 1:05d}-of-{count:05d}.gguf"
        path.write_bytes(head + bytes(-len(head) % gguf.alignment) + body)
        paths.append(path)
    return paths


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _number(key: str, value: int) -> bytes:
    return _text(key) + struct.pack("<IH", 2, value)
