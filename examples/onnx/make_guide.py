"""A language model in ONNX that was never trained: it knows three answers about llamafiles, and how words follow words.

Every number in it is written down here, so anybody can see why it says what it says, and the same bytes come out
everywhere. It has what large ones have: a cache of what was said, weights outside of the graph, a tokenizer in its
metadata.

    python examples/onnx/make_guide.py DIR        # DIR/guide.onnx and DIR/guide.onnx.data

The graph: logits = follows[token] + favours[topics seen so far]. `follows` has a row for each token, with weight where
another may come next; topics are counted in the cache, whose values are the rows of `topics`.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path

ANSWERS = {
    "llamafile": "A llamafile is one file that holds a language model and the program which runs it.",
    "verify": "Ask your hub whether somebody signed this container, then compare every digest.",
    "engine": "Here ONNX Runtime computes; its library lies inside, named by digest.",
}
ASKED = {"llamafile": ("llamafiles",), "verify": ("verified", "trust"), "engine": ("runtime", "engines")}
NAME = "guide.onnx"
FOLLOWS, TOPIC, END = 8.0, 4.0, 1.0
BLOCK = 4096  # where data outside a graph begin, so that pages can be mapped
FLOAT, INT64 = 1, 7


def words(text: str) -> list[str]:
    """The words of an answer, each with the blank in front of it; its marks stand alone."""
    return re.findall(r" ?[A-Za-z]+|[.;,]", text)


def vocabulary() -> list[str]:
    """256 bytes, three marks of a conversation, and every word."""
    told = [word for answer in ANSWERS.values() for word in words(answer)]
    asked = [f"{blank}{word}" for topic, more in ASKED.items() for word in (topic, *more) for blank in ("", " ")]
    return [*(f"<0x{byte:02X}>" for byte in range(256)), "<user>", "<bot>", "<end>", *dict.fromkeys([*told, *asked])]


def tables(tokens: list[str]) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """The rows of `follows`, `topics` and `favours`."""
    number = {token: index for index, token in enumerate(tokens)}
    follows = [[0.0] * len(tokens) for _ in tokens]
    topics = [[0.0] * len(ANSWERS) for _ in tokens]
    favours = [[0.0] * len(tokens) for _ in ANSWERS]
    for row in follows:
        row[number["<end>"]] = END
    for index, (topic, answer) in enumerate(ANSWERS.items()):
        said = [number[word] for word in words(answer)]
        assert len(set(said)) == len(said), f"{topic}: a word that comes twice would lead back to the first"
        for before, after in zip([number["<bot>"], *said], [*said, number["<end>"]], strict=True):
            follows[before][after] = FOLLOWS
        for token in said:
            favours[index][token] = TOPIC
        for word in (topic, *ASKED[topic]):
            topics[number[word]][index] = topics[number[f" {word}"]][index] = 1.0
    return follows, topics, favours


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer: a number, or what stands behind its length."""

    def varint(value: int) -> bytes:
        value &= (1 << 64) - 1
        return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def node(operator: str, inputs: str, outputs: str, **numbers: int) -> bytes:
    """An operator; ``numbers`` are its attributes."""
    ports = [field(1, name) for name in inputs.split()] + [field(2, name) for name in outputs.split()]
    more = [field(5, field(1, name) + field(20, 2) + field(3, value)) for name, value in numbers.items()]
    return field(1, b"".join([*ports, field(4, operator), *more]))


def constant(name: str, values: list[int], *, scalar: bool = False) -> bytes:
    """Whole numbers inside the graph."""
    shape = b"" if scalar else field(1, len(values))
    return field(5, shape + field(2, INT64) + field(8, name) + field(9, struct.pack(f"<{len(values)}q", *values)))


def outside(name: str, rows: list[list[float]], data: bytearray) -> bytes:
    """A table whose numbers are appended to ``data``, on a boundary."""
    data += bytes(-len(data) % BLOCK)
    numbers = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    where = {"location": f"{NAME}.data", "offset": str(len(data)), "length": str(len(numbers))}
    data += numbers
    shape = field(1, len(rows)) + field(1, len(rows[0]))
    entries = b"".join(field(13, field(1, key) + field(2, value)) for key, value in where.items())
    return field(5, shape + field(2, FLOAT) + field(8, name) + entries + field(14, 1))


def port(number: int, name: str, kind: int, shape: list[int | str]) -> bytes:
    """An input (11) or output (12)."""
    sizes = b"".join(field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in shape)
    return field(number, field(1, name) + field(2, field(1, field(1, kind) + field(2, sizes))))


def guide() -> tuple[bytes, bytes]:
    """The graph and the data outside of it."""
    tokens, data = vocabulary(), bytearray()
    follows, topics, favours = tables(tokens)
    count, wide = len(ANSWERS), len(tokens)
    body = [
        node("Gather", "follows input_ids", "next"),
        node("Cast", "input_ids", "numbers", to=FLOAT),
        node("Unsqueeze", "numbers key_axes", "key"),
        node("Concat", "past_key_values.0.key key", "present.0.key", axis=2),
        node("Gather", "topics input_ids", "seen"),
        node("Unsqueeze", "seen head_axis", "value"),
        node("Concat", "past_key_values.0.value value", "present.0.value", axis=2),
        node("CumSum", "present.0.value two", "counted"),
        node("Shape", "input_ids", "shape"),
        node("Gather", "shape one", "length"),
        node("Neg", "length", "start"),
        node("Slice", "counted start last head_two", "now"),
        node("Squeeze", "now head_axis", "wanted"),
        node("MatMul", "wanted favours", "bias"),
        node("Add", "next bias", "logits"),
        field(2, "guide"),
        outside("follows", follows, data),
        outside("topics", topics, data),
        outside("favours", favours, data),
        constant("key_axes", [1, 3]),
        constant("head_axis", [1]),
        constant("head_two", [2]),
        constant("one", [1]),
        constant("two", [2], scalar=True),
        constant("last", [(1 << 63) - 1]),
        port(11, "input_ids", INT64, [1, "s"]),
        port(11, "past_key_values.0.key", FLOAT, [1, 1, "p", 1]),
        port(11, "past_key_values.0.value", FLOAT, [1, 1, "p", count]),
        port(12, "logits", FLOAT, [1, "s", wide]),
        port(12, "present.0.key", FLOAT, [1, 1, "t", 1]),
        port(12, "present.0.value", FLOAT, [1, 1, "t", count]),
    ]
    tokenizer = {
        "format": "llamafile-tokens/1",
        "tokens": tokens,
        "end": [tokens.index("<end>")],
        "message": "<{role}>{content}",
        "answer": "<bot>",
    }
    said = json.dumps(tokenizer, ensure_ascii=True, separators=(",", ":"))
    metadata = field(14, field(1, "llamafile.tokenizer") + field(2, said))
    head = field(1, 8) + field(2, "llamafile-format") + field(7, b"".join(body))
    return head + field(8, field(2, 17)) + metadata, bytes(data)


def main() -> None:
    """Write both files into the folder that is named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    graph, data = guide()
    (folder / NAME).write_bytes(graph)
    (folder / f"{NAME}.data").write_bytes(data)


if __name__ == "__main__":
    main()
