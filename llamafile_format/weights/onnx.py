"""Read an ONNX model: strictly, within bounds, without its data (spec/1, 7.17).

:func:`read_onnx` never raises for bad bytes. Every message is walked, so that what is without a fault here a library
of protocol buffers reads, and sees the same in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format import limits as caps
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_cursor import Log, Stop
from llamafile_format.weights.onnx_model import Onnx, OnnxValue
from llamafile_format.weights.onnx_schema import (
    KNOWN_IR,
    KNOWN_OPSETS,
    MESSAGES,
    STANDARD_DOMAINS,
    type_name,
)
from llamafile_format.weights.onnx_tensor import read_entry, read_tensor
from llamafile_format.weights.protobuf import ALONE, Caps, Rules, Wire

MAX_BYTES = (1 << 31) - 1
"""Longest message that protocol buffers have (7.17.2)."""

SETS_SINCE = 3
"""Version of the format since which a model names the sets of its operators."""

_RULES = Rules("LF5121", "LF5122", "LF5125", "LF5124")
_CAPS = Caps(caps.ONNX_FIELDS, caps.ONNX_TEXT, caps.ONNX_DEPTH, caps.ONNX_WORDS)
_SPOKEN = frozenset({"doc_string", "metadata_props"})
_VALUES = 1024  # inputs and outputs that are kept of each
_METADATA = 256
_ALIASES = {"ai.onnx": ""}


def read_onnx(source: ByteSource, *, base: int = 0, member: str = "") -> Onnx:
    """The ONNX model that ``source`` is.

    ``base`` is added to the offsets of findings, ``member`` names the member in them. Raises SourceError only.
    """
    log = Log(base, member)
    model = Onnx(source.size)
    reading = _Reading(Wire(source, MESSAGES, log, _RULES, _CAPS, spoken=_SPOKEN), model)
    try:
        if source.size > MAX_BYTES:
            reason = f"it has {source.size} bytes, and no message has more than {MAX_BYTES}"
            raise log.stop("LF5121", 0, "Model", reason=reason)
        reading.run()
    except Stop as stop:
        model.stopped = stop.reason
    model.findings = tuple(log.findings)
    model.words, model.wordy = reading.wire.words, reading.wire.wordy
    return model


class _Scope:
    """Nodes that share operator sets: those of the model, or of one function. ``used``: where a domain first is."""

    def __init__(self) -> None:
        self.opsets: dict[str, int] = {}
        self.used: dict[str, int] = {}


class _Reading:
    """State of one reading; what was read before a stop is kept in ``model``."""

    def __init__(self, wire: Wire, model: Onnx) -> None:
        self.wire = wire
        self.log = wire.log
        self.model = model

    def run(self) -> None:
        """The outermost message; then whether what it names is there, and known."""
        wire, model, scope, graphs = self.wire, self.model, _Scope(), 0
        for field, begin, end in wire.fields("Model", 0, model.size):
            match field.name:
                case "ir_version":
                    model.ir_version = begin
                case "producer_name" | "producer_version":
                    model.producer = f"{model.producer} {wire.text(begin, end, field.name)}".strip()
                case "domain":
                    model.domain = wire.text(begin, end, field.name)
                case "opset_import":
                    self._opset(scope, begin, end)
                    model.opsets = scope.opsets
                case "graph":
                    graphs += 1
                    self._graph(scope, begin, end, outermost=graphs == 1)
                case "functions":
                    self._function(begin, end)
                case "metadata_props":
                    self._metadata(begin, end)
                case "training_info":
                    self._training(scope, begin, end)
                case _:
                    self.wire.rest(field, begin, end)
        self._whole(graphs)
        self._imports(scope)
        self._foreign()

    def _whole(self, graphs: int) -> None:
        """What no model is without (7.17.4), and versions beyond those known (7.17.7)."""
        for what, there in (("graph", graphs), ("version of the format", self.model.ir_version)):
            if not there:
                self.log.add("LF5123", 0, "Model", what=f"no {what}")
        if self.model.ir_version > KNOWN_IR:
            self.log.add("LF5125", 0, "ir_version", what=f"version {self.model.ir_version} of the format")
        for domain, version in self.model.opsets.items():
            if version > KNOWN_OPSETS.get(domain, version):
                what = f"version {version} of the operators of {domain or 'ai.onnx'}"
                self.log.add("LF5125", 0, "opset_import", what=what)

    def _imports(self, scope: _Scope) -> None:
        if self.model.ir_version < SETS_SINCE:
            return
        for domain, at in scope.used.items():
            if domain not in scope.opsets:
                what = f"no version of the operators of {domain or 'ai.onnx'}, which it uses"
                self.log.add("LF5123", at, "opset_import", what=what)

    def _foreign(self) -> None:
        """Operators that are neither an engine's own nor defined in the model (7.17.8)."""
        names: dict[str, list[str]] = {}
        for domain, name in self.model.operators:
            if domain not in STANDARD_DOMAINS and (domain, name) not in self.model.functions:
                names.setdefault(domain, []).append(name)
        for domain, found in names.items():
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            self.log.add("LF5131", 0, domain, domain=domain, operators=", ".join(found[:3]) + more)

    def _opset(self, scope: _Scope, begin: int, end: int) -> None:
        domain, version = "", 0
        for field, start, stop in self.wire.fields("OperatorSet", begin, end):
            if field.name == "version":
                version = start
            else:
                domain = self._domain(start, stop)
        if domain in scope.opsets:
            self.log.add("LF5122", begin, "opset_import", what="operators of", name=domain or "ai.onnx")
        scope.opsets.setdefault(domain, version)

    def _domain(self, begin: int, end: int) -> str:
        text = self.wire.text(begin, end, "domain")
        return _ALIASES.get(text, text)

    def _graph(self, scope: _Scope, begin: int, end: int, *, outermost: bool = False) -> None:
        names: set[str] = set()
        ports: tuple[list[OnnxValue], list[OnnxValue]] = ([], [])
        for field, start, stop in self.wire.fields("Graph", begin, end):
            match field.name:
                case "node":
                    self._node(scope, start, stop)
                case "initializer":
                    self._initializer(names, start, stop)
                case "sparse_initializer":
                    self._sparse(start, stop, names)
                case "name" if outermost:
                    self.model.graph = self.wire.text(start, stop, field.name)
                case "input" | "output" if outermost and len(ports[field.name == "output"]) < _VALUES:
                    ports[field.name == "output"].append(self._port(start, stop))
                case _:
                    self.wire.rest(field, start, stop)
        if outermost:
            self.model.inputs = [value for value in ports[0] if value.name not in names]
            self.model.outputs = ports[1]

    def _initializer(self, names: set[str], begin: int, end: int) -> None:
        name = self._tensor(begin, end)
        if name is None:
            return
        if not name:
            self.log.add("LF5123", begin, "initializer", what="an initializer without a name")
        elif name in names:
            self.log.add("LF5122", begin, name, what="the initializer", name=name)
        names.add(name)

    def _tensor(self, begin: int, end: int) -> str | None:
        """The name of the tensor, which is kept; None if it has faults enough."""
        tensor = read_tensor(self.wire, begin, end)
        if tensor is None:
            return None
        if len(self.model.tensors) == caps.ONNX_TENSORS:
            found, most = len(self.model.tensors) + 1, caps.ONNX_TENSORS
            raise self.log.past_cap("LF5124", begin, "tensors", what="tensors", found=found, limit=most)
        self.model.tensors.append(tensor)
        return tensor.name

    def _sparse(self, begin: int, end: int, names: set[str] | None = None) -> None:
        """A tensor of values and one of their places."""
        for field, start, stop in self.wire.fields("SparseTensor", begin, end):
            if field.name == "values" and names is not None:
                self._initializer(names, start, stop)
            elif field.kind == "Tensor":
                self._tensor(start, stop)
            else:
                self.wire.rest(field, start, stop)

    def _node(self, scope: _Scope, begin: int, end: int) -> None:
        domain = name = ""
        for field, start, stop in self.wire.fields("Node", begin, end):
            match field.name:
                case "op_type":
                    name = self.wire.text(start, stop, field.name)
                case "domain":
                    domain = self._domain(start, stop)
                case "attribute":
                    self._attribute(scope, start, stop)
                case _:
                    self.wire.rest(field, start, stop)
        key = (domain, name)
        self.model.operators[key] = self.model.operators.get(key, 0) + 1
        scope.used.setdefault(domain, begin)

    def _attribute(self, scope: _Scope, begin: int, end: int) -> None:
        for field, start, stop in self.wire.fields("Attribute", begin, end):
            match field.kind:
                case "Tensor":
                    self._tensor(start, stop)
                case "Graph":
                    self._graph(scope, start, stop)
                case "SparseTensor":
                    self._sparse(start, stop)
                case "number" | "float" if stop != ALONE and field.many:
                    self.wire.numbers_in(field, start, stop)
                case _:
                    self.wire.rest(field, start, stop)

    def _function(self, begin: int, end: int) -> None:
        """A function of the model: an operator of its own, with nodes that have operator sets of their own."""
        scope, domain, name = _Scope(), "", ""
        for field, start, stop in self.wire.fields("Function", begin, end):
            match field.name:
                case "name":
                    name = self.wire.text(start, stop, field.name)
                case "domain":
                    domain = self._domain(start, stop)
                case "node":
                    self._node(scope, start, stop)
                case "opset_import":
                    self._opset(scope, start, stop)
                case "attribute_proto":
                    self._attribute(scope, start, stop)
                case _:
                    self.wire.rest(field, start, stop)
        self.model.functions.add((domain, name))
        self._imports(scope)

    def _training(self, scope: _Scope, begin: int, end: int) -> None:
        for field, start, stop in self.wire.fields("Training", begin, end):
            if field.kind == "Graph":
                self._graph(scope, start, stop)
            else:
                self.wire.rest(field, start, stop)

    def _metadata(self, begin: int, end: int) -> None:
        self.wire.say("metadata_props", begin, end)
        key, value = read_entry(self.wire, begin, end)
        if key in self.model.metadata:
            self.log.add("LF5122", begin, key, what="the key of the metadata", name=key)
        elif len(self.model.metadata) < _METADATA:
            self.model.metadata[key] = value

    def _port(self, begin: int, end: int) -> OnnxValue:
        """An input or output of the model."""
        name, kind, shape = "", "", None
        for field, start, stop in self.wire.fields("ValueInfo", begin, end):
            if field.name == "name":
                name = self.wire.text(start, stop, field.name)
            elif field.name == "type":
                kind, shape = self._type(start, stop)
            else:
                self.wire.rest(field, start, stop)
        return OnnxValue(name, kind, shape)

    def _type(self, begin: int, end: int) -> tuple[str, tuple[str, ...] | None]:
        """A tensor's type and shape; of another type its kind."""
        kind, shape = "", None
        for field, start, stop in self.wire.fields("Type", begin, end):
            if field.name != "tensor_type":
                kind = kind or field.name.removesuffix("_type")
                self.wire.rest(field, start, stop)
                continue
            for inner, at, behind in self.wire.fields("TensorType", start, stop):
                if inner.name == "elem_type":
                    kind = type_name(at)
                else:
                    shape = tuple(self._shape(at, behind))
        return kind, shape

    def _shape(self, begin: int, end: int) -> Iterator[str]:
        for _, start, stop in self.wire.fields("Shape", begin, end):
            said = "?"
            for inner, at, behind in self.wire.fields("Dimension", start, stop):
                if inner.name == "dim_value":
                    said = str(at)
                elif inner.name == "dim_param":
                    said = self.wire.text(at, behind, inner.name) or "?"
            yield said
