"""Law: a record that is written is read back as it was, and written again it is the same bytes."""

from __future__ import annotations

import struct

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.engines.behaviour import (
    Agreement,
    Environment,
    Part,
    Record,
    Recorded,
    RecordedText,
    Run,
    Runtime,
    Subject,
    Tolerance,
)
from llamafile_format.engines.behaviour_compare import compare
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.behaviour_yaml import record_bytes
from llamafile_format.engines.trace import (
    Identity,
    Likelihood,
    Message,
    Prompt,
    PromptTrace,
    Step,
    Trace,
    logit_value,
)

VOCABULARY = 64
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._+@:/()-]{0,20}", fullmatch=True)
names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
logits = st.floats(width=32, allow_nan=False).map(lambda value: struct.unpack("<I", struct.pack("<f", value))[0])
tolerances = st.integers(0, 1000 * 10**6).map(lambda value: value / 10**6)
classes = st.sampled_from([Agreement.EXACT, Agreement.TOKENS, Agreement.NEAR])


@st.composite
def steps(draw: st.DrawFn, top: int) -> Step:
    tokens = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=top, max_size=top, unique=True))
    row = [(token, draw(logits)) for token in tokens]
    row.sort(key=lambda item: (-logit_value(item[1]), item[0]))
    return Step(row[0][0], draw(st.binary(max_size=6)), draw(digests), tuple(row))


@st.composite
def recorded(draw: st.DrawFn) -> Recorded:
    top, most = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    if draw(st.booleans()):
        messages = tuple(Message(draw(texts), draw(texts)) for _ in range(draw(st.integers(1, 3))))
        prompt = Prompt(draw(names), None, messages, max_tokens=most, top=top)
    else:
        prompt = Prompt(draw(names), draw(texts), (), draw(st.booleans()), draw(st.booleans()), most, top)
    end = draw(st.sampled_from(["length", "end-of-generation", "context"]))
    count = most if end == "length" else draw(st.integers(0, most))
    said = tuple(draw(steps(top)) for _ in range(count))
    tokens = draw(st.lists(st.integers(0, VOCABULARY - 1), max_size=5))
    return Recorded(prompt, PromptTrace(prompt.id, draw(st.binary(max_size=30)), tuple(tokens), said, end))


@st.composite
def records(draw: st.DrawFn) -> Record:
    prompts = draw(st.lists(recorded(), min_size=1, max_size=3, unique_by=lambda item: item.prompt.id))
    likelihood = None
    if draw(st.booleans()):
        value = draw(st.floats(0, 1e9, allow_subnormal=False))
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        found = Likelihood((1, 2), 1, bits, draw(digests))
        likelihood = RecordedText("a-later-text", draw(digests), found)
    agreement = draw(classes)
    runtime = Runtime(draw(words), draw(words), draw(words), draw(words), draw(digests))
    part = Part(draw(texts), draw(digests), draw(st.integers(0, 1 << 50)))
    return Record(
        subject=Subject((part,), draw(digests), draw(st.just("") | digests), runtime),
        environment=Environment(draw(texts), draw(texts), draw(texts)),
        agreement=agreement,
        runs=(Run(draw(st.integers(1, 256)), Agreement.EXACT),),
        tolerance=Tolerance(draw(tolerances), draw(tolerances)),
        vocabulary=VOCABULARY,
        context=draw(st.integers(1, 64)) * 256,
        batch=draw(st.integers(1, 4096)),
        threads=draw(st.integers(1, 256)),
        prompts=tuple(prompts),
        likelihood=likelihood,
    )


@given(records())
@settings(max_examples=60)
def test_written_and_read_it_is_the_same(record: Record) -> None:
    data = record_bytes(record)
    reading = read_record(data)
    assert reading.record == record, (reading.reason, reading.faults)
    assert not reading.contradictions
    assert not reading.unknown
    assert record_bytes(reading.record) == data


@given(records())
@settings(max_examples=20)
def test_every_yaml_reader_sees_the_same(record: Record) -> None:
    """The compiled loader and the one in Python, which follow the older YAML."""
    data = record_bytes(record)
    slow = yaml.load(data, Loader=yaml.SafeLoader)
    assert yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == slow


@given(records())
@settings(max_examples=20)
def test_a_record_agrees_with_itself(record: Record) -> None:
    identity = Identity("e", "v", "t", "f", "c", VOCABULARY, record.context, record.threads, record.batch)
    likelihood = record.likelihood.likelihood if record.likelihood else None
    replay = Trace(identity, tuple(item.said for item in record.prompts), likelihood)
    assert compare(record, replay).agreement is Agreement.EXACT


@given(records(), st.integers(0, 1 << 30), st.integers(0, 255))
@settings(max_examples=40)
def test_no_byte_makes_the_reader_raise(record: Record, where: int, byte: int) -> None:
    data = bytearray(record_bytes(record))
    data[where % len(data)] = byte
    read_record(bytes(data))
