"""How to check one file by hand, for people and as JSON (spec/1, 13.11)."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from llamafile_format import __version__
from llamafile_format.examining import Facts
from llamafile_format.reports.escape import printable
from llamafile_format.reports.explain_step import Step
from llamafile_format.reports.explain_steps import steps
from llamafile_format.reports.numbers import grouped
from llamafile_format.reports.verify_text import paint

SCHEMA = "urn:llamafile-format:schema:1.0:explain"
COLUMNS = 78


def explain_text(facts: Facts, *, color: bool = False) -> str:
    """The steps, prose within 78 columns; commands stand four columns in, to be pasted as they are."""
    title = f"How to check {printable(facts.name.rpartition('/')[2])} by hand"
    lines = [paint(title, "1", color), "=" * min(len(title), COLUMNS)]
    lines += _wrapped(
        f"{facts.kind.value}, {grouped(facts.size)} bytes. You need sh, unzip, sed, base64, sha256sum, openssl, tail"
        " and head; nothing of ours. Nothing below was checked: run it."
    )
    for number, step in enumerate(steps(facts), 1):
        lines += ["", *_step(number, step, color)]
    return "\n".join(lines)


def _step(number: int, step: Step, color: bool) -> Iterator[str]:
    title = textwrap.wrap(f"{number}. {step.title}", COLUMNS, subsequent_indent="   ", break_on_hyphens=False)
    yield from (paint(line, "1", color) for line in title)
    if step.text:
        yield from _wrapped(step.text)
    if step.commands:
        yield ""
        yield from (paint(f"    {command}", "36", color) for command in step.commands)
        yield ""
    for label, texts in (("prints", step.prints), ("proves", (step.proves,)), ("not", (step.open,))):
        head = f"   {label:<7} "
        for text in filter(None, texts):
            yield from textwrap.wrap(
                text, COLUMNS, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
            )
            head = " " * len(head)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False)


def explain_clauses(facts: Facts) -> list[str]:
    """Numbers of the sections on which the steps for this file rest."""
    if facts.manifest is None or facts.chunks is None:
        return ["9.2"]
    found = ["5.8", "6.1", "6.2"]
    if any(record.signed for record in facts.records):
        found.append("13.3")
    if any(record.stamped for record in facts.records):
        found.append("13.6")
    if facts.publishers:
        found.append("13.5")
    if any(library.source for library in facts.libraries):
        found.append("14.9")
    return [*found, "14.10"] if any(not library.source for library in facts.libraries) else found


def explain_json(facts: Facts) -> str:
    """The same as one JSON object; characters beyond ASCII are escaped."""
    value = {
        "$schema": SCHEMA,
        "tool": {"name": "llamafile-format", "version": __version__},
        "file": {
            "name": facts.name,
            "size": facts.size,
            "kind": facts.kind.value,
            "manifest_sha256": facts.manifest.sha256 if facts.manifest else "",
        },
        "steps": [
            {
                "title": step.title,
                "text": step.text,
                "commands": list(step.commands),
                "prints": list(step.prints),
                "proves": step.proves,
                "does_not_prove": step.open,
            }
            for step in steps(facts)
        ],
    }
    return json.dumps(value, indent=1).replace("\x7f", "\\u007f")
