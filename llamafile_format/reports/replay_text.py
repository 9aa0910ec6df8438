"""A replay, or a record that was made, for people: at most 80 columns where names allow (spec/1, 15.5.6)."""

from __future__ import annotations

import textwrap

from llamafile_format.engines.behaviour import Agreement, Record, Runtime
from llamafile_format.engines.behaviour_compare import DIFFERS, EQUAL, LikelihoodResult, PromptResult
from llamafile_format.reports.columns import clip, clip_middle, pad
from llamafile_format.reports.escape import printable
from llamafile_format.reports.verify_text import finding_lines, paint
from llamafile_format.running import RecordReplay, RecordResult, Replay

WIDTH = 78
_MEANING = {
    Agreement.EXACT: "the same bits",
    Agreement.TOKENS: "the same tokens",
    Agreement.NEAR: "within the tolerance",
    Agreement.NONE: "no agreement",
}
_COLORS = {"yes": "32", "no": "31", "undetermined": "33"}


def replay_text(result: Replay, *, color: bool = False) -> str:
    """Verdict, a table for each record, then the findings."""
    verdict = result.verdict.value
    lines = [paint(printable(result.name), "1", color), f"  behaviour    {paint(verdict, _COLORS[verdict], color)}"]
    for item in result.records:
        lines += _record_lines(item)
    for finding in result.findings:
        lines += finding_lines(finding, color)
    return "\n".join(lines)


def record_text(result: RecordResult) -> str:
    """What was recorded: member, class, build, and each answer in one line."""
    record = result.record
    lines = [
        f"  {printable(result.member)}  {len(result.data)} bytes",
        f"  class {record.agreement.value}: {_MEANING[record.agreement]}, by {_build(record.subject.runtime)}",
    ]
    threads = ", ".join(f"{run.threads} (class {run.agreement.value})" for run in record.runs)
    lines.append(f"  asked with threads: {record.threads} (the record), {threads}")
    for item in record.prompts:
        words = f"{len(item.said.tokens)} tokens in, {len(item.said.steps)} out"
        lines.append(f"  {pad(printable(item.prompt.id), 12)} {words}: {_quote(item.said.output, 36)}")
    if record.likelihood is not None:
        lines.append(f"  {_likelihood_words(record)}")
    return "\n".join(lines)


def _likelihood_words(record: Record) -> str:
    assert record.likelihood is not None
    found = record.likelihood.likelihood
    mean = found.value / found.count
    return f"{pad(record.likelihood.text, 12)} {found.value:.3f} nats in {found.count} tokens, {mean:.4f} a token"


def _record_lines(item: RecordReplay) -> list[str]:
    lines = ["", f"  {printable(item.member)}"]
    if item.record is not None:
        lines.append(f"    recorded   {_build(item.record.subject.runtime)}")
    if item.chosen is not None and item.identity is not None:
        via = f" via {item.chosen.via}" if item.chosen.via.name else ""
        origin = "in the file" if item.chosen.embedded else "from the store"
        known = ", pinned" if item.chosen.pinned else ""
        lines.append(f"    replayed   {_build(item.chosen.runtime)}{via}")
        threads = f"{item.identity.threads} thread{'s' if item.identity.threads != 1 else ''}"
        lines.append(f"               {origin}{known}; {printable(item.identity.cpu)}, {threads}")
    if item.error:
        return [*lines, "    not run    (LF9117, below)"]
    reached, demanded = item.reached, item.demanded
    if reached is not None and demanded is not None:
        asked = f"{demanded.value} was demanded"
        lines.append(f"    class      {reached.value} ({_MEANING[reached]}); {asked}")
    if item.comparison is not None:
        lines.append("    " + _row("prompt", "input", "steps", "logits", "output", "class"))
        lines += ["    " + _prompt_row(prompt) for prompt in item.comparison.prompts]
        if item.comparison.likelihood is not None:
            lines += _likelihood_lines(item.comparison.likelihood)
    for note in item.notes:
        lines += _wrapped("note", note)
    return lines


def _row(*cells: str) -> str:
    widths = (14, 10, 9, 22, 10)
    return " ".join([*(pad(cell, width) for cell, width in zip(cells, widths, strict=False)), cells[-1]]).rstrip()


def _prompt_row(prompt: PromptResult) -> str:
    if prompt.stages["rendered"] == DIFFERS:
        source = "rendered!"
    elif prompt.stages["tokens"] == DIFFERS:
        source = "tokens!"
    else:
        source = EQUAL
    logits = prompt.stages["logits"] if prompt.logits is None else f"from {prompt.logits.step} by {prompt.max_abs:.3g}"
    if prompt.token is not None:
        output = f"from {prompt.token.step}"
    else:
        output = EQUAL if prompt.stages["output"] == EQUAL == prompt.stages["text"] else DIFFERS
    steps = f"{prompt.compared}/{prompt.steps}"
    return _row(printable(prompt.id), source, steps, logits, output, prompt.agreement.value)


def _likelihood_lines(found: LikelihoodResult) -> list[str]:
    if found.tokens != EQUAL:
        logits = found.logits
    else:
        logits = found.logits if not found.difference else f"by {found.difference:.3g} nats/token"
    return [
        "    " + _row(found.text, EQUAL if found.tokens == EQUAL else "tokens!", "", logits, "", found.agreement.value)
    ]


def _build(runtime: Runtime) -> str:
    name = f"{runtime.engine} {runtime.version} {runtime.flavour} {runtime.target}"
    return f"{clip(printable(name), 48)} {runtime.sha256[:8]}"


def _quote(data: bytes, cells: int) -> str:
    return clip(printable(data.decode("utf-8", "backslashreplace")), cells)


def _wrapped(label: str, text: str) -> list[str]:
    words = clip_middle(printable(text), 600)
    first = f"    {label:<10} "
    return textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=" " * 15, break_on_hyphens=False)
