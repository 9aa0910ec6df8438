"""ONNX models at the doors: packed whole or not at all, whatever their data are called (spec/1, 7.17)."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format import limits
from llamafile_format.rules import Layer
from llamafile_format.source import BytesSource
from llamafile_format.weights.onnx import MAX_BYTES, read_onnx
from spec.vectors.generate.onnx import DATA, FOUR, GOOD, field, graph, model, node, opset, outside, tensor

OUTSIDE = model(graph(outside(DATA), outside("more/w.bin", "v")))


def write(path: Path, data: bytes) -> Path:
    """``path``, with ``data`` in it."""
    path.write_bytes(data)
    return path


def test_a_model_is_packed_with_its_data_or_not_at_all(tmp_path: Path) -> None:
    onnx, data = write(tmp_path / "tiny.onnx", OUTSIDE), write(tmp_path / DATA, FOUR)
    for given in ([onnx], [onnx, data]):
        with pytest.raises(lf.FormatError) as refused:
            lf.pack(given, tmp_path / "a", prefix="none")
        assert refused.value.clause == "LF5129"
        assert not (tmp_path / "a").exists()
    more = lf.Include(write(tmp_path / "w.bin", FOUR), "more/w.bin", "weights")
    lf.pack([onnx, data], tmp_path / "a", prefix="none", include=[more], default="tiny.onnx")
    report = lf.verify(tmp_path / "a")
    assert report.verdicts[Layer.VALID] is lf.Verdict.YES
    assert not report.findings
    with lf.open(tmp_path / "a") as container:
        assert {member.path: member.role for member in container.members}[DATA] == "weights"
    with pytest.raises(lf.FormatError) as refused:
        lf.repack(tmp_path / "a", tmp_path / "b", remove=["more/w.bin"])
    assert refused.value.clause == "LF5129"


def test_data_beside_a_model_are_no_model_of_their_own(tmp_path: Path) -> None:
    onnx, data = write(tmp_path / "tiny.onnx", model(graph(outside(DATA)))), write(tmp_path / DATA, FOUR)
    lf.pack([onnx, data], tmp_path / "a", prefix="none")
    with lf.open(tmp_path / "a") as container:
        assert container.manifest is not None
        assert container.manifest.default == "tiny.onnx"


def test_a_file_of_the_disk_is_never_named(tmp_path: Path) -> None:
    for location in ("../w", "/etc/passwd", "a/../../w", "a//w", "file:w", "..\\w"):
        with pytest.raises(lf.FormatError) as refused:
            lf.pack([write(tmp_path / "t.onnx", model(graph(outside(location))))], tmp_path / "a", prefix="none")
        assert refused.value.clause == "LF5128", location


def test_what_the_model_says() -> None:
    read = read_onnx(BytesSource(GOOD))
    assert (read.ir_version, read.opsets, read.producer, read.graph) == (10, {"": 21}, "spec", "g")
    assert (read.operators, read.nodes, read.functions) == ({("", "Identity"): 1}, 1, set())
    assert [(value.name, value.type, value.shape) for value in (*read.inputs, *read.outputs)] == [
        ("x", "FLOAT", ("n",)),
        ("y", "FLOAT", ("n",)),
    ]
    assert [(each.name, each.dims, each.size) for each in read.tensors] == [("w", (4,), 16)]


def test_models_before_the_sets_of_operators_need_none() -> None:
    assert not read_onnx(BytesSource(model(ir=2, sets=()))).findings


class Hole:
    """A model behind which there is nothing but a hole, as large as no disk: only its size is real."""

    name = "hole"

    def __init__(self, head: bytes, size: int) -> None:
        self.head, self.size, self.asked = head, size, 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Zeros behind the head."""
        self.asked += length
        return self.head[offset : offset + length].ljust(length, b"\0")


def test_a_hole_is_stepped_over() -> None:
    body = field(1, 4) + field(2, 1) + field(8, "w") + b"\x4a\xff\xff\xff\xff\x03"
    inside = b"\x2a" + b"\xff\xff\xff\xff\x03"
    hole = Hole(field(1, 10) + b"\x3a\xff\xff\xff\xff\x07" + inside + body, MAX_BYTES)
    read = read_onnx(hole)
    assert read.stopped == "fault"
    assert hole.asked < 1 << 16
    assert [each.rule for each in read_onnx(Hole(GOOD, 100 << 30)).findings] == ["LF5121"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tensors", "fields", "texts", "depth"])
def test_beyond_a_cap_nothing_is_judged(what: str) -> None:
    made = {
        "tensors": lambda: graph(*(tensor(str(n), b"1234", (1,)) for n in range(limits.ONNX_TENSORS + 1))),
        "fields": lambda: graph(nodes=(b"\x0a\0" * limits.ONNX_FIELDS,)),
        "texts": lambda: graph(nodes=(node("n" * (limits.ONNX_TEXT // 2)), node("m" * (limits.ONNX_TEXT // 2)))),
        "depth": lambda: field(11, field(2, _sequences(limits.ONNX_DEPTH))),
    }[what]()
    read = read_onnx(BytesSource(model(made, sets=(opset(),))))
    assert read.stopped == "cap"
    assert [each.rule for each in read.findings] == ["LF5124"]


def _sequences(count: int) -> bytes:
    """A sequence of sequences of sequences."""
    inside = b""
    for _ in range(count):
        inside = field(4, field(1, inside))
    return inside
