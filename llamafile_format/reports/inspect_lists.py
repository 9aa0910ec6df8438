"""The long lists of ``inspect``: entries, spans, tensors, keys. Fixed columns, one line an item, made for grep.

Each function yields lines, so that a list of 65,536 rows is printed while it is made. A comment line (``#``) names the
columns; texts from the file come last and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.examining import Inspection, KeyRow, ModelView, WeightsView
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import alignment_text, grouped, percent, plural
from llamafile_format.spans import covers


def entry_lines(inspection: Inspection) -> Iterator[str]:
    """Every member in directory order: offset of its data, sizes, method, alignment, digests, role, path."""
    numbers = f"{'offset':>15} {'size':>15} {'stored':>15} {'method':<10} {'align':>6}"
    yield f"# {numbers} crc32    {'sha256':<16} {'role':<20} path"
    for member in inspection.members:
        digest = member.sha256[:16] or "-"
        yield (
            f"{member.offset:>17} {member.size:>15} {member.stored_size:>15} {member.method:<10} "
            f"{alignment_text(member.boundary).replace(' ', ''):>6} {member.crc32} {digest:<16} "
            f"{printable(member.role):<20} {printable(member.path)}"
        )
    yield f"# {plural(len(inspection.members), 'member')}"


def map_lines(inspection: Inspection) -> Iterator[str]:
    """Every span of the file, and the proof that together they are the file."""
    size = inspection.file.size
    yield f"# {'offset':>15} {'length':>15} {'share':>6} {'kind':<17} path or note"
    for span in inspection.map:
        note = f"  ({printable(span.note)})" if span.note else ""
        share = percent(span.length / size) if size else "-"
        line = f"{span.offset:>17} {span.length:>15} {share:>6} {span.kind.value:<17} {printable(span.path)}{note}"
        yield line.rstrip()
    total = sum(span.length for span in inspection.map)
    verdict = "equal to" if covers(inspection.map, size) else "NOT EQUAL to"
    yield (
        f"# total {grouped(total)} bytes in {plural(len(inspection.map), 'span')}, without holes or overlaps, "
        f"{verdict} the file size {grouped(size)}"
    )


def tensor_lines(inspection: Inspection) -> Iterator[str]:
    """Every tensor of every model: offset of its data, bytes, type, shape (fastest dimension first), name."""
    for model in inspection.models:
        yield _heading(model, f"{plural(model.facts.tensors, 'tensor')}")
        if model.tensors is None:
            yield "# not listed: too many rows in this file"
            continue
        yield f"# {'offset':>15} {'bytes':>15} {'type':<16} {'shape':<24} name"
        for row in model.tensors:
            shape = " x ".join(map(str, row.dims))
            size = "?" if row.size is None else str(row.size)
            yield f"{row.offset:>17} {size:>15} {printable(row.type):<16} {shape:<24} {printable(row.name)}"
    for weights in inspection.other_weights:
        if weights.tensors is not None:
            yield from _other_lines(weights)
    yield from _left_out(inspection)


def _other_lines(weights: WeightsView) -> Iterator[str]:
    """Tensors of weights that are no GGUF: shapes have the slowest dimension first."""
    name = printable(weights.member) or printable(weights.format)
    yield f"# {name}: {plural(weights.tensors or 0, 'tensor')}, slowest dimension first"
    if weights.rows is None:
        yield "# not listed: too many rows in this file"
        return
    yield f"# {'offset':>15} {'bytes':>15} {'type':<16} {'shape':<24} name"
    for row in weights.rows:
        offset = "elsewhere" if row.offset < 0 else str(row.offset)
        size = "?" if row.size is None else str(row.size)
        shape = " x ".join(map(str, row.dims)) or "1"
        yield f"{offset:>17} {size:>15} {printable(row.type):<16} {shape:<24} {printable(row.name)}"


def key_lines(inspection: Inspection) -> Iterator[str]:
    """Every key of every model: type, key, value; of arrays the number of elements and the first few."""
    for model in inspection.models:
        yield _heading(model, plural(model.keys, "key"))
        if model.kv is None:
            yield "# not listed: too many rows in this file"
            continue
        for row in model.kv:
            yield f"{_type_text(row):<18} {printable(row.key)} = {_value_text(row)}"
    yield from _left_out(inspection)


def _heading(model: ModelView, what: str) -> str:
    return f"# {printable(model.member) or 'the file'}: {what}"


def _left_out(inspection: Inspection) -> Iterator[str]:
    if inspection.models_left_out:
        yield f"# and {plural(inspection.models_left_out, 'more model')} that are not listed"


def _type_text(row: KeyRow) -> str:
    if row.type.startswith("array of "):
        return f"{row.type.removeprefix('array of ')}[{row.length}]"
    return row.type


def _value_text(row: KeyRow) -> str:
    if isinstance(row.value, tuple):
        shown = ", ".join(_scalar_text(item) for item in row.value)
        return f"[{shown}{', ...' if (row.length or 0) > len(row.value) else ''}]"
    text = _scalar_text(row.value)
    if isinstance(row.value, str) and row.length is not None and row.length > len(row.value.encode("utf-8", "replace")):
        return f"{text}... ({grouped(row.length)} bytes)"
    return text


def _scalar_text(value: int | float | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + printable(value).replace('"', '\\"') + '"'
    return f"{value:g}" if isinstance(value, float) else str(value)
