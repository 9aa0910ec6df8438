"""A verification report for people, at most 80 columns wide where names allow (spec/1.0, 10.8)."""

from __future__ import annotations

import textwrap

from llamafile_format.checks.verdict import Level, Report, Trial, Verdict
from llamafile_format.container import Kind
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.reports.signatures_text import signature_lines
from llamafile_format.rules import Layer, Severity, rule

_COLORS = {"yes": "32", "no": "31", "undetermined": "33", "error": "31", "warning": "33", "info": "36"}
_NOT_ALL = "  no fault found; not all was looked at (below)"
_LEFT_OUT = frozenset({"LF9002"})  # clause 10.8.1: true of every large file, and nothing to act on
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def report_text(report: Report, *, color: bool = False) -> str:
    """Name, verdicts, signatures, then every finding with its place and remedy."""
    lines = [paint(printable(report.name), "1", color)]
    if report.kind is Kind.OTHER:
        lines.append(f"  {report.kind.value}" if report.complete else "  could not be read")
    for layer, verdict in report.verdicts.items():
        answer = paint(verdict.value, _COLORS[verdict.value], color)
        lines.append(f"  {layer.value:<12} {answer}{_reason(report, layer, verdict)}")
    if report.revision:
        lines.append(f"  {'revision':<12} {printable(report.revision)}")
    if report.error and not _finding_says(report):
        lines += _incomplete(report.error, color)
    lines += signature_lines(report)
    for finding in sorted(_told(report), key=lambda finding: _grave(report, finding)):
        lines += finding_lines(finding, color, report)
    if report.trial is not None:
        lines += trial_lines(report.trial)
    lines.append(f"  {_summary(report)}")
    return "\n".join(lines)


def _finding_says(report: Report) -> bool:
    """True if a finding below is in the words of what went wrong, and adds what to do."""
    return any(rule(finding.rule).render(finding) == report.error for finding in report.findings)


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


def _told(report: Report) -> list[Finding]:
    """The findings that people are told: all but those that :data:`_LEFT_OUT` names, unless a policy raised them."""
    return [
        finding
        for finding in report.findings
        if finding.rule not in _LEFT_OUT or report.severity(finding.rule) is not Severity.INFO
    ]


def _reason(report: Report, layer: Layer, verdict: Verdict) -> str:
    if verdict is Verdict.UNDETERMINED:
        return "  not established (below)" if layer is Layer.AUTHENTIC else _NOT_ALL
    if layer is Layer.POLICY:
        return f"  {printable(report.policy)}" if len(report.policy) <= 60 else ""
    return ""


def _grave(report: Report, finding: Finding) -> tuple[int, int, str]:
    return _ORDER[report.severity(finding.rule)], finding.where.offset or 0, finding.rule


def finding_lines(finding: Finding, color: bool, report: Report | None = None) -> list[str]:
    """A finding and its remedy, indented and wrapped; it weighs as the policy of ``report`` has it."""
    row = rule(finding.rule)
    effective = report.severity(finding.rule) if report is not None else row.severity
    severity = effective.value
    reason = report.reasons.get(finding.rule, "") if report is not None else ""
    why = f": {printable(reason)}" if reason else ""
    changed = "" if effective is row.severity else f" ({changed_by_policy(row.severity, effective)} by the policy{why})"
    head = f"{finding.rule} {severity}{changed}: "
    text = printable(row.render(finding))
    if finding.where.member and finding.where.member not in text:
        text = f"{printable(finding.where.member)}: {text}"
    if finding.where.offset is not None and str(finding.where.offset) not in text:
        text += f" (byte {finding.where.offset})"
    body = textwrap.wrap(head + text, 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    body[0] = body[0].replace(severity, paint(severity, _COLORS[severity], color), 1)
    if effective is not Severity.INFO or row.undetermined:
        body += textwrap.wrap(
            f"-> {printable(row.advise(finding))}", 78, initial_indent="    ", subsequent_indent="       "
        )
    return body


def changed_by_policy(usual: Severity, here: Severity) -> str:
    """``raised`` or ``lowered``, or empty where the policy left a rule alone."""
    if usual is here:
        return ""
    return "raised" if _ORDER[here] < _ORDER[usual] else "lowered"


def _summary(report: Report) -> str:
    counts = dict.fromkeys(Severity, 0)
    for finding in _told(report):
        counts[report.severity(finding.rule)] += 1
    faults = ", ".join(
        f"{count} {severity.value}{'s' if count != 1 else ''}" for severity, count in counts.items() if count
    )
    scope = f"{report.kind.value}, level {report.level.value}" if report.complete else "not completed"
    if report.level is not Level.QUICK and report.checked_bytes:
        scope += f", {report.checked_bytes} bytes hashed"
    return f"{scope}; {faults or 'no findings'}"


def paint(text: str, code: str, color: bool) -> str:
    """``text`` in a colour (an SGR ``code``), if there is ``color`` at all."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
