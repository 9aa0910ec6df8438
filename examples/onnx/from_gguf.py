"""A GGUF of architecture `llama`, with its tokenizer, as a model in ONNX that the engine onnxruntime runs.

    pip install llamafile-format numpy onnx
    python examples/onnx/from_gguf.py MODEL.gguf NAME.onnx        # NAME.onnx and NAME.onnx.data

Weights in F32 and F16 keep their type, Q8_0 becomes F32 without rounding. What this does not know it refuses: other
architectures, other tokenizers, experts, stretched positions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from llamafile_format.source import FileSource
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import Gguf, TensorInfo
from onnx import TensorProto

from graph import Array, Graph, save
from spelling import metadata, read_spelling, spell

F32, F16, Q8_0 = 0, 1, 8
BLOCK_OF_Q8_0 = np.dtype([("scale", "<f2"), ("numbers", "i1", 32)])


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model. ``rope`` counts the numbers of a head that turn."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    key: int
    value: int
    rope: int
    base: float
    epsilon: float


def read_shape(gguf: Gguf) -> Shape:
    """The sizes of a model. Raises ValueError if it is none of those that this can write."""
    if gguf.text("general.architecture") != "llama":
        raise ValueError(f"the architecture is {gguf.text('general.architecture')}; this writes llama alone")
    if gguf.text("llama.rope.scaling.type") not in (None, "none") or gguf.integer("llama.expert_count"):
        raise ValueError("this writes no experts and no stretched positions")

    def whole(key: str, standard: int | None = None) -> int:
        value = gguf.integer(f"llama.{key}")
        value = standard if value is None else value
        if not value:
            raise ValueError(f"llama.{key} is missing")
        return value

    width, heads = whole("embedding_length"), whole("attention.head_count")
    key = whole("attention.key_length", width // heads)
    return Shape(
        width,
        whole("block_count"),
        heads,
        whole("attention.head_count_kv", heads),
        key,
        whole("attention.value_length", width // heads),
        whole("rope.dimension_count", key),
        float(gguf.number("llama.rope.freq_base") or 10000),
        float(gguf.number("llama.attention.layer_norm_rms_epsilon") or 0),
    )


class Weights:
    """The tensors of a GGUF, each written into the graph when it is first asked for."""

    def __init__(self, graph: Graph, source: FileSource, gguf: Gguf) -> None:
        self.graph = graph
        self.source = source
        self.start = gguf.data_offset
        self.rows = {row.name: row for row in gguf.tensors}
        self.written: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def array(self, name: str) -> Array:
        """Its numbers, rows first."""
        row = self.rows.get(name)
        if row is None:
            raise ValueError(f"the model has no tensor {name}")
        return _numbers(row, self.source.read_at(self.start + row.offset, row.size_bytes or 0))

    def __getitem__(self, name: str) -> str:
        """The value that is this tensor, as float32."""
        if name not in self.written:
            numbers = self.array(name)
            value = self.graph.tensor(name, numbers)
            half = numbers.dtype == np.float16
            self.written[name] = self.graph.op("Cast", value, to=TensorProto.FLOAT) if half else value
        return self.written[name]


def _numbers(row: TensorInfo, data: bytes) -> Array:
    shape = row.dims[::-1]
    if row.type_id == Q8_0:
        blocks = np.frombuffer(data, BLOCK_OF_Q8_0)
        return (blocks["scale"].astype(np.float32)[:, None] * blocks["numbers"].astype(np.float32)).reshape(shape)
    if row.type_id not in (F32, F16):
        raise ValueError(f"{row.name} has tensor type {row.type_id}; this reads F32, F16 and Q8_0")
    return np.frombuffer(data, "<f4" if row.type_id == F32 else "<f2").reshape(shape)


class Llama:
    """The architecture, operator by operator. Values are [tokens, width] but where a comment says otherwise."""

    def __init__(self, graph: Graph, shape: Shape, weights: Weights) -> None:
        self.graph = graph
        self.shape = shape
        self.weights = weights

    def logits(self, tokens: str, rows: str) -> str:
        """What may come next behind each of ``rows``: [s, vocabulary]."""
        graph, weights = self.graph, self.weights
        past = graph.size("past_key_values.0.key", 2)
        now = graph.size(tokens, 0)
        positions = graph.op("Add", graph.count(now), past)
        self._turns(positions)
        seen = graph.op(
            "LessOrEqual",
            graph.count(graph.op("Add", past, now)),
            graph.op("Unsqueeze", positions, graph.constant([1])),
        )  # [tokens, all]
        no, yes = graph.constant(-np.inf, np.float32), graph.constant(0, np.float32)
        self.mask = graph.op("Where", seen, yes, no)
        x = graph.op("Gather", weights["token_embd.weight"], tokens)
        for layer in range(self.shape.layers):
            x = self._block(x, layer)
        x = self._norm(graph.op("Gather", x, rows), "output_norm")
        return self._linear(x, "output" if "output.weight" in weights else "token_embd")

    def _turns(self, positions: str) -> None:
        """Cosine and sine of every angle: [tokens, 1, pair]."""
        graph, shape = self.graph, self.shape
        speed = shape.base ** (-np.arange(0, shape.rope, 2) / shape.rope)
        if "rope_freqs.weight" in self.weights:
            speed = speed / self.weights.array("rope_freqs.weight")
        place = graph.op("Cast", graph.op("Unsqueeze", positions, graph.constant([1, 2])), to=TensorProto.FLOAT)
        angle = graph.op("Mul", place, graph.constant(speed, np.float32))
        self.cos, self.sin = graph.op("Cos", angle), graph.op("Sin", angle)

    def _block(self, x: str, layer: int) -> str:
        graph, name = self.graph, f"blk.{layer}"
        x = graph.op("Add", x, self._attend(self._norm(x, f"{name}.attn_norm"), layer))
        h = self._norm(x, f"{name}.ffn_norm")
        gate = self._linear(h, f"{name}.ffn_gate")
        gate = graph.op("Mul", gate, graph.op("Sigmoid", gate))
        h = graph.op("Mul", gate, self._linear(h, f"{name}.ffn_up"))
        return graph.op("Add", x, self._linear(h, f"{name}.ffn_down"))

    def _attend(self, x: str, layer: int) -> str:
        """Heads that share keys and values lie side by side: [kv heads, heads of each, tokens, numbers]."""
        graph, shape, name = self.graph, self.shape, f"blk.{layer}"
        heads, kv, each = shape.heads, shape.kv_heads, shape.heads // shape.kv_heads
        q = self._rotate(self._heads(self._linear(x, f"{name}.attn_q"), heads, shape.key))
        k = self._rotate(self._heads(self._linear(x, f"{name}.attn_k"), kv, shape.key))
        v = self._heads(self._linear(x, f"{name}.attn_v"), kv, shape.value)
        q = graph.op("Transpose", q, perm=[1, 0, 2])
        q = graph.op("Reshape", q, graph.constant([kv, each, -1, shape.key]))
        k, v = self._remembered(k, layer, "key"), self._remembered(v, layer, "value")  # [1, kv heads, all, numbers]
        k = graph.op("Transpose", k, perm=[1, 0, 3, 2])
        v = graph.op("Transpose", v, perm=[1, 0, 2, 3])
        score = graph.op("Mul", graph.op("MatMul", q, k), graph.constant(shape.key**-0.5, np.float32))
        seen = graph.op("MatMul", graph.op("Softmax", graph.op("Add", score, self.mask), axis=-1), v)
        seen = graph.op("Reshape", seen, graph.constant([heads, -1, shape.value]))
        seen = graph.op("Transpose", seen, perm=[1, 0, 2])
        return self._linear(graph.op("Reshape", seen, graph.constant([-1, heads * shape.value])), f"{name}.attn_output")

    def _heads(self, x: str, heads: int, size: int) -> str:
        """[tokens, heads, numbers]."""
        return self.graph.op("Reshape", x, self.graph.constant([-1, heads, size]))

    def _rotate(self, x: str) -> str:
        """Turn each pair of neighbours in a head by the angle of its place."""
        graph, turned, size = self.graph, self.shape.rope, self.shape.key
        parts = graph.ops("Split", 2, x, graph.constant([turned, size - turned]), axis=2) if turned < size else [x]
        pairs = graph.op("Reshape", parts[0], graph.constant([0, 0, turned // 2, 2]))
        even, odd = (graph.op("Gather", pairs, graph.constant(index), axis=3) for index in (0, 1))
        first = graph.op("Sub", graph.op("Mul", even, self.cos), graph.op("Mul", odd, self.sin))
        second = graph.op("Add", graph.op("Mul", even, self.sin), graph.op("Mul", odd, self.cos))
        both = (graph.op("Unsqueeze", each, graph.constant([3])) for each in (first, second))
        x = graph.op("Reshape", graph.op("Concat", *both, axis=3), graph.constant([0, 0, turned]))
        return graph.op("Concat", x, *parts[1:], axis=2)

    def _remembered(self, new: str, layer: int, word: str) -> str:
        """What was said before, and ``new`` behind it: a cache that goes in and comes out."""
        graph, shape, name = self.graph, self.shape, f"{layer}.{word}"
        size = shape.key if word == "key" else shape.value
        new = graph.op("Unsqueeze", graph.op("Transpose", new, perm=[1, 0, 2]), graph.constant([0]))
        past = graph.takes(f"past_key_values.{name}", TensorProto.FLOAT, [1, shape.kv_heads, "past", size])
        whole = graph.op("Concat", past, new, axis=2)
        graph.named(f"present.{name}", whole)
        graph.gives(f"present.{name}", TensorProto.FLOAT, [1, shape.kv_heads, "all", size])
        return whole

    def _norm(self, x: str, name: str) -> str:
        graph = self.graph
        mean = graph.op("ReduceMean", graph.op("Mul", x, x), axes=[-1], keepdims=1)
        root = graph.op("Sqrt", graph.op("Add", mean, graph.constant(self.shape.epsilon, np.float32)))
        return graph.op("Mul", graph.op("Div", x, root), self.weights[f"{name}.weight"])

    def _linear(self, x: str, name: str) -> str:
        more = [self.weights[f"{name}.bias"]] if f"{name}.bias" in self.weights else []
        return self.graph.op("Gemm", x, self.weights[f"{name}.weight"], *more, transB=1)


def write(source: Path, out: Path) -> None:
    """Write the model that ``source`` is as ``out`` and ``out``.data. Raises ValueError if this cannot."""
    with FileSource(source) as file:
        gguf = read_gguf(file)
        if not gguf.complete:
            raise ValueError(f"{source} cannot be read: {gguf.findings[0].message}")
        shape, spelling = read_shape(gguf), read_spelling(gguf)
        graph = Graph("llama")
        words = len(spelling.pieces)
        tokens, rows = spell(graph, spelling, graph.takes("input_ids", TensorProto.INT64, [1, "s"]))
        graph.gives("logits", TensorProto.FLOAT, [1, "s", words])
        logits = Llama(graph, shape, Weights(graph, file, gguf)).logits(tokens, rows)
        logits = graph.op("Gather", logits, "order", axis=1)
        graph.named("logits", graph.op("Unsqueeze", logits, graph.constant([0])))
        save(graph, {"llamafile.tokenizer": metadata(spelling)}, out)


def main() -> None:
    """Write the model that is named."""
    if len(sys.argv) != 3:
        sys.exit("python from_gguf.py MODEL.gguf NAME.onnx")
    try:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
    except ValueError as error:
        sys.exit(f"from_gguf: {error}")


if __name__ == "__main__":
    main()
