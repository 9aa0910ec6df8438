"""What this reader finds no fault in, the onnx library loads, and sees the same tensors in it (spec/1, 7.17)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_ml_pb2 import DESCRIPTOR

from llamafile_format.rules import Severity, rule
from llamafile_format.source import BytesSource
from llamafile_format.weights.onnx import read_onnx
from llamafile_format.weights.onnx_model import Onnx
from llamafile_format.weights.onnx_schema import ELEMENT_TYPES, KNOWN_IR, KNOWN_OPSETS, MESSAGES
from spec.vectors.generate.onnx import FOUR, field, graph, model, node, opset, tensor

CHAPTER = Path(__file__).resolve().parents[2] / "spec" / "1" / "07-weights.md"
CONSTANT = field(2, "k") + field(4, "Constant") + field(5, field(1, "value") + field(5, tensor("c")) + field(20, 4))
TYPED = tensor("t", None, (2,), 7) + field(7, 1) + field(7, -1)
GOOD = model(graph(tensor(), TYPED, nodes=(node(), CONSTANT)), more=field(14, field(1, "k") + field(2, "v")))
STRICTER = {
    "two graphs": (model(more=field(7, graph())), "LF5122"),
    "an initializer twice": (model(graph(tensor(), tensor())), "LF5122"),
    "a key of the metadata twice": (model(more=field(14, field(1, "k")) * 2), "LF5122"),
    "a field of nobody": (model(more=field(99, 1)), "LF5125"),
    "a size of another shape": (model(graph(tensor(dims=(5,)))), "LF5127"),
}
"""What the library parses, and this reader does not take."""


def faultless(read: Onnx) -> bool:
    """Without an error, read to its end, and nothing in it unknown."""
    rows = [rule(finding.rule) for finding in read.findings]
    return read.complete and not any(row.severity is Severity.ERROR or row.undetermined for row in rows)


def agree(data: bytes) -> bool:
    """True if there is no fault in ``data``; then the library must see the same."""
    read = read_onnx(BytesSource(data))
    if not faultless(read):
        return False
    theirs = onnx.load_model_from_string(data)
    assert theirs.ir_version == read.ir_version
    assert {
        "" if each.domain == "ai.onnx" else each.domain: each.version for each in theirs.opset_import
    } == read.opsets
    assert {each.key: each.value for each in theirs.metadata_props} == read.metadata
    assert theirs.graph.name == read.graph
    ours = {each.name: each for each in read.tensors}
    for each in theirs.graph.initializer:
        mine = ours[each.name]
        assert (mine.type, list(mine.dims)) == (each.data_type, list(each.dims))
        if mine.external is None:
            array = numpy_helper.to_array(each)
            assert array.size == mine.elements
            if mine.start is not None:
                assert each.raw_data == data[mine.start : mine.start + (mine.size or 0)]
    return True


@pytest.mark.parametrize("what", STRICTER)
def test_stricter(what: str) -> None:
    data, broken = STRICTER[what]
    assert onnx.load_model_from_string(data)
    assert broken in {finding.rule for finding in read_onnx(BytesSource(data)).findings}


def test_the_good_one_is_good() -> None:
    assert agree(GOOD)
    onnx.checker.check_model(GOOD)


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=3), st.integers(0, 3))
def test_changed_bytes(at: int, put: bytes, take: int) -> None:
    agree(GOOD[:at] + put + GOOD[at + take :])


NUMBERS = st.one_of(st.integers(0, 30), st.sampled_from([-1, 2**31, 2**63]))
PIECES = st.recursive(
    st.tuples(st.integers(1, 30), st.one_of(NUMBERS, st.binary(max_size=9))).map(lambda pair: field(*pair)),
    lambda inner: st.tuples(st.integers(1, 30), st.lists(inner, max_size=4)).map(
        lambda pair: field(pair[0], b"".join(pair[1]))
    ),
    max_leaves=12,
)


@given(st.lists(PIECES, max_size=4))
def test_any_messages(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    for data in (model(graph(tensor(), more=body)), model(graph(tensor() + body)), model(more=body), body):
        agree(data)


@pytest.mark.parametrize("kind", ELEMENT_TYPES)
def test_every_type_has_the_size_that_the_library_gives_it(kind: int) -> None:
    array = np.zeros((3,), helper.tensor_dtype_to_np_dtype(kind))
    typed = helper.make_tensor("typed", kind, [3], [b"a", b"", b"c"] if ELEMENT_TYPES[kind].name == "STRING" else array)
    both = [typed] if ELEMENT_TYPES[kind].name == "STRING" else [typed, numpy_helper.from_array(array, "raw")]
    assert agree(model(graph(*(each.SerializeToString() for each in both))))


def test_types_and_versions_are_those_of_the_library() -> None:
    names = {number: name for name, number in TensorProto.DataType.items() if number}
    assert names == {number: kind.name for number, kind in ELEMENT_TYPES.items()}
    assert onnx.IR_VERSION == KNOWN_IR
    newest: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        newest[schema.domain] = max(newest.get(schema.domain, 0), schema.since_version)
    assert newest == KNOWN_OPSETS


KINDS = {2: "float", 1: "double", 3: "number", 4: "number", 5: "number", 14: "number", 9: "text", 12: "bytes"}


def test_messages_are_those_of_the_library() -> None:
    """Every message that the library reaches from a model, field by field; ours have names of their own."""
    ours, left = {"ModelProto": "Model"}, [DESCRIPTOR.message_types_by_name["ModelProto"]]
    seen = set()
    while left:
        theirs = left.pop()
        if theirs.full_name in seen:
            continue
        seen.add(theirs.full_name)
        mine = MESSAGES[ours[theirs.full_name.removeprefix("onnx.")]]
        assert set(mine) == {each.number for each in theirs.fields}, theirs.full_name
        for each in theirs.fields:
            known = mine[each.number]
            assert (known.name, known.many) == (each.name, each.is_repeated)
            if each.message_type is None:
                assert known.kind == KINDS[each.type], each.full_name
            else:
                ours[each.message_type.full_name.removeprefix("onnx.")] = known.kind
                left.append(each.message_type)
    assert set(ours.values()) == set(MESSAGES)


def test_the_clause_has_the_same_messages_and_types() -> None:
    text = CHAPTER.read_text("utf-8").partition("**7.17.3**")[2].partition("**7.17.6**")[0]
    for message, fields in MESSAGES.items():
        said = ", ".join(f"{n} `{each.name}` {'*' * each.many}{each.kind}" for n, each in fields.items())
        assert f"| `{message}` | {said} |" in text, message
    said_types = {
        int(number): name for name, number in re.findall(r"`([A-Z0-9]+)` ([0-9]+)", text.partition("7.17.5")[2])
    }
    assert said_types == {number: kind.name for number, kind in ELEMENT_TYPES.items()}


def test_what_the_library_writes_has_no_fault(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.arange(4096, dtype=np.float32).reshape(64, 64), "w")
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [64, -1])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Reshape", ["m", "s"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [weights, shape]), opset_imports=[helper.make_opsetid("", 21)]
    )
    onnx.checker.check_model(made)
    assert agree(made.SerializeToString())
    onnx.save_model(made, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=1024)
    read = read_onnx(BytesSource((tmp_path / "m.onnx").read_bytes()))
    assert faultless(read)
    assert [(each.name, each.type, each.shape) for each in read.inputs] == [("x", "FLOAT", ("n", "64"))]
    assert read.operators == {("", "MatMul"): 1, ("", "Reshape"): 1}
    (outside,) = read.external["m.data"]
    assert (outside.name, outside.size) == ("w", (tmp_path / "m.data").stat().st_size)


def test_the_library_refuses_what_is_no_message() -> None:
    with pytest.raises(DecodeError):
        onnx.load_model_from_string(GOOD[:-1])
    assert not agree(GOOD[:-1])
    assert agree(model(graph(tensor(data=FOUR)), sets=(opset(), opset(1, "com.microsoft"))))
