"""Huge containers that take no room: weights with a real GGUF header over a hole, digests computed, not hashed."""

from __future__ import annotations

import hashlib
import os
import struct
from functools import cache
from pathlib import Path

from llamafile_format.manifest.hashing import Digests, digest_range, pieces
from llamafile_format.manifest.merkle import CHUNK_SIZE, combine_crcs
from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource, FileSource

ROW = 1 << 16


def gguf_header(size: int) -> bytes:
    """A GGUF header that engines start, whose single F32 tensor makes the file about ``size`` bytes long."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    rows = max(1, (size - 4096) // (4 * ROW))
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 5)
    for key, value in (("general.architecture", "llama"), ("tokenizer.ggml.model", "none")):
        head += text(key) + struct.pack("<I", 8) + text(value)
    for key in ("context_length", "embedding_length", "block_count"):
        head += text(f"llama.{key}") + struct.pack("<II", 4, 32)
    head += text("token_embd.weight") + struct.pack("<IQQIQ", 2, ROW, rows, 0, 0)
    return head + bytes(-len(head) % 32)


def sparse_gguf(path: Path, size: int) -> int:
    """Write a sparse GGUF of about ``size`` bytes; its exact size."""
    head = gguf_header(size)
    exact = len(head) + 4 * ROW * max(1, (size - 4096) // (4 * ROW))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(exact)
    return exact


@cache
def _zeros(length: int) -> tuple[bytes, int]:
    import zlib

    data = bytes(length)
    return hashlib.sha256(data).digest(), zlib.crc32(data)


def known_digests(path: Path) -> Digests:
    """Digests of a sparse file without reading its hole; the whole SHA-256 is of nothing (it is never checked here)."""
    source = FileSource(path)
    first = digest_range(source, 0, min(CHUNK_SIZE, source.size))
    chunks, crcs = [first.sha256], [(first.crc32, first.size)]
    for _, length in list(pieces(0, source.size))[1:]:
        digest, crc = _zeros(length)
        chunks.append(digest)
        crcs.append((crc, length))
    return Digests(source.size, combine_crcs(crcs), hashlib.sha256(b"").digest(), tuple(chunks))


def sparse_container(out: Path, size: int) -> None:
    """A container with one sparse model of about ``size`` bytes. Only the whole-member SHA-256 is not right."""
    model = out.with_suffix(".gguf")
    sparse_gguf(model, size)
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
        Content("model.gguf", "weights", "application/x-gguf", FileSource(model), 65536, known_digests(model)),
    ]
    descriptor = os.open(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        assemble(descriptor, PrefixContent("none", BytesSource(b"")), contents, Labels(default="model.gguf"))
    finally:
        os.close(descriptor)
    model.unlink()
