"""Check the weights of a container: the GGUF's bytes, its contents, its chat templates (spec/1, chapter 7)."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.checks.templates import Texts, check_templates
from llamafile_format.checks.tensor_names import check_tensor_names
from llamafile_format.checks.weights_content import check_content
from llamafile_format.checks.weights_tokens import check_tokenizer
from llamafile_format.findings import Finding, Where
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import Gguf, TextValue

TEMPLATE_KEY = "tokenizer.chat_template"
TEMPLATE_READ = (256 << 10) + 1
"""Bytes of a template that are looked at: one more than a template may have."""


def check_gguf(
    source: ByteSource,
    *,
    base: int = 0,
    member: str = "",
    deep: bool = True,
    budget: int | None = None,
    gguf: Gguf | None = None,
    texts: Texts | None = None,
) -> tuple[Gguf, list[Finding]]:
    """Read the GGUF that ``source`` holds and check it; findings come out at ``base`` plus their place in it.

    ``deep`` allows bodies of arrays and padding between tensors to be read; ``budget`` bounds the header bytes read,
    and ``Gguf.stopped`` says ``"budget"`` where that cut the reading short, ``"cap"`` where a cap of 12.4 did. ``gguf``
    is the result of an earlier reading with the same ``base`` and ``member``, ``texts`` the templates of the file
    so far. Raises SourceError only.
    """
    from llamafile_format.checks.metadata import check_metadata

    gguf = gguf or read_gguf(source, base=base, member=member, budget=budget)
    findings = list(gguf.findings)
    if gguf.stopped == "fault" and not gguf.entries:
        return gguf, findings
    if gguf.complete:
        findings += check_content(gguf, base, member)
        findings += check_tensor_names(gguf, base, member)
    findings += check_tokenizer(gguf, base, member, deep=deep)
    findings += check_metadata(gguf, base, member)
    findings += check_templates(templates_of(gguf), base=base, member=member, texts=texts)
    if deep and gguf.complete and not any(finding.rule == "LF5088" for finding in gguf.findings):
        findings += _padding(gguf, source, base, member)
    return gguf, findings


def templates_of(gguf: Gguf) -> list[tuple[str, int, bytes]]:
    """(key, offset of the text, text) of every chat template, cut just behind the size limit."""
    found = []
    for key, entry in gguf.entries.items():
        if key != TEMPLATE_KEY and not key.startswith(TEMPLATE_KEY + "."):
            continue
        if isinstance(entry.value, TextValue):
            found.append((key, entry.value.offset, entry.value.read(TEMPLATE_READ)))
        elif isinstance(entry.value, str):
            raw = entry.value.encode()
            found.append((key, entry.offset + entry.length - len(raw), raw))
    return found


def _padding(gguf: Gguf, source: ByteSource, base: int, member: str) -> Iterator[Finding]:
    """LF5052: bytes that only align something are zero, or they could carry what no digest of a tensor speaks about."""
    pads = [(gguf.header_length, gguf.data_offset)] if gguf.tensors else [(gguf.header_length, gguf.size)]
    for tensor in gguf.tensors:
        if tensor.size_bytes is not None:
            end = gguf.data_offset + tensor.offset + tensor.size_bytes
            pads.append((end, -(-end // gguf.alignment) * gguf.alignment))
    said = 0
    for start, end in pads:
        end = min(end, gguf.size, gguf.data_offset + gguf.data_length)
        if start < end and said < FINDINGS_PER_RULE and any(source.read_at(start, end - start)):
            said += 1
            yield Finding("LF5052", Where(base + start, end - start, member, "padding"), {"length": end - start})
