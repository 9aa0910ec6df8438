"""What both forms of a bill of materials say in the same words: names, licences, addresses, facts (spec/1, 10.14)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from llamafile_format.examining import Bill, ModelView
from llamafile_format.reports.escape import printable
from llamafile_format.source.address import shown

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:_-]+(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")
UNKNOWN = "1970-01-01T00:00:00Z"
"""The moment that stands for one that nobody knows: a bill asks no clock, and SPDX demands one."""


def title_of(bill: Bill) -> str:
    """What to call the file: its title, else the model's name, else the file's own."""
    file, model = bill.inspection.file, bill.inspection.model
    named = file.title or (model.facts.name if model else "")
    return printable(named or shown(file.name).rpartition("/")[2] or "untitled")


def name_of_model(view: ModelView) -> str:
    """The name that the weights have for themselves, else that of their member, else a word."""
    return printable(view.facts.name or view.member or "model")


def address(text: str | None) -> str:
    """``text`` if it is an http address that every tool can take, without what may be secret in it; else empty."""
    plain = shown(text or "")
    return plain if _ADDRESS.fullmatch(plain) else ""


def spdx_of(text: str) -> str:
    """The SPDX expression that ``text`` is, as SPDX spells it; empty if it is none."""
    if not text or len(text) > 1000:
        return ""
    from license_expression import ExpressionError  # type: ignore[import-untyped]

    try:
        found = _licensing().validate(text)
    except (ExpressionError, AttributeError, RecursionError):  # of a dangling operator the library trips over its own
        return ""
    return "" if found.errors or found.invalid_symbols else str(found.normalized_expression or "")


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def facts_of(view: ModelView) -> dict[str, str]:
    """Facts of a model for which bills have no field, by name; only what the file says, or what was counted in it."""
    facts = view.facts
    numbers = {
        "gguf_version": facts.gguf_version,
        "parameters": facts.parameters or None,
        "tensors": facts.tensors,
        "tensor_bytes": facts.tensor_bytes,
        "context_length": facts.context_length,
        "layers": facts.layers,
        "embedding": facts.embedding,
        "vocabulary": facts.vocabulary,
        "experts": facts.experts,
        "experts_used": facts.experts_used,
    }
    texts = {
        "kind": facts.kind.value,
        "file_type": facts.file_type,
        "bits_per_weight": f"{facts.bits_per_weight:.4f}" if facts.bits_per_weight else None,
        "tensor_types": ", ".join(f"{share.type} {share.tensors}" for share in facts.mix) or None,
        "tokenizer": facts.tokenizer_model,
        "size_label": facts.size_label,
        "quantised_by": facts.quantised_by,
        "languages": ", ".join(facts.languages) or None,
    }
    named = {
        f"chat_template{f'.{template.name}' if template.name else ''}.sha256": template.sha256
        for template in facts.templates
    }
    said = {**{name: str(value) for name, value in numbers.items() if value is not None}, **texts, **named}
    return {printable(name): printable(value) for name, value in said.items() if value}


def identity_of(bill: Bill) -> str:
    """64 digits that stand for this file: of its manifest, else of what was read of it."""
    import hashlib

    file = bill.inspection.file
    if file.manifest_sha256:
        return file.manifest_sha256
    told = repr((file.size, [(m.path, m.size, m.crc32) for m in bill.members], [facts_of(m.view) for m in bill.models]))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
