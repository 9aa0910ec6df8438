"""The record as data (15.2 to 15.4): digests, the one legal text, what is near, and what is a close call."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace

import pytest
import yaml
from jsonschema import Draft202012Validator

from llamafile_format.engines.behaviour import (
    MAX_RECORD,
    Agreement,
    Record,
    Recorded,
    Runtime,
    Tolerance,
    prompt_bytes,
    texts,
    tokens_digest,
    worst,
)
from llamafile_format.engines.behaviour_compare import compare_prompt, ordered
from llamafile_format.engines.behaviour_reader import Reading, read_record
from llamafile_format.engines.behaviour_yaml import decimal, quoted, record_bytes
from llamafile_format.engines.trace import Message, Prompt, PromptTrace, Step
from llamafile_format.source import BytesSource
from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.tokenizer_digest import template_digest, tokenizer_digest
from spec.vectors.generate import behaviour as vectors
from spec.vectors.generate.gguf_builder import BIG, F32, STRING, U32, V1, V2, V3, Dialect, model
from tests.behaviour_samples import bits_of
from tests.conftest import ROOT


def good() -> Record:
    reading = read_record(vectors.record().encode())
    assert reading.record is not None
    assert (reading.faults, reading.contradictions, reading.unknown) == ((), (), ())
    return reading.record


def test_the_record_of_the_vectors_is_in_the_one_form() -> None:
    """The vectors' record was written from the chapter by hand; ours must be the same bytes."""
    assert record_bytes(good()) == vectors.record().encode()


def test_the_record_of_the_vectors_obeys_the_schema() -> None:
    schema = json.loads((ROOT / "spec" / "schemas" / "behaviour.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(vectors.record()))


def test_comment_line_is_that_of_the_chapter() -> None:
    chapter = (ROOT / "spec" / "1" / "15-behaviour.md").read_text("utf-8")
    assert vectors.record().splitlines()[0] in chapter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        'a "b" \\ c',
        "\n\t\r",
        "\x00\x1b[2J\x7f\x85",
        "\xa0\xad",
        "\u202e\u2028\ufeff",
        "é ß Ω ж かな 漢字 한",
        "\U0001f600\U000e0041",
        "# - : {}[]",
        "true",
        "0123",
    ],
)
def test_quoted_texts_are_read_back(text: str) -> None:
    spelt = quoted(text)
    assert yaml.safe_load(f"x: {spelt}") == {"x": text}
    assert spelt.isprintable()


def test_quoted_spelling() -> None:
    assert quoted("a\nb\x07é\u202e\U0001f600") == '"a\\nb\\x07é\\u202e\\U0001f600"'


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5"), (0.0, "0.0"), (12.0, "12.0"), (1e-6, "0.000001"), (1564.7671933, "1564.767193")]
)
def test_decimals(value: float, text: str) -> None:
    assert decimal(value) == text
    assert yaml.safe_load(text) == pytest.approx(value, abs=1e-6)


def test_digests() -> None:
    assert tokens_digest([1, 258]) == hashlib.sha256(bytes([1, 0, 0, 0, 2, 1, 0, 0])).hexdigest()
    assert prompt_bytes(Prompt("a", text="ü")) == "ü".encode()
    chat = Prompt("a", messages=(Message("user", "ü"), Message("assistant", "")))
    assert prompt_bytes(chat) == b'[{"content":"\\u00fc","role":"user"},{"content":"","role":"assistant"}]'


def test_registered_texts() -> None:
    for row in spec_yaml("registry/behaviour-texts.yaml")["texts"]:
        data = row["text"].encode("ascii")
        assert len(data) <= 480
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert set(row) == {"id", "source", "license", "sha256", "text"}
    assert list(texts()) == ["alice-1865"]


def test_order_of_classes() -> None:
    assert Agreement.EXACT.meets(Agreement.NEAR)
    assert not Agreement.NONE.meets(Agreement.NEAR)
    assert worst([]) is Agreement.EXACT
    assert worst([Agreement.TOKENS, Agreement.EXACT]) is Agreement.TOKENS


def test_kin() -> None:
    one = Runtime("llama.cpp", "1", "reference", "linux-x86_64", "0" * 64)
    assert one.kin(replace(one, target="wasm32-wasi", sha256="1" * 64))
    assert not one.kin(replace(one, version="2"))
    assert not one.kin(replace(one, flavour="native"))


# Reading


def changed(old: str, new: str) -> Reading:
    text = vectors.record()
    assert old in text
    return read_record(text.replace(old, new).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not say format"),
        (b"- 1\n", "does not say format"),
        (b"format: llamafile-behaviour/1\nx: " + b"[" * 13 + b"]" * 13, "nested more than 12 deep"),
        (b"x: " + b"[" * 100000, "YAML|nested"),
        (b" " * (MAX_RECORD + 1), "more than 4194304"),
        (b"a: 2001-99-99\nformat: llamafile-behaviour/1\n", "YAML"),
        (b"? [a]\n: b\n", "key that is a mapping or a list"),
        (b"a: &a [*a]\n", "anchor"),
    ],
)
def test_what_is_no_record(data: bytes, words: str) -> None:
    import re

    reading = read_record(data)
    assert reading.record is None
    assert re.search(words, reading.reason), reading.reason


def test_all_faults_are_told() -> None:
    reading = read_record(b"format: llamafile-behaviour/1\n")
    assert reading.record is None
    assert {name for name, _ in reading.faults} == {
        "class",
        "subject",
        "environment",
        "decoding",
        "tolerance",
        "runs",
        "prompts",
    }


def test_bytes_that_are_not_text() -> None:
    record = good()
    (item,) = record.prompts
    steps = (replace(item.said.steps[0], piece=b"\xe2\x82"), replace(item.said.steps[1], piece=b"\xac"))
    said = replace(item.said, steps=steps, rendered=b"\xff")
    other = replace(record, prompts=(Recorded(item.prompt, said),))
    text = record_bytes(other).decode()
    assert 'hex: "ff"' in text
    assert 'hex: "e282"' in text
    assert 'text: "€"' not in text  # not of a common script
    assert 'text: "\\u20ac"' in text
    assert read_record(text.encode()).record == other


def test_two_prompts_of_one_id() -> None:
    text = vectors.record()
    start = text.index('- id: "story"')
    reading = read_record((text + text[start:]).encode())
    assert ("prompts", "two prompts have the id story") in reading.contradictions


def test_a_text_that_is_not_registered_is_no_fault() -> None:
    more = "\n".join(
        [
            "likelihood:",
            '  text: "later-text"',
            f'  sha256: "{"0" * 64}"',
            "  tokens:",
            f'    sha256: "{tokens_digest([1, 2])}"',
            "    ids: [1, 2]",
            "  count: 1",
            "  nats: 2.5",
            f'  bits: "{struct.pack(">d", 2.5).hex()}"',
            f'  logits: "{"0" * 64}"',
            "",
        ]
    )
    reading = read_record((vectors.record() + more).encode())
    assert reading.record is not None
    assert reading.record.request().likelihood is None
    assert record_bytes(reading.record) == (vectors.record() + more).encode()
    assert changed(
        "format: llamafile-behaviour/1", "format: llamafile-behaviour/1\n" + more.replace("2.5", "2.6")
    ).contradictions


# Comparing


def said(*rows: dict[int, float], end: str = "length") -> PromptTrace:
    """A prompt whose steps have these logits, best first."""
    steps = []
    for row in rows:
        top = sorted(
            ((token, bits_of(value)) for token, value in row.items()), key=lambda item: (-row[item[0]], item[0])
        )
        digest = hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()
        steps.append(Step(top[0][0], bytes([97 + top[0][0]]), digest, tuple(top)))
    return PromptTrace("a", b"x", (1, 2), tuple(steps), end)


def agreement(old: PromptTrace, new: PromptTrace, logit: float = 0.5) -> Agreement:
    recorded = Recorded(Prompt("a", text="x", max_tokens=len(old.steps)), old)
    return compare_prompt(recorded, new, Tolerance(logit)).agreement


def test_classes() -> None:
    old = said({1: 2.0, 2: 1.0}, {2: 3.0, 1: 2.5})
    assert agreement(old, old) is Agreement.EXACT
    assert agreement(old, said({1: 2.1, 2: 1.0}, {2: 3.0, 1: 2.5})) is Agreement.TOKENS
    assert agreement(old, said({1: 2.0, 2: 1.0}, {1: 2.9, 2: 2.8})) is Agreement.NEAR
    assert agreement(old, said({1: 2.0, 2: 1.0}, {1: 2.9, 2: 2.8}), 0.1) is Agreement.NONE
    assert agreement(old, said({1: 2.6, 2: 1.0}, {2: 3.0, 1: 2.5})) is Agreement.NONE


def test_no_close_call() -> None:
    """The other token was far behind, or not even listed."""
    old = said({1: 2.0, 2: 0.5}, {2: 3.0, 1: 2.5})
    assert agreement(old, said({2: 1.9, 1: 1.8}, {2: 3.0, 1: 2.5}), 2.0) is Agreement.NEAR
    assert agreement(old, said({2: 1.0, 1: 1.0}, {2: 3.0, 1: 2.5}), 0.5) is Agreement.NONE
    assert agreement(old, said({3: 2.1, 1: 2.0, 2: 0.5}, {2: 3.0, 1: 2.5})) is Agreement.NONE


def test_a_token_that_fell_out_of_the_list() -> None:
    """It counts with the least that is listed, if that is less than it had."""
    old = said({1: 9.0, 2: 8.0})
    found = compare_prompt(Recorded(Prompt("a", text="x", max_tokens=1), old), said({1: 9.0, 3: 6.0}), Tolerance())
    assert found.max_abs == 2.0
    found = compare_prompt(Recorded(Prompt("a", text="x", max_tokens=1), old), said({1: 9.0, 3: 8.5}), Tolerance())
    assert found.max_abs == 0.0


def test_nothing_is_compared_behind_another_token() -> None:
    old = said({1: 2.0, 2: 1.9}, {2: 3.0}, {3: 3.0})
    found = compare_prompt(
        Recorded(Prompt("a", text="x", max_tokens=3), old), said({2: 2.0, 1: 1.9}, {5: 99.0}, {6: 99.0}), Tolerance()
    )
    assert (found.compared, found.agreement) == (1, Agreement.NEAR)
    assert found.max_abs == pytest.approx(0.1)


def test_steps_of_binary32() -> None:
    assert ordered(bits_of(0.0)) == ordered(bits_of(-0.0)) == 0
    assert ordered(bits_of(1.0)) - ordered(bits_of(struct.unpack("<f", struct.pack("<I", bits_of(1.0) - 1))[0])) == 1
    assert ordered(bits_of(-1.5)) < ordered(bits_of(-1.0)) < ordered(bits_of(1.0)) < ordered(bits_of(1.5))


def test_infinite_logits() -> None:
    old = said({1: 2.0, 2: float("-inf")})
    assert agreement(old, said({1: 2.0, 2: -3.0})) is Agreement.NONE


# Digests of the subject


def entries(dialect: Dialect, *, turned: bool = False) -> list[bytes]:
    found = [
        dialect.entry("tokenizer.ggml.model", STRING, "llama"),
        dialect.array("tokenizer.ggml.tokens", STRING, ["<unk>", "a", "ü"]),
        dialect.array("tokenizer.ggml.scores", F32, [0.0, -1.0, 2.5]),
        dialect.entry("tokenizer.ggml.bos_token_id", U32, 258),
        dialect.entry("tokenizer.chat_template", STRING, "{{ messages }} ü" + "x" * 5000),
    ]
    return found[::-1] if turned else found


def digests(data: bytes) -> tuple[str, str]:
    source = BytesSource(data)
    gguf = read_gguf(source)
    return tokenizer_digest(gguf, source), template_digest(gguf, source)


def test_tokenizer_digest_depends_on_the_tokenizer_alone() -> None:
    wanted = digests(model(*entries(V3)))
    assert wanted[1] == hashlib.sha256(("{{ messages }} ü" + "x" * 5000).encode()).hexdigest()
    for dialect in (V1, V2, V3, BIG):
        assert digests(model(*entries(dialect), dialect=dialect)) == wanted
        assert digests(model(*entries(dialect, turned=True), dialect=dialect)) == wanted
    assert digests(model(*entries(V3), V3.entry("general.name", STRING, "x"))) == wanted


def test_tokenizer_digest_from_the_chapter() -> None:
    """Clause 15.2.4, spelt out."""
    canonical = sorted(entries(V3)[:4], key=lambda entry: entry[8 : 8 + struct.unpack("<Q", entry[:8])[0]])
    assert digests(model(*entries(V3)))[0] == hashlib.sha256(b"".join(canonical)).hexdigest()


def test_another_tokenizer_has_another_digest() -> None:
    wanted = digests(model(*entries(V3)))
    other = [*entries(V3)[:3], V3.entry("tokenizer.ggml.bos_token_id", U32, 259), entries(V3)[4]]
    assert digests(model(*other))[0] != wanted[0]
    assert digests(model(*other))[1] == wanted[1]
    assert digests(model())[1] == ""
