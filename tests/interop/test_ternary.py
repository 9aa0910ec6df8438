"""Weights of three values, as BitNet has them: types TQ1_0 and TQ2_0 run under llama.cpp, and compute what they say."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

import llamafile_format
from llamafile_format.engines.ask import trace
from llamafile_format.engines.store import unpacked
from llamafile_format.engines.trace import Prompt, Request, Trace
from tests.runtime_server import EXHIBIT, native_build, pack, run

pytestmark = [pytest.mark.slow, pytest.mark.interop]
TYPES = gguf.GGMLQuantizationType
WIDE, LAYERS, HEADS, WORDS = 256, 2, 4, 512  # a block of these types is 256 numbers
REQUEST = Request((Prompt("a", text="This clock", max_tokens=6, top=5),), context=256)


def ternary(path: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """A tiny BitNet that nobody trained: the same weights, -1, 0 and 1 times 2^-4, in every type."""
    chance = np.random.default_rng(2024)
    writer = gguf.GGUFWriter(path, "bitnet")
    writer.add_name("Ternary")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(WORDS)
    for key, field in gguf.GGUFReader(EXHIBIT).fields.items():
        if key.startswith("tokenizer."):
            sub = field.types[1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub)

    def matrix(name: str, rows: int) -> None:
        values = chance.integers(-1, 2, (rows, WIDE)).astype(np.float32) / 16
        packed = gguf.quants.quantize(values, kind)
        assert np.array_equal(gguf.quants.dequantize(packed, kind), values)  # nothing is lost
        writer.add_tensor(name, packed, raw_dtype=kind)

    writer.add_tensor("token_embd.weight", chance.standard_normal((WORDS, WIDE)).astype(np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDE, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            matrix(f"blk.{layer}.{name}.weight", WIDE)
    writer.add_tensor("output_norm.weight", np.ones(WIDE, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def traced(file: Path) -> Trace:
    """What the native build computes of ``file``."""
    return trace(unpacked(*native_build()), file, REQUEST)


def values(answer: Trace, step: int) -> dict[int, float]:
    """The highest logits of a step, by token."""
    return {token: struct.unpack("<f", struct.pack("<I", bits))[0] for token, bits in answer.prompts[0].steps[step].top}


def test_both_types_run_and_agree_with_the_numbers_they_stand_for(tmp_path: Path) -> None:
    answers = {}
    for kind in (TYPES.F32, TYPES.TQ1_0, TYPES.TQ2_0):
        file = pack(tmp_path / f"{kind.name}.llamafile", ternary(tmp_path / f"{kind.name}.gguf", kind))
        assert not {finding.rule for finding in llamafile_format.verify(file).findings} & {"LF3301", "LF3302", "LF5043"}
        assert run(file, "--complete", "-p", "This clock", "-n", "6").returncode == 0
        answers[kind] = traced(file)
    exact, *others = answers.values()
    for other in others:
        assert other.prompts[0].generated[:1] == exact.prompts[0].generated[:1]
        near, wanted = values(other, 0), values(exact, 0)
        assert len(near.keys() & wanted.keys()) >= 3
        for token in near.keys() & wanted.keys():
            assert near[token] == pytest.approx(wanted[token], rel=0.05)
    assert answers[TYPES.TQ1_0].prompts[0].generated == answers[TYPES.TQ2_0].prompts[0].generated
