"""One GGUF as ``inspect`` shows it: facts, memory, templates, and on demand every tensor and key (spec/1, 7.9)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from llamafile_format.checks.verdict import Report
from llamafile_format.checks.weights import TEMPLATE_KEY, check_gguf
from llamafile_format.container import Container, MemberFacts
from llamafile_format.errors import FormatError
from llamafile_format.examining.inspection import KeyRow, ModelView, TemplateView, TensorRow
from llamafile_format.findings import Finding, quoted
from llamafile_format.source import ByteSource
from llamafile_format.weights.facts import ModelFacts, describe
from llamafile_format.weights.gguf_model import ArrayValue, Entry, Gguf, TextValue
from llamafile_format.weights.memory import estimate_memory
from llamafile_format.weights.tensor_types import type_name

MAX_ROWS = 1 << 18  # tensors and keys listed for all models together
TEMPLATE_MAX = 256 << 10  # clause 7.11.2: longer templates are not looked at
TEXT_SHOWN = 1024  # bytes of a long text that a row holds
ELEMENTS_SHOWN = 8
ELEMENT_BYTES = 64

QAT = r"(?i)(?<![a-z])qat(?![a-z])"
_ORIGINS = ("general.basename", "general.finetune", "general.repo_url", "general.source.repo_url", "general.url")
FEATURES = (
    ("system role", r"""['"]system['"]|\bsystem_message\b"""),
    ("tools", r"\btools\b"),
    ("thinking", r"\benable_thinking\b|\breasoning_content\b|<think>|\bthinking\b"),
    ("images", r"""['"]image(?:_url)?['"]"""),
    ("audio", r"""['"](?:input_)?audio(?:_url)?['"]"""),
    ("documents", r"\bdocuments\b"),
)
"""Words that a template must hold to offer something. A hint for people, not a promise."""


@dataclass(slots=True)
class RowBudget:
    """Which rows were asked for, and how many may still be kept in memory."""

    tensors: bool
    kv: bool
    left: int = MAX_ROWS

    def take(self, wanted: bool, count: int) -> bool:
        """True if ``count`` rows were asked for and still fit."""
        if not wanted or count > self.left:
            return False
        self.left -= count
        return True


def member_model(container: Container, member: MemberFacts, report: Report, budget: RowBudget) -> ModelView:
    """The model in ``member``; the quick verification has parsed it already."""
    gguf = container.gguf(member)
    broken = [finding for finding in report.findings if finding.where.member == member.path]
    return _view(gguf, (member.path, member.role, member.offset), broken, budget)


def bare_model(source: ByteSource, budget: RowBudget) -> tuple[ModelView, tuple[Finding, ...]]:
    """The model that is the whole of ``source``, and the findings of a check of its header."""
    gguf, findings = check_gguf(source, deep=False)
    from llamafile_format.weights.purpose import recognise_role

    return _view(gguf, ("", recognise_role(gguf), 0), findings, budget), tuple(findings)


def _view(gguf: Gguf, at: tuple[str, str, int], broken: list[Finding], budget: RowBudget) -> ModelView:
    """The model of ``gguf``, which stands ``at`` (member, role, offset) in the file."""
    member, role, offset = at
    facts = describe(gguf)
    tensors = kv = None
    if budget.take(budget.tensors, len(gguf.tensors)):
        tensors = tuple(_tensor_rows(gguf, offset))
    if budget.take(budget.kv, len(gguf.entries)):
        kv = tuple(_key_row(entry, offset) for entry in gguf.entries.values())
    return ModelView(
        member=member,
        role=role,
        offset=offset,
        size=gguf.size,
        complete=gguf.complete,
        keys=len(gguf.entries),
        data_offset=offset + gguf.data_offset,
        tensor_alignment=gguf.alignment,
        facts=facts,
        memory=estimate_memory(gguf, facts),
        templates=tuple(_templates(gguf, facts, broken)),
        qat_in_name_only=_claims_qat(facts, member, gguf),
        tensors=tensors,
        kv=kv,
    )


def _claims_qat(facts: ModelFacts, member: str, gguf: Gguf) -> bool:
    """Whether a name, a label or an address claims it: releases of Gemma 3 do so in their names alone."""
    said = (facts.name, facts.size_label, *facts.tags, *(gguf.text(key, TEXT_SHOWN) for key in _ORIGINS))
    return any(re.search(QAT, text) for text in (member, *said) if text)


def _templates(gguf: Gguf, facts: ModelFacts, broken: list[Finding]) -> list[TemplateView]:
    """What each template reveals, with the rules that it broke."""
    views = []
    for template in facts.templates:
        key = f"{TEMPLATE_KEY}.{template.name}" if template.name else TEMPLATE_KEY
        text = gguf.text(key, TEMPLATE_MAX) or ""
        rules = [f.rule for f in broken if f.where.field == quoted(key) and f.rule.startswith("LF6")]
        views.append(_template(template.name, template.sha256, template.size, text, rules))
    return views


def template_member(container: Container, member: MemberFacts, report: Report) -> TemplateView:
    """A template that stands beside the weights, as a member of its own."""
    rules = [f.rule for f in report.findings if f.where.member == member.path and f.rule.startswith("LF60")]
    try:
        data = container.read(member.path)
    except FormatError:
        return TemplateView(member.path, member.sha256, member.size, (), tuple(rules), checked=False)
    text = data[:TEMPLATE_MAX].decode("utf-8", "replace")
    return _template(member.path, hashlib.sha256(data).hexdigest(), len(data), text, rules)


def _template(name: str, sha256: str, size: int, text: str, rules: list[str]) -> TemplateView:
    features = tuple(word for word, pattern in FEATURES if re.search(pattern, text))
    return TemplateView(name, sha256, size, features, tuple(dict.fromkeys(rules)), checked=size <= TEMPLATE_MAX)


def _tensor_rows(gguf: Gguf, offset: int) -> list[TensorRow]:
    start = offset + gguf.data_offset
    names = {ident: type_name(ident) for ident in {tensor.type_id for tensor in gguf.tensors}}
    return [
        TensorRow(t.name, names[t.type_id], t.dims, t.elements, start + t.offset, t.size_bytes) for t in gguf.tensors
    ]


def _key_row(entry: Entry, offset: int) -> KeyRow:
    value = entry.value
    kind = entry.type.name.lower()
    if isinstance(value, ArrayValue):
        kind = f"array of {value.element_type.name.lower()}"
        return KeyRow(entry.key, kind, value.first(ELEMENTS_SHOWN, ELEMENT_BYTES), value.count, offset + entry.offset)
    if isinstance(value, TextValue):
        text = value.read(TEXT_SHOWN).decode("utf-8", "backslashreplace")
        return KeyRow(entry.key, kind, text, value.length, offset + entry.offset)
    count = len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else None
    shown = value[:TEXT_SHOWN] if isinstance(value, str) else value
    return KeyRow(entry.key, kind, shown, count, offset + entry.offset)
