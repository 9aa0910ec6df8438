"""A model of real size that knows nothing: Llama's shape, random eight-bit weights, the exhibit's vocabulary.

    python -m tests.benchmarks.random_model OUT.gguf [--layers 14]

Fourteen layers make 100 million parameters, 106 MB. The same layers give the same bytes. It speaks gibberish for ever,
at the speed of a model that does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

EXHIBIT = Path(__file__).resolve().parents[2] / "examples" / "exhibit" / "exhibit-f16.gguf"
WIDTH, FEED_FORWARD, HEADS = 768, 2048, 12
BLOCK = 32  # weights of Q8_0 that share a scale
SPREAD = 0.02  # standard deviation of the weights
KEPT = "tokenizer."  # keys that come from the exhibit


def matrix(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """Random weights as Q8_0 stores them: for each 32 a half-precision scale and 32 signed bytes."""
    blocks = np.empty((rows, columns // BLOCK, 2 + BLOCK), np.uint8)
    blocks[..., :2] = np.frombuffer(np.float16(SPREAD / 73).tobytes(), np.uint8)  # bytes alike likely spread by 73
    blocks[..., 2:] = rng.integers(0, 256, (rows, columns // BLOCK, BLOCK), np.uint8)
    return blocks.reshape(rows, -1)


def tensors(layers: int, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes, rows first."""
    yield "token_embd.weight", (vocabulary, WIDTH)
    for layer in range(layers):
        yield f"blk.{layer}.attn_norm.weight", (WIDTH,)
        for part in ("q", "k", "v", "output"):
            yield f"blk.{layer}.attn_{part}.weight", (WIDTH, WIDTH)
        yield f"blk.{layer}.ffn_norm.weight", (WIDTH,)
        yield f"blk.{layer}.ffn_gate.weight", (FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_up.weight", (FEED_FORWARD, WIDTH)
        yield f"blk.{layer}.ffn_down.weight", (WIDTH, FEED_FORWARD)
    yield "output_norm.weight", (WIDTH,)
    yield "output.weight", (vocabulary, WIDTH)


def write(path: Path, layers: int = 14, context: int = 4096) -> int:
    """Write the model; how many parameters it has."""
    rng = np.random.default_rng(layers)
    writer = gguf.GGUFWriter(path, "llama")
    exhibit = gguf.GGUFReader(EXHIBIT)
    for name, field in exhibit.fields.items():
        if name.startswith(KEPT):
            kind = field.types[0]
            writer.add_key_value(name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    vocabulary = len(exhibit.fields["tokenizer.ggml.tokens"].contents())
    writer.add_name("Noise")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    parameters = 0
    for name, shape in tensors(layers, vocabulary):
        parameters += int(np.prod(shape))
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, np.float32))
        else:
            writer.add_tensor(name, matrix(rng, *shape), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return parameters


def main() -> None:
    """Write one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=14)
    options = parser.parse_args()
    parameters = write(options.out, options.layers)
    print(f"{options.out}: {parameters:,} parameters, {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
