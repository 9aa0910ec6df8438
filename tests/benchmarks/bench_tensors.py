"""Every block of every tensor looked at, in the pass that hashes, against the pass without (spec/1, 7.14.1)."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

import llamafile_format as lf
from llamafile_format.checks.tensors import TensorsAsked
from llamafile_format.packing.assemble import Content, Labels, PrefixContent
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.pack import write_container
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource, FileSource
from llamafile_format.weights.tensor_types import MAINLINE, type_table
from spec.vectors.generate.gguf_builder import V3, model_entries
from tests.benchmarks.measure import in_turns, row

SIZE = 256 << 20
USUAL = ("Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
OTHERS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "IQ4_XS", "IQ2_XXS", "TQ2_0", "MXFP4", "F16", "BF16", "F32")
USUAL_SIZE = bytes(byte & 0xBF for byte in range(256))
"""Makes scales and numbers of any bytes: with it all are below 2 in size, as those of weights are."""


def container(folder: Path, name: str) -> Path:
    """A model of one tensor of type ``name``, of some ``SIZE`` bytes that do not repeat within a mebibyte."""
    rows = (each for known in type_table().values() for each in known)
    kind = next(each for each in rows if each.numbering == MAINLINE and each.name == name)
    assert kind.block_bytes is not None
    count = SIZE // kind.block_bytes // 64 * 64
    tile = random.Random(name).randbytes(1 << 20).translate(USUAL_SIZE)
    size = count * kind.block_bytes
    head = V3.build(model_entries(), [V3.tensor("a.weight", (kind.elements * 64, count // 64), kind.id, 0)], b"")
    data = folder / "tensors.gguf"
    with data.open("wb") as file:
        file.write(head)
        for at in range(0, size, len(tile)):
            file.write(tile[: size - at])
        file.write(bytes(-size % 32))
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
        Content("tensors.gguf", "weights", "application/x-gguf", FileSource(data), 65536),
    ]
    out = folder / "tensors.llamafile"
    out.unlink(missing_ok=True)
    write_container(out, PrefixContent("none", BytesSource(b"")), contents, Labels(default="tensors.gguf"))
    return out


def taken(path: Path, asked: TensorsAsked) -> float:
    """Seconds of one verification at level full."""
    start = time.perf_counter()
    assert lf.verify(path, tensors=asked).complete
    return time.perf_counter() - start


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    good = True
    for names, wanted in ((USUAL, 0.6), (OTHERS, 0.4)):
        for name in names:
            path = container(folder, name)
            asked = (TensorsAsked(budget=0), TensorsAsked(all=True))
            without, whole = in_turns(3, *(partial(taken, path, each) for each in asked))
            told = f"{without:.2f} / {whole:.2f} s = {without / whole:.2f} x"
            good = row(f"all blocks of {name} looked at", told, f">= {wanted} x", without / whole >= wanted) and good
    return good
