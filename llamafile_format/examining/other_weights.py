"""Weights that are no GGUF, as ``inspect`` shows them (spec/1, 7.16 to 7.18): what they are, and what they hold.

Headers are read, data never. What no reader here understands is told by its bytes and stays *undetermined*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from llamafile_format.bounded_json import parse_json
from llamafile_format.checks.metadata import check_words
from llamafile_format.container import Container, MemberFacts
from llamafile_format.errors import FormatError
from llamafile_format.examining.inspect_model import RowBudget
from llamafile_format.examining.inspection import (
    OnnxView,
    OperatorRow,
    OutsideRow,
    SectionRow,
    TensorRow,
    TypeRow,
    ValueRow,
    WeightsView,
)
from llamafile_format.findings import Finding
from llamafile_format.manifest.roles import HOLDING_WEIGHTS
from llamafile_format.source import ByteSource, Window
from llamafile_format.weights.formats import (
    GGUF,
    LITERTLM,
    ONNX,
    PICKLE,
    PYTORCH,
    SAFETENSORS,
    Format,
    recognise_format,
)
from llamafile_format.weights.litertlm import read_litertlm
from llamafile_format.weights.onnx import read_onnx
from llamafile_format.weights.onnx_model import Onnx, OnnxTensor, OnnxValue
from llamafile_format.weights.onnx_schema import type_name
from llamafile_format.weights.recognised import recognise_more
from llamafile_format.weights.safetensors import dtypes_of, read_safetensors

QAT = re.compile(r"(?i)(?<![a-z])qat(?![a-z])")

_CONFIG = 1 << 20  # bytes of a config.json that are read
_ROWS = 256  # of operators, inputs, outputs and metadata
_WORDS = 1024  # characters of one text
_NEVER_OPENED = frozenset({PYTORCH, PICKLE})

Place = tuple[str, str, int]
"""Path, role and offset of a member; empty and 0 for a file of its own."""


def other_weights(container: Container, budget: RowBudget) -> Iterator[WeightsView]:
    """Every stored member of ``container`` that holds weights, or parts of them, and is no GGUF."""
    members = {each.path: each for each in container.members if each.stored and each.offset >= 0}
    for member in members.values():
        if member.role in HOLDING_WEIGHTS:
            source = Window(container.source, member.offset, member.size)
            place = (member.path, member.role, member.offset)
            if view := _view(source, place, budget, partial(container.onnx, member)):
                yield _with_config(container, members, view)


def bare_weights(source: ByteSource, path: str, budget: RowBudget) -> tuple[WeightsView | None, tuple[Finding, ...]]:
    """The weights that ``source``, called ``path``, is, and what their reader finds; None if it is none."""
    found = recognise_format(source)
    findings: tuple[Finding, ...] = ()
    model: Onnx | None = None
    if found is SAFETENSORS:
        findings = read_safetensors(source).findings
    elif found is ONNX:
        model = read_onnx(source)
        findings = (*model.findings, *check_words(model, source, 0, ""))
    view = _view(source, (path, "", 0), budget, lambda: model or read_onnx(source))
    return (None if view is None else view._replace(member="")), findings


def _view(source: ByteSource, place: Place, budget: RowBudget, onnx: Callable[[], Onnx]) -> WeightsView | None:
    found = recognise_format(source)
    if found is GGUF:
        return None
    if found is SAFETENSORS:
        view = _safetensors(source, place, budget)
    elif found is ONNX:
        view = _onnx(source, onnx(), place, budget)
    elif found is LITERTLM:
        view = _litertlm(source, place)
    else:
        told = _told(source, place, found)
        if told is None:
            return None
        view = told
    claims = QAT.search(place[0]) or any(QAT.search(text) for text in view.metadata.values())
    return view._replace(claims_qat=bool(claims))


def _start(source: ByteSource, place: Place, name: str, basis: str, *, read: bool) -> WeightsView:
    path, role, offset = place
    return WeightsView(path, role, offset, source.size, name, basis, read)


def _told(source: ByteSource, place: Place, found: Format | None) -> WeightsView | None:
    """What is recognised and not read."""
    if found is not None:
        facts = ("never opened: loading it runs a program",) if found in _NEVER_OPENED else ()
        return _start(source, place, found.name, "its first bytes", read=False)._replace(facts=facts)
    more = recognise_more(source, place[0])
    return None if more is None else _start(source, place, more.name, more.basis, read=False)


def _short(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key[:_WORDS]: value[:_WORDS] for key, value in list(metadata.items())[:_ROWS]}


def _safetensors(source: ByteSource, place: Place, budget: RowBudget) -> WeightsView:
    read = read_safetensors(source)
    rows = None
    if budget.take(budget.tensors, len(read.tensors)):
        rows = tuple(
            TensorRow(each.name, each.dtype, each.shape, each.elements, place[2] + each.start, each.size)
            for each in read.tensors
        )
    view = _start(source, place, "safetensors", "the length of a JSON object, and that object", read=True)
    return view._replace(
        complete=read.complete,
        tensors=len(read.tensors),
        types=tuple(TypeRow(*row) for row in dtypes_of(read.tensors)),
        metadata=_short(read.metadata),
        family="MLX" if read.metadata.get("format") == "mlx" else "",
        rows=rows,
    )


def _onnx(source: ByteSource, model: Onnx, place: Place, budget: RowBudget) -> WeightsView:
    sums: dict[str, list[int]] = {}
    for tensor in model.tensors:
        row = sums.setdefault(type_name(tensor.type), [0, 0, 0])
        row[0], row[1], row[2] = row[0] + 1, row[1] + tensor.elements, row[2] + (tensor.size or 0)
    view = _start(source, place, "ONNX", "the fields of a model, from byte 0", read=True)
    return view._replace(
        complete=model.complete,
        tensors=len(model.tensors),
        types=tuple(TypeRow(name, *row) for name, row in sorted(sums.items(), key=lambda item: (-item[1][2], item[0]))),
        metadata=_short(model.metadata),
        onnx=_onnx_view(model),
        rows=tuple(_row(each, place[2]) for each in model.tensors)
        if budget.take(budget.tensors, len(model.tensors))
        else None,
    )


def _row(tensor: OnnxTensor, base: int) -> TensorRow:
    at = -1 if tensor.start is None else base + tensor.start
    return TensorRow(tensor.name, type_name(tensor.type), tensor.dims, tensor.elements, at, tensor.size)


def _onnx_view(model: Onnx) -> OnnxView:
    operators = sorted(model.operators.items(), key=lambda item: (-item[1], item[0]))
    return OnnxView(
        ir_version=model.ir_version,
        producer=model.producer[:_WORDS],
        graph=model.graph[:_WORDS],
        opsets={domain or "ai.onnx": version for domain, version in list(model.opsets.items())[:_ROWS]},
        nodes=model.nodes,
        functions=len(model.functions),
        operators=tuple(OperatorRow(domain or "ai.onnx", name, count) for (domain, name), count in operators[:_ROWS]),
        inputs=_values(model.inputs),
        outputs=_values(model.outputs),
        outside=tuple(
            OutsideRow(location, len(tensors), sum(tensor.size or 0 for tensor in tensors))
            for location, tensors in list(model.external.items())[:_ROWS]
        ),
    )


def _values(values: Sequence[OnnxValue]) -> tuple[ValueRow, ...]:
    return tuple(ValueRow(each.name[:_WORDS], each.type, each.shape) for each in values[:_ROWS])


def _litertlm(source: ByteSource, place: Place) -> WeightsView:
    read = read_litertlm(source)
    view = _start(source, place, "LiteRT-LM", "LITERTLM at byte 0", read=False)
    facts = tuple(text for text in (f"version {read.version}" if read.version else "", read.fault) if text)
    sections = tuple(SectionRow(each.kind, each.begin, each.end) for each in read.sections)
    return view._replace(complete=not read.fault, facts=facts, sections=sections)


def _with_config(container: Container, members: Mapping[str, MemberFacts], view: WeightsView) -> WeightsView:
    """``view``, with what a ``config.json`` beside safetensors says of their quantisation."""
    if view.format != "safetensors":
        return view
    folder, slash, _ = view.member.rpartition("/")
    config = members.get(f"{folder}{slash}config.json")
    if config is None or config.size > _CONFIG:
        return view
    try:
        value = parse_json(container.source.read_at(config.offset, config.size), depth=16)
    except FormatError:
        return view
    said = value if isinstance(value, dict) else {}
    quantised = said.get("quantization")
    if isinstance(quantised, dict) and all(type(quantised.get(key)) is int for key in ("bits", "group_size")):
        words = f"{quantised['bits']} bits in groups of {quantised['group_size']}, says {config.path}"
        return view._replace(family="MLX", facts=(*view.facts, words))
    method = said.get("quantization_config")
    if isinstance(method, dict) and isinstance(name := method.get("quant_method"), str):
        return view._replace(facts=(*view.facts, f"quantised by {name[:80]}, says {config.path}"))
    return view
