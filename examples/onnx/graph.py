"""A graph of ONNX, written operator by operator; large weights go into a file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.generic]
BLOCK = 4096  # where data outside of a graph begin, so that pages can be mapped
OPERATORS, FORMAT = 17, 8
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class Graph:
    """Operators in the order in which they are asked for. Values are known by their names.

    A graph inside of another (the body of a loop, a branch) sees the values of the one that it stands in.
    """

    def __init__(self, name: str, above: Graph | None = None) -> None:
        self.name = name
        self.above = above
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def fresh(self, word: str) -> str:
        """A name that nothing in this graph has."""
        return f"{self.name}.{word}.{len(self.nodes) + len(self.tensors)}"

    def op(self, operator: str, *values: str, **attributes: object) -> str:
        """The one result of an operator."""
        return self.ops(operator, 1, *values, **attributes)[0]

    def ops(self, operator: str, count: int, *values: str, **attributes: object) -> list[str]:
        """All results of an operator."""
        name = self.fresh(operator)
        results = [name if count == 1 else f"{name}.{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, list(values), results, **attributes))
        return results

    def named(self, name: str, value: str) -> None:
        """``value`` under the name that an output of the model has."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def constant(self, values: object, kind: type[np.generic] = np.int64) -> str:
        """Numbers in the graph: whole ones if nothing else is said."""
        return self.tensor(self.fresh("constant"), np.asarray(values, kind))

    def tensor(self, name: str, values: Array) -> str:
        """Numbers that have a name; ``Model.save`` takes large ones out."""
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def takes(self, name: str, kind: int, shape: Sequence[int | str] | None) -> str:
        """An input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def gives(self, name: str, kind: int, shape: Sequence[int | str] | None) -> None:
        """An output."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def proto(self) -> onnx.GraphProto:
        """As ONNX has it."""
        return helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.tensors)

    # What is wanted again and again.

    def slice(self, value: str, start: str, end: str, axis: int = 0) -> str:
        """``value[start:end]``, along one axis; start and end are lists of one number."""
        return self.op("Slice", value, start, end, self.constant([axis]))

    def size(self, value: str, axis: int) -> str:
        """How long ``value`` is along an axis, as a list of one number."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def scalar(self, value: str) -> str:
        """The number in a list of one."""
        return self.op("Squeeze", value)

    def count(self, value: str) -> str:
        """0, 1, 2 … below a list of one number."""
        return self.op("Range", self.constant(0), self.scalar(value), self.constant(1))


def save(graph: Graph, metadata: dict[str, str], path: Path) -> None:
    """Write the model, and beside it, as ``NAME.data``, every tensor that fills a page."""
    beside = path.with_name(f"{path.name}.data")
    with beside.open("wb") as file:
        for tensor in graph.tensors:
            data = tensor.raw_data
            if len(data) < BLOCK:
                continue
            file.write(bytes(-file.tell() % BLOCK))
            where = {"location": beside.name, "offset": str(file.tell()), "length": str(len(data))}
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in where.items():
                tensor.external_data.add(key=key, value=value)
            file.write(data)
    model = helper.make_model(
        graph.proto(), producer_name="llamafile-format", opset_imports=[helper.make_opsetid("", OPERATORS)]
    )
    model.ir_version = FORMAT
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString(deterministic=True))
