"""How much memory a model needs to run, by a formula that is printed with the figure (spec/1, 7.10).

The estimate is arithmetic on what the GGUF says, not a measurement. Where a fact is missing it gives a reason in
place of a number; what the formula leaves out stands in ``notes``.
"""

from __future__ import annotations

from typing import NamedTuple

from llamafile_format.weights.facts import ModelFacts, describe, per_layer
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.purpose import GgufKind

CONTEXTS = (4096, 32_768)
BATCH = 512
"""Tokens an engine evaluates at once by default."""

CACHE_BYTES = 2
"""Bytes of one cached number (F16)."""

FORMULA = (
    "weights + KV cache + scratch; "
    "KV cache = context x sum over layers of KV heads x (key length + value length) x 2 bytes (F16); "
    "scratch = 512 tokens x (vocabulary + 4 x embedding + 3 x feed-forward) x 4 bytes"
)


class ContextMemory(NamedTuple):
    """Bytes needed at a context of ``context`` tokens: ``cache`` for keys and values, ``total`` with everything."""

    context: int
    cache: int
    total: int


class MemoryEstimate(NamedTuple):
    """All figures in bytes. ``rows`` is empty and ``reason`` says why where no estimate can be made."""

    weights: int
    scratch: int | None
    rows: tuple[ContextMemory, ...]
    formula: str = FORMULA
    notes: tuple[str, ...] = ()
    reason: str = ""


def estimate_memory(gguf: Gguf, facts: ModelFacts | None = None) -> MemoryEstimate:
    """The estimate at 4k, 32k and the full context (no longer than the model's own)."""
    facts = facts or describe(gguf)
    weights = facts.tensor_bytes
    if facts.kind is not GgufKind.MODEL:
        return MemoryEstimate(
            weights, None, (), reason=f"this file is a {facts.kind.value}, not a whole language model"
        )
    notes: list[str] = []
    per_token = _cache_per_token(gguf, facts, notes)
    if isinstance(per_token, str):
        return MemoryEstimate(weights, None, (), notes=tuple(notes), reason=per_token)
    full = facts.context_length
    if not full:
        return MemoryEstimate(weights, None, (), notes=tuple(notes), reason="the context length is missing")
    if facts.vocabulary is None or facts.embedding is None:
        return MemoryEstimate(weights, None, (), notes=tuple(notes), reason="vocabulary or embedding size is missing")
    widest = max(facts.feed_forward, default=0)
    scratch = BATCH * (facts.vocabulary + 4 * facts.embedding + 3 * widest) * 4
    contexts = sorted({*(context for context in CONTEXTS if context < full), full})
    rows = tuple(ContextMemory(c, c * per_token, weights + c * per_token + scratch) for c in contexts)
    return MemoryEstimate(weights, scratch, rows, notes=tuple(notes))


def _cache_per_token(gguf: Gguf, facts: ModelFacts, notes: list[str]) -> int | str:
    """Bytes that one token adds to the KV cache, or the reason why that is not known."""
    arch, layers = facts.architecture, facts.layers
    causal = gguf.entries.get(f"{arch}.attention.causal")
    if causal is not None and causal.value is False:
        notes.append("an encoder keeps no KV cache")
        return 0
    recurrent = any(key.startswith((f"{arch}.ssm.", f"{arch}.wkv.")) for key in gguf.entries)
    heads = facts.kv_heads or facts.heads
    if recurrent and len(heads) < 2:
        return "recurrent layers keep a state of fixed size that this formula does not model"
    if not layers or not heads:
        return "number of layers or attention heads is missing"
    if recurrent:
        notes.append("the state of recurrent layers is not modelled")
    if len(heads) == 1:
        heads = heads * min(layers, 4096)
    elif len(heads) != layers:
        return "the number of per-layer head counts is not the number of layers"
    shared = min(gguf.integer(f"{arch}.attention.shared_kv_layers") or 0, layers)
    if shared:
        notes.append(f"the last {shared} layers share the cache of earlier ones")
    lengths = _lengths(gguf, facts, notes)
    if lengths is None:
        return "key length is missing and cannot be derived"
    if facts.sliding_window:
        notes.append(f"sliding window of {facts.sliding_window} tokens is not modelled: the real need is lower")
    return sum(heads[: layers - shared]) * sum(lengths) * CACHE_BYTES


def _lengths(gguf: Gguf, facts: ModelFacts, notes: list[str]) -> tuple[int, int] | None:
    """Numbers that one head caches for one token: key and value."""
    arch = facts.architecture
    key = gguf.integer(f"{arch}.attention.key_length")
    value = gguf.integer(f"{arch}.attention.value_length")
    if key is None or value is None:
        most = max(per_layer(gguf, f"{arch}.attention.head_count"), default=0)
        if not most or not facts.embedding:
            return None
        key = facts.embedding // most if key is None else key
        value = facts.embedding // most if value is None else value
    if gguf.integer(f"{arch}.attention.key_length_mla"):
        notes.append("latent attention caches keys only")
        value = 0
    return key, value
