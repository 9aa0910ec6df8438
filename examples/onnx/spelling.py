"""How a text becomes tokens, inside of a graph of ONNX: the rule of SentencePiece as llama.cpp has it.

The engine cuts a text at each place into the longest piece that fits. A `llama` tokenizer does something else: it
begins with single characters and joins the two neighbours whose union has the best score, the leftmost first, until
no union is a piece. Both agree on most words and not on all. So this graph takes the engine's pieces apart into
characters and joins them by the rule, in a loop, before the model sees a token. A piece that the model wrote comes
alone and stays.

The engine's numbers are not those of the model: of two tokens with the same bytes the engine takes the first, and a
letter is to be the piece, not the byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from llamafile_format.weights.gguf_model import Gguf
from onnx import TensorProto

from graph import Graph

SPACE = "▁"
NOTHING, PREFIX = -1, -2  # among the characters of a token: no more of them; a blank, if text follows
FAR = np.iinfo(np.int64).max


class Kind(IntEnum):
    """Token types, by the numbers that GGUF gives them."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Spelling:
    """The tokenizer of a GGUF. ``order`` has the model's number of each of the engine's tokens: bytes come last."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[Kind, ...]
    begin: int
    end: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def special(self) -> tuple[bool, ...]:
        """Whether each token stands for itself in a text and is never joined."""
        return tuple(kind in (Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED) for kind in self.kinds)

    def numbers(self, kind: Kind) -> dict[str, int]:
        """The tokens of one kind, by their pieces."""
        return {piece: number for number, piece in enumerate(self.pieces) if self.kinds[number] is kind}


def read_spelling(gguf: Gguf) -> Spelling:
    """The tokenizer of a GGUF. Raises ValueError if this rule is not its rule."""
    named = gguf.metadata
    if gguf.text("tokenizer.ggml.model") != "llama":
        raise ValueError(f"a tokenizer of kind {gguf.text('tokenizer.ggml.model')} works by another rule than this one")
    for key, wanted in (("add_bos_token", True), ("add_eos_token", False), ("add_space_prefix", True)):
        if named.get(f"tokenizer.ggml.{key}", wanted) is not wanted:
            raise ValueError(f"this rule wants tokenizer.ggml.{key} to be {str(wanted).lower()}")
    tokens, scores, kinds = (gguf.array(f"tokenizer.ggml.{key}") for key in ("tokens", "scores", "token_type"))
    if tokens is None or scores is None or kinds is None:
        raise ValueError("there are no tokens with scores and types")
    kind = tuple(Kind(int(each)) for each in kinds)
    begin = gguf.integer("tokenizer.ggml.bos_token_id")
    ends = (gguf.integer(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return Spelling(
        tuple(bytes(each).decode() for each in tokens.strings()),
        tuple(float(each) for each in scores),
        kind,
        1 if begin is None else begin,
        tuple(dict.fromkeys(each for each in ends if each is not None)),
        tuple(sorted(range(len(kind)), key=lambda number: kind[number] is Kind.BYTE)),
    )


def metadata(spelling: Spelling) -> str:
    """What the engine is told (spec/1, 14.9.5)."""
    place = {number: index for index, number in enumerate(spelling.order)}
    said = [
        "" if kind in (Kind.CONTROL, Kind.UNKNOWN) else piece.replace(SPACE, " ")
        for piece, kind in zip(spelling.pieces, spelling.kinds, strict=True)
    ]  # a control token has no text: nobody can type it, and it is not printed
    told = {
        "format": "llamafile-tokens/1",
        "tokens": [said[number] for number in spelling.order],
        "begin": place[spelling.begin],
        "end": [place[number] for number in spelling.end],
    }
    return json.dumps(told, ensure_ascii=True, separators=(",", ":"))


def characters(spelling: Spelling) -> list[list[int]]:
    """What each of the engine's tokens is made of, as tokens of the model; all rows of one length."""
    plain, octets = spelling.numbers(Kind.NORMAL), spelling.numbers(Kind.BYTE)

    def spelt(token: int) -> list[int]:
        if spelling.special[token]:
            return [token, PREFIX]
        if spelling.kinds[token] is Kind.BYTE:
            return [token]
        return [part for each in spelling.pieces[token] for part in character(each)]

    def character(each: str) -> list[int]:
        return [plain[each]] if each in plain else [octets[f"<0x{byte:02X}>"] for byte in each.encode()]

    rows = [spelt(token) for token in spelling.order]
    longest = max(map(len, rows))
    return [row + [NOTHING] * (longest - len(row)) for row in rows]


def unions(spelling: Spelling) -> list[tuple[int, float, int]]:
    """Every two tokens that make a third: their key, its score and its number; ordered by key."""
    plain, count = spelling.numbers(Kind.NORMAL), len(spelling.pieces)
    found = {
        plain[piece[:at]] * count + plain[piece[at:]]: (spelling.scores[token], token)
        for piece, token in plain.items()
        for at in range(1, len(piece))
        if piece[:at] in plain and piece[at:] in plain
    }
    return [(key, *found[key]) for key in sorted(found)]


def spell(graph: Graph, spelling: Spelling, input_ids: str) -> tuple[str, str]:
    """(the model's tokens, [n]; for each token of the engine the last of them that ends with or before it, [s])."""
    given = graph.op("Reshape", input_ids, graph.constant([-1]))
    order = graph.tensor("order", np.array(spelling.order, np.int64))
    one = graph.op("Equal", graph.scalar(graph.size(given, 0)), graph.constant(1))
    alone, text = Graph("alone", graph), Graph("text", graph)
    results = [(alone.op("Gather", order, given), alone.constant([0])), _cut(text, graph, spelling, given)]
    for branch, (tokens, rows) in zip((alone, text), results, strict=True):
        for name, value in (("tokens", tokens), ("rows", rows)):
            branch.named(f"{branch.name}.{name}", value)
            branch.gives(f"{branch.name}.{name}", TensorProto.INT64, [name])
    tokens, rows = graph.ops("If", 2, one, then_branch=alone.proto(), else_branch=text.proto())
    return tokens, rows


def _cut(graph: Graph, outer: Graph, spelling: Spelling, given: str) -> tuple[str, str]:
    """The engine's tokens taken apart, and joined again by the rule."""
    table = outer.tensor("characters", np.array(characters(spelling), np.int64))
    special = outer.tensor("special", np.array(spelling.special))
    spread = graph.op("Gather", table, given)  # [s, longest]
    index = graph.count(graph.size(given, 0))
    whose = graph.op("Expand", graph.op("Unsqueeze", index, graph.constant([1])), graph.op("Shape", spread))
    there = graph.op("Not", graph.op("Equal", spread, graph.constant(NOTHING)))
    kept = graph.op("Reshape", there, graph.constant([-1]))
    tokens, whose = (
        graph.op("Compress", graph.op("Reshape", value, graph.constant([-1])), kept, axis=0)
        for value in (spread, whose)
    )
    # A blank goes in front of every text that begins, or comes behind a special token.
    end = graph.constant([spelling.begin])
    after = graph.op("Concat", graph.slice(tokens, graph.constant([1]), graph.constant([FAR])), end, axis=0)
    blank = graph.op("Equal", tokens, graph.constant(PREFIX))
    text_follows = graph.op("Not", graph.op("Gather", special, graph.op("Max", after, graph.constant(0))))
    kept = graph.op("Or", graph.op("Not", blank), text_follows)
    space = graph.constant(spelling.pieces.index(SPACE))
    tokens = graph.op("Compress", graph.op("Where", blank, space, tokens), kept, axis=0)
    whose = graph.op("Compress", whose, kept, axis=0)
    body = _join(outer, spelling)
    true = graph.constant(True, np.bool_)
    tokens, whose = graph.ops("Loop", 2, graph.scalar(graph.size(tokens, 0)), true, tokens, whose, body=body.proto())
    before = graph.op(
        "LessOrEqual",
        graph.op("Unsqueeze", whose, graph.constant([0])),
        graph.op("Unsqueeze", index, graph.constant([1])),
    )
    ended = graph.op("ReduceSum", graph.op("Cast", before, to=TensorProto.INT64), graph.constant([1]), keepdims=0)
    return tokens, graph.op("Max", graph.op("Sub", ended, graph.constant(1)), graph.constant(0))


def _join(outer: Graph, spelling: Spelling) -> Graph:
    """One round: the best union of two neighbours takes their place. Ends the loop if there is none."""
    made = unions(spelling)
    width = 1 << max(1, len(made)).bit_length()  # the first power of two above, so that the search below is even
    keys = np.full(width, FAR, np.int64)
    scores, results = np.full(width, -np.inf, np.float32), np.zeros(width, np.int64)
    for at, (key, score, result) in enumerate(made):
        keys[at], scores[at], results[at] = key, score, result
    key_table, score_table = outer.tensor("union.keys", keys), outer.tensor("union.scores", scores)
    result_table = outer.tensor("union.results", results)

    body = Graph("join", outer)
    body.takes("join.round", TensorProto.INT64, [])
    body.takes("join.going", TensorProto.BOOL, [])
    tokens = body.takes("join.tokens", TensorProto.INT64, ["n"])
    whose = body.takes("join.whose", TensorProto.INT64, ["n"])
    first, last = body.constant([0]), body.constant([FAR])
    left = body.slice(tokens, first, body.constant([-1]))
    right = body.slice(tokens, body.constant([1]), last)
    key = body.op("Add", body.op("Mul", left, body.constant(len(spelling.pieces))), right)
    at = body.op("Sub", key, key)  # as many zeros
    for step in (1 << bit for bit in reversed(range(width.bit_length() - 1))):  # the last of the keys that is not above
        probe = body.op("Add", at, body.constant(step))
        at = body.op("Where", body.op("LessOrEqual", body.op("Gather", key_table, probe), key), probe, at)
    known = body.op("Equal", body.op("Gather", key_table, at), key)
    worst = body.constant([-np.inf], np.float32)
    score = body.op("Where", known, body.op("Gather", score_table, at), worst)
    score = body.op("Concat", score, worst, axis=0)  # the last token has no neighbour
    best = body.op("ArgMax", score, axis=0, keepdims=1)
    going = body.op("Greater", body.op("Gather", score, best), worst)
    union = body.op("Gather", body.op("Concat", body.op("Gather", result_table, at), first, axis=0), best)
    union = body.op("Where", going, union, body.op("Gather", tokens, best))
    gone = body.op("Add", best, body.op("Cast", going, to=TensorProto.INT64))
    tokens = body.op(
        "Concat",
        body.slice(tokens, first, best),
        union,
        body.slice(tokens, body.op("Add", gone, body.constant([1])), last),
        axis=0,
    )
    whose = body.op("Concat", body.slice(whose, first, best), body.slice(whose, gone, last), axis=0)
    for name, value, kind, shape in (
        ("join.on", body.scalar(going), TensorProto.BOOL, []),
        ("join.joined", tokens, TensorProto.INT64, ["m"]),
        ("join.ends", whose, TensorProto.INT64, ["m"]),
    ):
        body.named(name, value)
        body.gives(name, kind, shape)
    return body
