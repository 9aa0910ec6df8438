"""The llama architecture, as small as it goes, in PyTorch.

Weights are named as a GGUF file names them, so export has nothing to translate.
Rotary pairs are interleaved (0 with 1, 2 with 3): that is the order llama.cpp
rotates for this architecture, so queries and keys need no permutation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes of the model.  Every row length is a multiple of 32, the block of Q8_0."""

    vocab: int = 512
    context: int = 512
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 288
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Norm(nn.Module):
    """Root-mean-square normalisation with a learned scale."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.width))
        self.eps = shape.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def turns(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every rotary angle: [position, pair]."""
    speed = shape.rope_base ** (-torch.arange(0, shape.head_width, 2, dtype=torch.float64) / shape.head_width)
    angle = torch.outer(torch.arange(shape.context, dtype=torch.float64), speed)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of neighbours in a head by the angle of its position."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """One layer: attention with grouped keys and values, then a gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.attn_norm = Norm(shape)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = Norm(shape)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attend(self.attn_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))  # type: ignore[no-any-return]

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads, kv_heads, size = self.shape.heads, self.shape.kv_heads, self.shape.head_width
        q = rotate(self.attn_q(x).view(batch, length, heads, size).transpose(1, 2), cos, sin)
        k = rotate(self.attn_k(x).view(batch, length, kv_heads, size).transpose(1, 2), cos, sin)
        v = self.attn_v(x).view(batch, length, kv_heads, size).transpose(1, 2)
        shared = heads // kv_heads
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_output(seen.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


class Llama(nn.Module):
    """Token ids in, a score for every next token out.  The output matrix is the embedding, used again."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape)
        cos, sin = turns(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Small random weights, smaller still where a layer writes into the residual stream."""
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                writes = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.05 / math.sqrt(2 * self.shape.layers) if writes else 0.05)

    def forward(self, ids: Tensor) -> Tensor:
        cos, sin = self.get_buffer("cos")[: ids.shape[1]], self.get_buffer("sin")[: ids.shape[1]]
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, cos, sin)
        return functional.linear(self.output_norm(x), self.token_embd.weight)

    @torch.inference_mode()
    def continue_greedily(self, ids: Sequence[int], end: int, limit: int) -> list[int]:
        """The likeliest next token, again and again, until `end` or `limit` tokens."""
        grown = list(ids)
        while len(grown) - len(ids) < limit and len(grown) < self.shape.context:
            best = int(self(torch.tensor([grown]))[0, -1].argmax())
            if best == end:
                break
            grown.append(best)
        return grown[len(ids) :]
