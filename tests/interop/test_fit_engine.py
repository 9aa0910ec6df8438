"""The engine's own answer about adapters: it refuses those that the check refuses, and takes those that it takes."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from llamafile_format.checks.together import Piece, check_taken, check_together
from llamafile_format.engines.store import find_pin
from llamafile_format.source import FileSource
from llamafile_format.weights.gguf import read_gguf
from tests.runtime_server import EXHIBIT, pack, run

pytestmark = [pytest.mark.slow, pytest.mark.interop]

ENGINE = find_pin("llama.cpp").key
NAME = "blk.0.ffn_down.weight"
FACTORS: dict[str, tuple[int, ...]] = {f"{NAME}.lora_a": (4, 288), f"{NAME}.lora_b": (128, 4)}

CASES: dict[str, tuple[dict[str, tuple[int, ...]], str, str, list[str]]] = {
    "fits": (FACTORS, "llama", "lora", []),
    "fits-with-norm": ({**FACTORS, "blk.0.attn_norm.weight": (128,)}, "llama", "lora", []),
    "architecture": (FACTORS, "qwen3", "lora", ["LF5077"]),
    "missing": (
        {name.replace("blk.0", "blk.99"): shape for name, shape in FACTORS.items()},
        "llama",
        "lora",
        ["LF5078"],
    ),
    "wide": ({f"{NAME}.lora_a": (4, 144), f"{NAME}.lora_b": (128, 4)}, "llama", "lora", ["LF5079"]),
    "turned": ({f"{NAME}.lora_a": (4, 288), f"{NAME}.lora_b": (128, 8)}, "llama", "lora", ["LF5079"]),
    "half": ({f"{NAME}.lora_a": (4, 288)}, "llama", "lora", ["LF3308"]),
    "suffix": ({**FACTORS, f"{NAME}.dora": (4,)}, "llama", "lora", ["LF3308"]),
    "kind": (FACTORS, "llama", "ia3", ["LF3308"]),
}


@pytest.fixture(scope="module")
def exhibit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit, packed."""
    return pack(tmp_path_factory.mktemp("fit") / "exhibit.llamafile")


def write(path: Path, shapes: dict[str, tuple[int, ...]], architecture: str, kind: str) -> Piece:
    """An adapter of zeros at ``path``."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Piece(path.name, "adapter", read_gguf(FileSource(path)))


@pytest.mark.parametrize("case", CASES)
def test_the_engine_agrees(case: str, exhibit: Path, tmp_path: Path) -> None:
    shapes, architecture, kind, rules = CASES[case]
    adapter = write(tmp_path / "adapter.gguf", shapes, architecture, kind)
    model = Piece("model.gguf", "weights", read_gguf(FileSource(EXHIBIT)))
    found = [*check_taken(adapter, [ENGINE]), *check_together([model, adapter], default="model.gguf", runs=True)]
    assert [item.rule for item in found] == rules
    done = run(exhibit, "--complete", "-p", "a", "-n", "1", "-t", "1", "--lora", str(tmp_path / "adapter.gguf"))
    assert (done.returncode == 0) == (not rules), done.stderr[-2000:]
