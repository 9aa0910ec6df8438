"""Law: version, byte order and place in a larger file change nothing in what a GGUF says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.source import BytesSource, Window
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import ArrayValue, Gguf, TextValue
from spec.vectors.generate.gguf_builder import (
    BIG,
    BOOL,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    V1,
    V2,
    V3,
    Dialect,
)

RANGES = {U8: (0, 255), I8: (-128, 127), U16: (0, 65535), I16: (-(1 << 15), (1 << 15) - 1), U32: (0, (1 << 32) - 1)}
RANGES |= {I32: (-(1 << 31), (1 << 31) - 1), U64: (0, (1 << 64) - 1), I64: (-(1 << 63), (1 << 63) - 1), BOOL: (0, 1)}

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
numbers = st.sampled_from(sorted(RANGES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(RANGES[kind][0], RANGES[kind][1]))
)
scalars = st.one_of(numbers, st.tuples(st.just(STRING), texts), st.tuples(st.just(F64), st.floats(allow_nan=False)))
arrays = st.one_of(
    st.tuples(st.just(STRING), st.lists(texts, max_size=600)),
    st.sampled_from(sorted(RANGES)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(st.integers(*RANGES[kind]), max_size=20))
    ),
)
keys = st.text("abcdefghij._0123456789-", min_size=1, max_size=12)
contents = st.tuples(
    st.dictionaries(keys.map(lambda key: "s." + key), scalars, max_size=6),
    st.dictionaries(keys.map(lambda key: "a." + key), arrays, max_size=3),
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), max_size=4),
)


def build(dialect: Dialect, content: tuple[dict, dict, list]) -> bytes:
    """The same content in ``dialect``, tensors of F32."""
    singles, lists, shapes = content
    entries = [dialect.entry(key, kind, value) for key, (kind, value) in singles.items()]
    entries += [dialect.array(key, kind, values) for key, (kind, values) in lists.items()]
    rows, offset = [], 0
    for index, shape in enumerate(shapes):
        rows.append(dialect.tensor(f"t{index}", shape, 0, offset))
        size = 4
        for dim in shape:
            size *= dim
        offset += -(-size // 32) * 32
    return dialect.build(entries, rows, bytes(offset))


def plain(gguf: Gguf) -> tuple[object, ...]:
    """What a GGUF says, without where it says it."""
    values = {}
    for key, value in gguf.metadata.items():
        if isinstance(value, ArrayValue):
            values[key] = (value.element_type, value.count, tuple(value))
        else:
            values[key] = value.read() if isinstance(value, TextValue) else value
    tensors = [(t.name, t.dims, t.type_id, t.offset, t.size_bytes) for t in gguf.tensors]
    return values, tensors, gguf.alignment, gguf.data_length, gguf.complete


@given(contents)
def test_dialects_say_the_same(content: tuple[dict, dict, list]) -> None:
    read = [read_gguf(BytesSource(build(dialect, content))) for dialect in (V3, V2, V1, BIG)]
    assert plain(read[0]) == plain(read[1]) == plain(read[2]) == plain(read[3])
    assert [[finding.rule for finding in gguf.findings] for gguf in read] == [[], [], ["LF5005"], ["LF5004"]]


@given(contents, st.integers(0, 100), st.integers(0, 100))
def test_a_window_reads_like_the_plain_file(content: tuple[dict, dict, list], before: int, after: int) -> None:
    data = build(V3, content)
    alone = read_gguf(BytesSource(data))
    window = Window(BytesSource(b"\xaa" * before + data + b"\xbb" * after), before, len(data))
    placed = read_gguf(window, base=before)
    assert plain(placed) == plain(alone)
    assert placed.data_offset == alone.data_offset


@given(st.binary(max_size=80), st.integers(1, 100))
def test_findings_move_with_the_base(tail: bytes, base: int) -> None:
    source = BytesSource(b"GGUF\x03\0\0\0" + tail)
    here, there = read_gguf(source), read_gguf(source, base=base)
    assert [(f.rule, (f.where.offset or 0) + base) for f in here.findings] == [
        (f.rule, f.where.offset) for f in there.findings
    ]
