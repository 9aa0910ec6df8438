"""Write the exhibit as a folder for MLX: python examples/mlx/export.py examples/exhibit/exhibit-f32.gguf OUT

Three files come out, as the engine's own tools write them: `model.safetensors`, with the weights under the names that
this family of models has there; `config.json`, the numbers of the architecture; `tokenizer.json`, the vocabulary with
the joins that the scores in the GGUF imply. The same GGUF gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

SPACE = "▁"
LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def name_of(tensor: str) -> str:
    """What MLX calls a tensor of a GGUF: `blk.0.attn_q.weight` is `model.layers.0.self_attn.q_proj.weight`."""
    if tensor.startswith("blk."):
        _, layer, part, kind = tensor.split(".")
        return f"model.layers.{layer}.{LAYER[part]}.{kind}"
    part, kind = tensor.split(".")
    return f"{WHOLE[part]}.{kind}"


def safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    """The tensors, float32, in one file: the length of a header, the header in JSON, then the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    at = 0
    for name, numbers in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": list(numbers.shape), "data_offsets": [at, at + numbers.nbytes]}
        at += numbers.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = (numbers.astype("<f4").tobytes() for _, numbers in sorted(tensors.items()))
    return len(text).to_bytes(8, "little") + text + b"".join(data)


def config(read: gguf.GGUFReader, tied: bool) -> dict[str, Any]:
    """The numbers of the architecture. GGUF keeps the rows of Q and K in the traditional order of rotation."""

    def number(key: str) -> Any:
        """The value of a key of the GGUF."""
        return read.fields[f"llama.{key}"].contents()

    heads, width = number("attention.head_count"), number("embedding_length")
    return {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": number("block_count"),
        "intermediate_size": number("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": width // heads,
        "rms_norm_eps": float(np.float32(number("attention.layer_norm_rms_epsilon"))),
        "vocab_size": len(read.fields["tokenizer.ggml.tokens"].contents()),
        "max_position_embeddings": number("context_length"),
        "rope_theta": float(number("rope.freq_base")),
        "rope_traditional": True,
        "tie_word_embeddings": tied,
        "bos_token_id": read.fields["tokenizer.ggml.bos_token_id"].contents(),
        "eos_token_id": read.fields["tokenizer.ggml.eos_token_id"].contents(),
    }


def tokenizer(read: gguf.GGUFReader) -> dict[str, Any]:
    """The vocabulary. A piece of a better score is joined sooner, from any two pieces that make it."""
    tokens = read.fields["tokenizer.ggml.tokens"].contents()
    scores = read.fields["tokenizer.ggml.scores"].contents()
    kinds = read.fields["tokenizer.ggml.token_type"].contents()
    ids = {token: index for index, token in enumerate(tokens)}
    normal = [token for token, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.NORMAL]
    joins = [
        [piece[:cut], piece[cut:]]
        for piece in sorted(normal, key=lambda token: -scores[ids[token]])
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind in (2, 3)]
    begin = tokens[read.fields["tokenizer.ggml.bos_token_id"].contents()]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    one, other = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    first = {"SpecialToken": {"id": begin, "type_id": 0}}
    return {
        "version": "1.0",
        "added_tokens": [{"id": ids[token], "content": token, **flags} for token in special],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, one],
            "pair": [first, one, other],
            "special_tokens": {begin: {"id": begin, "ids": [ids[begin]], "tokens": [begin]}},
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "unk_token": special[0],
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": ids,
            "merges": joins,
        },
    }


def export(source: Path, out: Path) -> None:
    """Write the folder ``out`` for the model at ``source``, a GGUF of the architecture `llama` in float32."""
    read = gguf.GGUFReader(source)
    tensors = {
        name_of(each.name): np.array(each.data, dtype=np.float32).reshape([int(size) for size in reversed(each.shape)])
        for each in read.tensors
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(safetensors(tensors))
    for name, value in (
        ("config.json", config(read, "lm_head.weight" not in tensors)),
        ("tokenizer.json", tokenizer(read)),
    ):
        (out / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
