"""Check a GGUF's vocabulary: lengths, types and ids that agree (spec/1, 7.8.4)."""

from __future__ import annotations

import re

from llamafile_format.checks.weights_content import Notes
from llamafile_format.findings import Finding
from llamafile_format.limits import GGUF_BYTE_TOKENS
from llamafile_format.weights.gguf_keys import TOKENS
from llamafile_format.weights.gguf_model import ArrayValue, Gguf, ValueType, decode_text
from llamafile_format.weights.gguf_strings import unclean_strings

PARALLEL = {
    "tokenizer.ggml.scores": frozenset({ValueType.FLOAT32}),
    "tokenizer.ggml.token_type": frozenset({ValueType.INT32, ValueType.UINT32}),
}
BYTE_TOKEN = re.compile(rb"<0x[0-9A-Fa-f]{2}>\Z")
BYTE_TYPE = 6
"""``token_type`` of a token that stands for one byte."""

BYTE_MODELS = {"llama", "plamo2", "t5", "gemma4"}
"""Tokenizer models whose byte tokens are parsed as ``<0xNN>``."""

WRONG_COUNTED = 1000
"""Strings at fault after which an array's count ends (with its window)."""

NO_TOKEN = (0xFFFFFFFF, -1)
"""Ids by which writers say that there is no such token."""


def check_tokenizer(gguf: Gguf, base: int, member: str, *, deep: bool) -> list[Finding]:
    """Findings about the ``tokenizer.ggml.`` entries that were read; ``deep`` reads the strings too."""
    notes = Notes(gguf, base, member)
    entry = gguf.entries.get(TOKENS)
    tokens = gguf.array(TOKENS)
    if entry is not None and (tokens is None or tokens.element_type is not ValueType.STRING):
        notes.add("LF5063", TOKENS, found=entry.type.name if tokens is None else f"array of {tokens.element_type.name}")
        tokens = None
    _parallel_arrays(notes, tokens)
    if tokens is not None:
        _special_ids(notes, tokens.count)
    if deep:
        for key, entry in gguf.entries.items():
            if isinstance(entry.value, ArrayValue) and entry.value.element_type is ValueType.STRING:
                _strings(notes, key, entry.value)
    if deep and tokens is not None:
        _byte_tokens(notes, tokens)
    return notes.findings


def _parallel_arrays(notes: Notes, tokens: ArrayValue | None) -> None:
    """Scores and token types: as many as tokens, and as wide as engines read them."""
    for key, allowed in {**PARALLEL, "tokenizer.ggml.merges": frozenset({ValueType.STRING})}.items():
        entry = notes.gguf.entries.get(key)
        if entry is None:
            continue
        array = notes.gguf.array(key)
        if array is None or array.element_type not in allowed:
            found = entry.type.name if array is None else f"array of {array.element_type.name}"
            notes.add("LF5065", key, found=found, wanted=" or ".join(sorted(kind.name for kind in allowed)))
        elif key in PARALLEL and tokens is not None and array.count != tokens.count:
            notes.add("LF5064", key, found=array.count, tokens=tokens.count)


def _special_ids(notes: Notes, count: int) -> None:
    """Ids of special tokens lie inside the vocabulary, or say plainly that there is no such token."""
    for key in notes.gguf.entries:
        number = notes.gguf.integer(key) if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") else None
        if number is None or 0 <= number < count:
            continue
        if number in NO_TOKEN:
            notes.add("LF5067", key, found=number)
        else:
            notes.add("LF5066", key, found=number, tokens=count)


def _strings(notes: Notes, key: str, array: ArrayValue) -> None:
    """LF5028: elements that are not UTF-8 or hold a NUL; one finding an array, with how many (of a thousand or so)."""
    wrong, first = unclean_strings(array, WRONG_COUNTED)
    if wrong:
        notes.add("LF5028", key, found=wrong, first=first)


def _byte_tokens(notes: Notes, tokens: ArrayValue) -> None:
    """LF5068: a token of type BYTE is ``<0xNN>``; engines parse the two digits into an index."""
    types = notes.gguf.array("tokenizer.ggml.token_type")
    model = notes.gguf.text("tokenizer.ggml.model", 64)
    if model not in BYTE_MODELS or types is None or types.count != tokens.count:
        return
    if types.element_type not in PARALLEL["tokenizer.ggml.token_type"]:
        return
    count = types.count_of(BYTE_TYPE)
    if count > GGUF_BYTE_TOKENS:
        notes.add("LF5073", TOKENS, what="byte tokens", found=count, limit=GGUF_BYTE_TOKENS)
    elif count:
        for index, (token, kind) in enumerate(zip(tokens.strings(longest=64), types, strict=True)):
            if kind == BYTE_TYPE and not BYTE_TOKEN.match(token):
                notes.add("LF5068", TOKENS, token=decode_text(token), index=index)
