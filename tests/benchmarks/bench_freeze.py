"""Freezing: what is left of trained weights, at which speed of one core, and plain ``zstd -3`` of 4 MiB beside it.

The exhibit, which is F16, and its numbers in F32; and the embeddings of wordllama, F16 and the same in F32 and BF16, if
WORDLLAMA names that file of its wheel, ``wordllama/weights/l2_supercat_256.safetensors``. Noise is put into the bits
that widening leaves empty.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import zstandard

import llamafile_format as lf
from llamafile_format.frozen.planes import BLOCK, LEVEL, freeze_block, thaw_block
from tests.benchmarks.measure import CLI, peak_kib, row, timed

EXHIBIT = Path(__file__).resolve().parents[2] / "examples" / "exhibit" / "exhibit-f16.gguf"
WORDLLAMA = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
_BYTES = 64 << 20  # of each kind are gone through, so that a run takes a while; no block has a weight twice


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    good = True
    for name, data, most in _weights():
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
        good &= _kind(name, blocks * -(-_BYTES // len(data)), most)
    return _commands(folder) and good


def _weights() -> Iterator[tuple[str, bytes, float]]:
    """Names, bytes, and the percentage that may be left."""
    tensors = [
        tensor.data.reshape(-1) for tensor in gguf.GGUFReader(EXHIBIT).tensors if tensor.data.dtype == np.float16
    ]
    exhibit = np.concatenate(tensors)
    yield "the exhibit, F16", exhibit.tobytes(), 85
    yield "the exhibit, F32", _widened(exhibit).tobytes(), 87
    path = Path(os.environ.get("WORDLLAMA", "")) if os.environ.get("WORDLLAMA") else None
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != WORDLLAMA:
        return
    words = np.frombuffer(path.read_bytes()[-16_384_000:], np.float16)
    yield "wordllama, F16", words.tobytes(), 87
    yield "wordllama, F32", _widened(words).tobytes(), 87
    yield "wordllama, BF16", (_widened(words).view(np.uint32) >> 16).astype(np.uint16).tobytes(), 75


def _widened(weights: np.ndarray[tuple[int], np.dtype[np.float16]]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """As F32, with noise in the 13 bits that F16 does not have."""
    wide = weights.astype(np.float32).view(np.uint32)
    noise = np.random.default_rng(1).integers(0, 1 << 13, len(wide), np.uint32)
    return (wide | noise).view(np.float32)


def _kind(name: str, blocks: list[bytes], most: float) -> bool:
    size = sum(map(len, blocks))
    start = time.process_time()
    frozen = [freeze_block(block) for block in blocks]
    middle = time.process_time()
    for block, (width, planes) in zip(blocks, frozen, strict=True):
        again = thaw_block(b"".join(planes), tuple(map(len, planes)), width, len(block))
        assert again == block
    end = time.process_time()
    plain = sum(len(zstandard.ZstdCompressor(level=LEVEL).compress(block)) for block in blocks)
    after = time.process_time()
    left = 100 * sum(len(plane) for _, planes in frozen for plane in planes) / size
    speeds = [size / 1e6 / each for each in (middle - start, end - middle, after - end)]
    text = f"{left:.1f} %, {speeds[0]:.0f} and {speeds[1]:.0f} MB/s"
    beside = f"<= {most:.0f} %; zstd -3: {100 * plain / size:.1f} %, {speeds[2]:.0f} MB/s"
    return row(f"freeze and thaw {name}", text, beside, left <= most)


def _commands(folder: Path) -> bool:
    """A container of 256 MB of trained weights, there and back, each with all its verifying."""
    model, path = folder / "frozen.gguf", folder / "frozen.llamafile"
    for left in folder.glob("frozen*"):
        left.unlink()
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(model, "llama")
    tensors = [tensor.data for tensor in gguf.GGUFReader(EXHIBIT).tensors if tensor.data.dtype == np.float16]
    size = sum(each.nbytes for each in tensors)
    for number in range(256_000_000 // size):
        for place, each in enumerate(tensors):
            writer.add_tensor(f"t.{number}.{place}", rng.permutation(each, axis=-1))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    lf.pack([model], path, prefix="none", runtime="none", force=True)
    there = timed([*CLI, "freeze", path, "-o", folder / "frozen.one"])
    back = timed([*CLI, "thaw", folder / "frozen.one", "-o", folder / "frozen.again"])
    subprocess.run(["cmp", path, folder / "frozen.again"], check=True)
    memory = peak_kib([*CLI, "thaw", folder / "frozen.one", "-o", folder / "frozen.third"]) / 1024
    text = f"{there:.1f} s, {back:.1f} s, {memory:.0f} MB"
    return row("freeze, thaw a container of 256 MB", text, "<= 300 MB", memory <= 300)
