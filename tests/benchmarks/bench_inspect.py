"""``inspect`` of a container with a large vocabulary, against ``gguf-dump`` on the same GGUF.

The vocabulary of 262,144 tokens comes with the source distribution of llama-cpp-python; name its file in
``LFF_BENCH_VOCABULARY``. Without it a GGUF of the same shape is made (262,144 tokens, 514,906 merges).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import llamafile_format
from tests.benchmarks.measure import CLI, in_turns, peak_kib, row, timed

TOKENS, MERGES = 262_144, 514_906


def vocabulary(folder: Path) -> Path:
    """The GGUF to measure with."""
    if path := os.environ.get("LFF_BENCH_VOCABULARY"):
        return Path(path)
    made = folder / "vocabulary.gguf"
    if not made.exists():
        import gguf

        writer = gguf.GGUFWriter(str(made), "gemma4")
        writer.add_tokenizer_model("gemma4")
        tokens = [f"▁piece{index:x}"[: 3 + index % 14].encode() + str(index).encode() for index in range(TOKENS)]
        writer.add_token_list(tokens)
        writer.add_token_scores([float(-index) for index in range(TOKENS)])
        writer.add_token_types([1] * TOKENS)
        writer.add_token_merges([f"a{index:x} b{index % 977:x}" for index in range(MERGES)])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return made


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    source = vocabulary(folder)
    packed = folder / "vocabulary.llamafile"
    llamafile_format.pack([source], packed, prefix="none", force=True)
    dump = Path(sys.executable).with_name("gguf-dump")
    (slow,) = in_turns(1, lambda: timed([dump, source]))
    (fast,) = in_turns(9, lambda: timed([*CLI, "inspect", packed]))
    peak = peak_kib([*CLI, "inspect", packed])
    name = f"inspect, {source.stat().st_size / 1e6:.1f} MB vocabulary"
    first = row(
        f"{name} vs gguf-dump", f"{slow:.2f} s / {fast:.3f} s = {slow / fast:.0f} x", ">= 100 x", slow / fast >= 100
    )
    return row(f"{name}, peak", f"{peak / 1024:.0f} MB", "<= 60 MB", peak <= 60 * 1024) and first
