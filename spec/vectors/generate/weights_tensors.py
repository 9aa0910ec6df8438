"""Vectors of chapter 7: the numbers of tensors, and which of them are there (7.14)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from spec.vectors.generate.gguf_builder import V3, model_entries, register, register_good

CHAPTER = "weights"
F32, F16, Q4_0, Q8_0, Q6_K, IQ1_M, BF16, MXFP4 = 0, 1, 2, 8, 14, 29, 30, 39


def one(kind: int, dims: Sequence[int], data: bytes) -> Callable[[], bytes]:
    """Makes a model of one tensor."""
    return lambda: V3.build(model_entries(), [V3.tensor("a.weight", dims, kind, 0)], data + bytes(-len(data) % 32))


def numbers(count: int) -> list[float]:
    """Numbers of which no two are the same."""
    return [1 + number / count for number in range(count)]


def f32(values: Sequence[float]) -> bytes:
    """As binary32."""
    return struct.pack(f"<{len(values)}f", *values)


def block(scale: float | bytes, size: int, at: int = 0, fill: int = 0x88) -> bytes:
    """A block of ``size`` bytes with ``scale`` in binary16, or as it is, at ``at``."""
    raw = scale if isinstance(scale, bytes) else struct.pack("<e", scale)
    return bytes([fill]) * at + raw + bytes([fill]) * (size - at - len(raw))


INF, NAN = float("inf"), float("nan")
GOOD_Q8 = block(0.01, 34)


def shaped(**sizes: tuple[int, int]) -> Callable[[], bytes]:
    """Makes a model whose matrices have ``sizes``; ``embedding_length`` is 8, ``feed_forward_length`` 16."""
    names = {"embd": "token_embd.weight", **{part: f"blk.0.ffn_{part}.weight" for part in ("gate", "up", "down")}}
    rows, at = [], 0
    for part, dims in {"embd": (8, 4), "gate": (8, 16), "up": (8, 16), "down": (16, 8), **sizes}.items():
        rows.append(V3.tensor(names[part], dims, F32, at))
        at += 4 * dims[0] * dims[1]
    rows.append(V3.tensor("output_norm.weight", (8,), F32, at))
    entries = model_entries(embedding_length=8, feed_forward_length=16, block_count=1)
    return lambda: V3.build(entries, rows, f32(numbers(at // 4 + 8)))


def blocks(*names: str, architecture: str = "llama") -> Callable[[], bytes]:
    """Makes a model of two blocks with the tensors ``names``, 8 numbers each."""
    rows = [V3.tensor(name, (8,), F32, 32 * index) for index, name in enumerate(names)]
    return lambda: V3.build(model_entries(architecture=architecture), rows, f32(numbers(8 * len(names))))


WHOLE = ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.attn_q.weight", "output_norm.weight")

register(
    [
        ("f32-nan", "LF5090", "The last of 64 numbers is NaN.", one(F32, (64,), f32([*numbers(63), NAN]))),
        ("f16-infinite", "LF5090", "One number is infinite.", one(F16, (16,), struct.pack("<16e", *[0.5] * 15, -INF))),
        ("bf16-nan", "LF5090", "A number in bfloat16 is NaN.", one(BF16, (16,), b"\x80\x3f" * 15 + b"\xc0\x7f")),
        (
            "q8-0-scale-nan",
            "LF5090",
            "The scale of the second block is NaN.",
            one(Q8_0, (64,), GOOD_Q8 + block(NAN, 34)),
        ),
        ("q6-k-scale-infinite", "LF5090", "An infinite scale.", one(Q6_K, (256,), block(INF, 210, 208))),
        (
            "iq1-m-scale-infinite",
            "LF5090",
            "An infinite scale, in nibbles.",
            one(IQ1_M, (256,), bytes(52) + b"\x00\xc0\x00\x70"),
        ),
        ("mxfp4-scale-nan", "LF5090", "A power that is NaN.", one(MXFP4, (32,), b"\xff" + bytes(16))),
        ("block-missing", "LF5095", "Nothing of block 1.", blocks(WHOLE[0], WHOLE[1], WHOLE[3])),
        ("embedding-too-wide", "LF5120", "The embedding is 16 wide, and 8 were said.", shaped(embd=(16, 4))),
        ("feed-forward-too-wide", "LF5120", "One matrix has 32 rows, and 16 were said.", shaped(up=(8, 32))),
        ("norm-missing", "LF5095", "No norm behind the last block.", blocks(*WHOLE[:3])),
    ]
)

register(
    [
        ("type-without-scales", "LF5043 LF5094", "A fork's type.", one(134, (64,), bytes(15))),
        ("zero", "LF5091", "4096 zeros in 64 rows.", one(F32, (64, 64), bytes(16384))),
        ("zero-by-scales", "LF5091", "All scales are 0, and no nibble is.", one(Q4_0, (64, 64), block(0.0, 18) * 128)),
        ("constant", "LF5092", "4096 times the same number.", one(F32, (64, 64), f32([0.25] * 4096))),
        ("scale-1024", "LF5093", "A scale of 1024.", one(Q8_0, (32,), block(-1024.0, 34))),
        ("block-of-no-model", "LF5096", "Block 2 of two, counted from 0.", blocks(*WHOLE, "blk.2.attn_q.weight")),
    ],
    valid="yes",
    zipped=["zero", "zero-by-scales", "constant"],
)

register_good(
    [
        (
            "good-numbers",
            "",
            "LF5090 LF5091 LF5092 LF5094",
            "The largest numbers there are, and one that differs among 4096.",
            one(F32, (64, 64), f32([*[3.4e38] * 4095, -3.4e38])),
        ),
        (
            "good-zeros-few",
            "",
            "LF5091 LF5092",
            "Zeros of one dimension, as a bias may be.",
            one(F32, (4096,), bytes(16384)),
        ),
        (
            "good-scales",
            "",
            "LF5090 LF5091 LF5093",
            "A scale just below 1024, and one of 0.",
            one(Q8_0, (64,), block(1023.0, 34) + block(0.0, 34)),
        ),
        ("good-blocks", "", "LF5095 LF5096", "Two blocks alike, embedding and norm.", blocks(*WHOLE)),
        ("good-shapes", "", "LF5120", "Matrices as wide as is said.", shaped()),
        (
            "good-blocks-of-another-kind",
            "",
            "LF5095",
            "Blocks that differ, of an architecture where they may.",
            blocks("blk.0.ssm_in.weight", "blk.1.attn_q.weight", architecture="jamba"),
        ),
    ],
    zipped=["good-numbers", "good-zeros-few"],
)
