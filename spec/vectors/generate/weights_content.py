"""Vectors of chapter 7: what the metadata of a GGUF says (7.8)."""

from __future__ import annotations

from spec.vectors.generate.gguf_builder import (
    F32,
    I32,
    STRING,
    U8,
    U16,
    U32,
    V3,
    model,
    model_entries,
    register,
    register_good,
    tensors_of,
    vocabulary,
)

CHAPTER = "weights"
ROWS, DATA = tensors_of()


def keys(*entries: bytes) -> bytes:
    """A GGUF of two tensors with only ``entries``."""
    return V3.build(entries, ROWS, DATA)


def arch(name: str, kind: int, value: object) -> bytes:
    """A llama key."""
    return V3.entry(f"llama.{name}", kind, value)


def projector(image: int, patch: int) -> bytes:
    """A projector with these sizes in pixels."""
    return keys(
        V3.entry("general.architecture", STRING, "clip"),
        V3.entry("clip.projector_type", STRING, "mlp"),
        V3.entry("clip.vision.image_size", U32, image),
        V3.entry("clip.vision.patch_size", U32, patch),
    )


def adapter(second: str) -> bytes:
    """A LoRA adapter of one pair, the second factor named ``second``."""
    entries = [
        V3.entry("general.architecture", STRING, "llama"),
        V3.entry("general.type", STRING, "adapter"),
        V3.entry("adapter.type", STRING, "lora"),
        V3.entry("adapter.lora.alpha", F32, 16.0),
    ]
    rows = [V3.tensor("blk.0.attn_q.weight.lora_a", (8, 2), 0, 0), V3.tensor(second, (2, 8), 0, 64)]
    return V3.build(entries, rows, bytes(128))


def split(number: int, count: int, tensors: int) -> list[bytes]:
    """The three split keys."""
    return [
        V3.entry("split.no", U16, number),
        V3.entry("split.count", U16, count),
        V3.entry("split.tensors.count", I32, tensors),
    ]


def tokens(*changed: bytes, drop: int | None = None) -> bytes:
    """A model with the small vocabulary; entry ``drop`` of it is left out and ``changed`` added."""
    kept = [entry for index, entry in enumerate(vocabulary()) if index != drop]
    return model(*kept, *changed)


register(
    [
        (
            "architecture-missing",
            "LF5054",
            "No general.architecture.",
            lambda: keys(V3.entry("general.name", STRING, "x")),
        ),
        ("architecture-number", "LF5055", "A number.", lambda: keys(V3.entry("general.architecture", U32, 1))),
        ("architecture-empty", "LF5055", "Empty.", lambda: keys(V3.entry("general.architecture", STRING, ""))),
        ("architecture-path", "LF5055", "A path.", lambda: keys(V3.entry("general.architecture", STRING, "../x"))),
        (
            "block-count-string",
            "LF5056",
            "The block count is a string.",
            lambda: model(arch("block_count", STRING, "2"), block_count=None),
        ),
        (
            "head-count-float",
            "LF5056",
            "The head count is a floating point number.",
            lambda: model(arch("attention.head_count", F32, 4.0), attention__head_count=None),
        ),
        ("name-number", "LF5056", "The name is a number.", lambda: model(V3.entry("general.name", U8, 1))),
        ("block-count-0", "LF5057", "No blocks.", lambda: model(block_count=0)),
        ("block-count-513", "LF5057", "513 blocks.", lambda: model(block_count=513)),
        ("block-count-2-31", "LF5057", "2^31 blocks.", lambda: model(block_count=1 << 31)),
        (
            "posnet-blocks",
            "LF5058",
            "More posnet blocks than blocks.",
            lambda: model(arch("posnet.block_count", U32, 3)),
        ),
        ("convnext-blocks", "LF5058", "More convnext blocks.", lambda: model(arch("convnext.block_count", U32, 3))),
        ("context-0", "LF5059", "A context of 0.", lambda: model(context_length=0)),
        ("embedding-2-31", "LF5059", "An embedding of 2^31.", lambda: model(embedding_length=1 << 31)),
        ("kv-heads-3", "LF5060", "3 key-value heads for 4 heads.", lambda: model(attention__head_count_kv=3)),
        (
            "heads-5",
            "LF5061",
            "5 heads for 32 numbers.",
            lambda: model(attention__head_count=5, attention__head_count_kv=5),
        ),
        (
            "per-layer-short",
            "LF5062",
            "One feed-forward length for two blocks, as an array.",
            lambda: model(V3.array("llama.feed_forward_length", I32, [64])),
        ),
        (
            "tokens-numbers",
            "LF5063",
            "Tokens are numbers.",
            lambda: tokens(V3.array("tokenizer.ggml.tokens", U32, [1] * 6), drop=1),
        ),
        (
            "scores-short",
            "LF5064",
            "Five scores for six tokens.",
            lambda: tokens(V3.array("tokenizer.ggml.scores", F32, [0.0] * 5), drop=2),
        ),
        (
            "token-types-long",
            "LF5064",
            "Seven token types for six tokens.",
            lambda: tokens(V3.array("tokenizer.ggml.token_type", I32, [1] * 7), drop=3),
        ),
        (
            "token-types-narrow",
            "LF5065",
            "Token types of one byte.",
            lambda: tokens(V3.array("tokenizer.ggml.token_type", U8, [1] * 6), drop=3),
        ),
        (
            "merges-numbers",
            "LF5065",
            "Merges are numbers.",
            lambda: tokens(V3.array("tokenizer.ggml.merges", U32, [1])),
        ),
        (
            "byte-token-negative",
            "LF5068",
            "The byte token <0x-1>.",
            lambda: model(*vocabulary(["<unk>", "<0x-1>"], [2, 6], "plamo2")),
        ),
        ("byte-token-long", "LF5068", "<0x100>.", lambda: model(*vocabulary(["<unk>", "<0x100>"], [2, 6]))),
        ("patch-0", "LF5069", "A patch of 0 pixels.", lambda: projector(224, 0)),
        ("patch-small", "LF5069", "1025 patches a side.", lambda: projector(1025, 1)),
        ("split-number-high", "LF5070", "Shard 2 of 2, counted from 0.", lambda: model(*split(2, 2, 4))),
        ("split-too-few-tensors", "LF5070", "One tensor in all shards, two here.", lambda: model(*split(0, 2, 1))),
        (
            "experts-used",
            "LF5071",
            "Nine of eight experts.",
            lambda: model(arch("expert_count", U32, 8), arch("expert_used_count", U32, 9)),
        ),
    ]
)

register_good(
    [
        (
            "good-vocabulary",
            "",
            "LF5063 LF5064 LF5065 LF5066 LF5067 LF5068",
            "A model with a vocabulary whose arrays agree.",
            lambda: tokens(
                V3.array("tokenizer.ggml.merges", STRING, ["h e"]),
                V3.entry("tokenizer.ggml.bos_token_id", U32, 5),
                V3.entry("tokenizer.ggml.eos_token_id", U32, 0),
            ),
        ),
        (
            "special-id-none",
            "LF5067",
            "LF5066",
            "The padding token is 4294967295, which means none.",
            lambda: tokens(V3.entry("tokenizer.ggml.padding_token_id", U32, 0xFFFFFFFF)),
        ),
        (
            "special-id-outside",
            "LF5066",
            "LF5067",
            "The first token is 6 of 6, counted from 0.",
            lambda: tokens(V3.entry("tokenizer.ggml.bos_token_id", U32, 6)),
        ),
        (
            "good-largest-sizes",
            "",
            "LF5057 LF5059 LF5060 LF5061 LF5071",
            "512 blocks, a context of 2^31-1, as many key-value heads as heads, all experts used.",
            lambda: model(
                arch("expert_count", U32, 8),
                arch("expert_used_count", U32, 8),
                block_count=512,
                context_length=(1 << 31) - 1,
                attention__head_count_kv=4,
            ),
        ),
        (
            "good-per-layer",
            "",
            "LF5056 LF5060 LF5062",
            "Heads given for each layer; one layer without attention.",
            lambda: model(
                V3.array("llama.attention.head_count", I32, [4, 8]),
                V3.array("llama.attention.head_count_kv", I32, [0, 8]),
                attention__head_count=None,
                attention__head_count_kv=None,
            ),
        ),
        (
            "good-key-length",
            "",
            "LF5061",
            "Heads that do not divide the embedding, with a key length of their own.",
            lambda: model(arch("attention.key_length", U32, 16), attention__head_count=5, attention__head_count_kv=5),
        ),
        (
            "good-parts",
            "",
            "LF5058",
            "As many posnet and convnext blocks as blocks.",
            lambda: model(arch("posnet.block_count", U32, 2), arch("convnext.block_count", U32, 2)),
        ),
        (
            "good-architecture-names",
            "",
            "LF5054 LF5055",
            "An architecture with a hyphen and digits.",
            lambda: keys(V3.entry("general.architecture", STRING, "falcon-h1")),
        ),
        ("good-projector", "", "LF5069", "1024 patches a side.", lambda: projector(1024, 1)),
        ("good-adapter", "", "LF5072", "A whole pair.", lambda: adapter("blk.0.attn_q.weight.lora_b")),
        ("adapter-half", "LF5072", "LF5037", "Half of a pair.", lambda: adapter("blk.0.attn_k.weight")),
        ("good-split-first", "", "LF5070", "First of two shards.", lambda: model(*split(0, 2, 4))),
        (
            "good-split-second",
            "",
            "LF5054 LF5070",
            "Second of two shards: split keys only.",
            lambda: keys(*split(1, 2, 4)),
        ),
        (
            "good-order-of-keys",
            "",
            "LF5054",
            "The architecture is the last key.",
            lambda: V3.build([*vocabulary(), *model_entries()[::-1]], ROWS, DATA),
        ),
    ]
)
