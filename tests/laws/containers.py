"""Small containers for the laws: a tiny GGUF of our own and what goes with it."""

from __future__ import annotations

import struct
from pathlib import Path

import llamafile_format


def tiny_gguf(name: str = "tiny", values: int = 32) -> bytes:
    """A whole little-endian GGUF of version 3 with one F32 tensor of ``values`` numbers."""
    return gguf_head(name, values) + b"".join(struct.pack("<f", index / 7) for index in range(values))


def gguf_head(name: str, values: int) -> bytes:
    """What stands in front of the numbers."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    def string(key: str, value: str) -> bytes:
        return text(key) + struct.pack("<I", 8) + text(value)

    head = (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + string("general.architecture", "llama") + string("general.name", name)
    )
    head += text("token_embd.weight") + struct.pack("<IQIQ", 1, values, 0, 0)
    return head + bytes(-len(head) % 32)


def small_container(folder: Path, **options: object) -> Path:
    """A packed container of less than 12 KiB with a model and a licence."""
    model, licence = folder / "tiny.gguf", folder / "LICENSE.txt"
    model.write_bytes(tiny_gguf())
    licence.write_bytes(b"CC0-1.0\n")
    out = folder / "small.llamafile"
    options = {"prefix": "none", **options}
    llamafile_format.pack([model, licence], out, align=32, force=True, **options)  # type: ignore[arg-type]
    return out
