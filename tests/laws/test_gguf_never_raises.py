"""Law: whatever the bytes, reading a GGUF gives a result, with its places inside the file, in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.checks.weights import check_gguf
from llamafile_format.rules import rule
from llamafile_format.source import BytesSource
from llamafile_format.weights.facts import describe, recognise_role
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.memory import estimate_memory
from spec.vectors.generate.gguf_builder import F32, I32, STRING, V1, V3, model, tensors_of, vocabulary
from spec.vectors.generate.load import read_vector, vector_files

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"
MEMORY_MAX = 10_000_000
PER_RECORD = 700
"""Bytes of memory allowed for each key and tensor that is kept."""

SMALL = model(*vocabulary(), V3.array("x.y", I32, [1, 2]), V3.entry("tokenizer.chat_template", STRING, "{{ 1 }}"))


def examine(data: bytes) -> Gguf:
    """Read, check, describe and estimate; every finding renders and lies inside the file."""
    gguf, findings = check_gguf(BytesSource(data), deep=True)
    for finding in findings:
        assert rule(finding.rule).render(finding)
        assert finding.where.offset is None or 0 <= finding.where.offset <= len(data)
    facts = describe(gguf)
    estimate_memory(gguf, facts)
    recognise_role(gguf)
    assert gguf.complete or findings
    return gguf


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    examine(data)


@given(st.binary(max_size=400), st.sampled_from([1, 2, 3]), st.sampled_from(["little", "big"]))
def test_arbitrary_bytes_behind_a_header(data: bytes, version: int, order: str) -> None:
    examine(b"GGUF" + version.to_bytes(4, "little" if order == "little" else "big") + data)


def test_truncation_at_every_byte() -> None:
    whole = examine(SMALL)
    assert whole.complete
    assert not whole.findings
    for length in range(len(SMALL)):
        gguf, findings = check_gguf(BytesSource(SMALL[:length]))
        assert findings, f"nothing found in the first {length} bytes"
        assert len(gguf.entries) <= len(whole.entries)


def test_flip_of_every_bit_never_raises() -> None:
    for index in range(len(SMALL)):
        for bit in range(8):
            changed = bytearray(SMALL)
            changed[index] ^= 1 << bit
            examine(bytes(changed))


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=300)
def test_several_bytes_changed(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(SMALL)
    for index, value in changes:
        changed[index] = value
    examine(bytes(changed))


@pytest.mark.parametrize("path", vector_files(VECTORS, "weights"), ids=lambda path: path.stem)
def test_memory_is_bounded_on_every_vector(path: Path) -> None:
    source = BytesSource(read_vector(path).payload)
    tracemalloc.start()
    try:
        gguf, _ = check_gguf(source, deep=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX + PER_RECORD * (len(gguf.entries) + len(gguf.tensors))


def test_memory_does_not_grow_with_the_vocabulary() -> None:
    tokens = [f"token-{number:07}" for number in range(300_000)]
    entries = [
        V3.array("tokenizer.ggml.tokens", STRING, tokens),
        V3.array("tokenizer.ggml.scores", F32, [0.0] * len(tokens)),
    ]
    source = BytesSource(model(*entries))
    del tokens, entries
    tracemalloc.start()
    try:
        check_gguf(source, deep=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX


def test_budget_stops_reading_and_says_so() -> None:
    data = model(V3.array("tokenizer.ggml.tokens", STRING, ["x" * 40] * 50_000))
    gguf, findings = check_gguf(BytesSource(data), deep=False, budget=1 << 20)
    assert (gguf.complete, gguf.stopped, findings) == (False, "budget", [])
    assert gguf.bytes_read <= 1 << 20
    assert gguf.text("general.architecture") == "llama"


def test_version_1_strings_may_end_in_nul() -> None:
    rows, data = tensors_of(V1)
    entry = V1.entry("general.architecture", STRING, "llama\0")
    gguf, findings = check_gguf(BytesSource(V1.build([entry], rows, data)))
    assert gguf.text("general.architecture") == "llama"
    assert [finding.rule for finding in findings] == ["LF5005"]
