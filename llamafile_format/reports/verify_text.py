"""A verification report for people, at most 80 columns wide where names allow (spec/1, 10.8)."""

from __future__ import annotations

import textwrap

from llamafile_format.checks.verdict import Level, Report, Trial, Verdict
from llamafile_format.container import Kind
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.reports.signatures_text import signature_lines
from llamafile_format.reports.told import (
    changed_by_policy,
    finding_says,
    gravest_first,
    is_grave,
    name_of,
    remedy_of,
    text_of,
)
from llamafile_format.rules import Layer, Severity, rule

_COLORS = {"yes": "32", "no": "31", "undetermined": "33", "error": "31", "warning": "33", "info": "36"}
_NOT_ALL = "  no fault found; not all was looked at (below)"


def report_text(report: Report, *, color: bool = False) -> str:
    """Name, verdicts, signatures, then every finding with its place and remedy."""
    lines = [paint(name_of(report), "1", color)]
    if report.kind is Kind.OTHER:
        lines.append(f"  {report.kind.value}" if report.complete else "  could not be read")
    for layer, verdict in report.verdicts.items():
        answer = paint(verdict.value, _COLORS[verdict.value], color)
        lines.append(f"  {layer.value:<12} {answer}{_reason(report, layer, verdict)}")
    if report.revision:
        lines.append(f"  {'revision':<12} {printable(report.revision)}")
    if report.error and not finding_says(report):
        lines += _incomplete(report.error, color)
    lines += signature_lines(report)
    for finding in gravest_first(report):
        lines += finding_lines(finding, color, report)
    if report.trial is not None:
        lines += trial_lines(report.trial)
    lines.append(f"  {_summary(report)}")
    return "\n".join(lines)


def _incomplete(error: str, color: bool) -> list[str]:
    word = "incomplete"
    body = textwrap.wrap(
        f"{word}   {printable(error)}",
        78,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,  # a path that is cut in two can be neither found nor copied
    )
    body[0] = body[0].replace(word, paint(word, "31", color), 1)
    return body


def trial_lines(trial: Trial) -> list[str]:
    """What became of one start of the file, indented and wrapped."""
    where = "of the file" if trial.embedded else "of this installation"
    told = "gave one token" if trial.started else f"did not start: {trial.reason}"
    text = printable(f"tried on this machine with {trial.build} {where}: {told}")
    return textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _reason(report: Report, layer: Layer, verdict: Verdict) -> str:
    if verdict is Verdict.UNDETERMINED:
        return "  not established (below)" if layer is Layer.AUTHENTIC else _NOT_ALL
    if layer is Layer.POLICY:
        return f"  {printable(report.policy)}" if len(report.policy) <= 60 else ""
    return ""


def finding_lines(finding: Finding, color: bool, report: Report | None = None) -> list[str]:
    """A finding and its remedy, indented and wrapped; it weighs as the policy of ``report`` has it."""
    row = rule(finding.rule)
    severity = (report.severity(finding.rule) if report is not None else row.severity).value
    why = changed_by_policy(report, finding) if report is not None else ""
    head = f"{finding.rule} {severity}{f' ({why})' if why else ''}: "
    body = textwrap.wrap(
        head + text_of(finding), 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    body[0] = body[0].replace(severity, paint(severity, _COLORS[severity], color), 1)
    if is_grave(report, finding) if report is not None else row.severity is not Severity.INFO or row.undetermined:
        body += textwrap.wrap(f"-> {remedy_of(finding)}", 78, initial_indent="    ", subsequent_indent="       ")
    return body


def _summary(report: Report) -> str:
    counts = dict.fromkeys(Severity, 0)
    for finding in gravest_first(report):
        counts[report.severity(finding.rule)] += 1
    faults = ", ".join(
        f"{count} {severity.value}{'s' if count != 1 else ''}" for severity, count in counts.items() if count
    )
    scope = f"{report.kind.value}, level {report.level.value}" if report.complete else "not completed"
    if report.level is not Level.QUICK and report.checked_bytes:
        scope += f", {report.checked_bytes} bytes hashed"
        scope += f", {report.resumed_bytes} of them by an earlier run" if report.resumed_bytes else ""
    return f"{scope}; {faults or 'no findings'}"


def paint(text: str, code: str, color: bool) -> str:
    """``text`` in a colour (an SGR ``code``), if there is ``color`` at all."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
