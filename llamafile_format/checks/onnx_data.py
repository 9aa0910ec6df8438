"""Data of ONNX models that lie outside them: members of the same container, whole (spec/1, 7.17.6)."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.checks.subject import Beside
from llamafile_format.findings import Finding, Where
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.onnx_model import Onnx, OnnxTensor

ALIGNMENT = 4096
"""What the format asks for, so that a page of memory can be a page of the file."""


def check_onnx_data(model: Onnx, path: str, base: int, beside: Beside) -> Iterator[Finding]:
    """Findings about every tensor of the model ``path``, which starts at ``base``, whose data lie in another member."""
    folder = path.rpartition("/")[0]
    told = 0
    for location, tensors in model.external.items():
        member = f"{folder}/{location}" if folder else location
        place = beside.find(member)
        at = Where(base + min(t.external.at for t in tensors if t.external), None, path, location)
        if place is None or member == path:
            reason = "is not a stored member of this file" if place is None else "is the model itself"
            yield Finding("LF5129", at, {"name": tensors[0].name, "reason": f"{member} {reason}"})
            continue
        beside.named.add(member)
        for tensor in tensors:
            if told < FINDINGS_PER_RULE and (reason := _outside(tensor, member, place[1])):
                told += 1
                where = Where(at.offset, None, path, tensor.name)
                yield Finding("LF5129", where, {"name": tensor.name, "reason": reason})
        starts = (place[0] + tensor.external.offset for tensor in tensors if tensor.external and tensor.size)
        if odd := sum(start % ALIGNMENT > 0 for start in starts):
            yield Finding("LF5130", at, {"path": member, "count": odd, "alignment": ALIGNMENT})


def _outside(tensor: OnnxTensor, member: str, size: int) -> str:
    assert tensor.external is not None
    end = tensor.external.offset + (tensor.size or 0)
    return f"it ends at byte {end} of {member}, which has {size}" if end > size else ""
