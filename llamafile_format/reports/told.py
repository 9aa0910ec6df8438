"""What every form of a report tells of a finding, in the same words and in the same order (spec/1, 10.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.rules import Severity, rule
from llamafile_format.source.address import shown

LEFT_OUT = frozenset({"LF9002"})  # clause 10.8.1: true of every large file, and nothing to act on
ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class Batch:
    """The reports of one run. ``listed``: files in folders or several were asked for, so JSON is a list though there be
    one; ``strict`` as of the exit codes."""

    reports: Sequence[Report]
    listed: bool = False
    strict: bool = False


def name_of(report: Report) -> str:
    """The name of the file, printable, without what may be secret in an address (10.12.2)."""
    return printable(shown(report.name))


def gravest_first(report: Report) -> list[Finding]:
    """The findings that people are told, errors first: all but :data:`LEFT_OUT`, unless a policy raised those."""
    told = [
        finding
        for finding in report.findings
        if finding.rule not in LEFT_OUT or report.severity(finding.rule) is not Severity.INFO
    ]
    return sorted(told, key=lambda finding: grave(report, finding))


def grave(report: Report, finding: Finding) -> tuple[int, int, str]:
    """What findings are sorted by: severity, place, rule."""
    return ORDER[report.severity(finding.rule)], finding.where.offset or 0, finding.rule


def text_of(finding: Finding) -> str:
    """The message with member and byte, where it does not name them itself; one line, printable."""
    text = printable(rule(finding.rule).render(finding))
    member = printable(finding.where.member)
    if member and finding.where.member not in text:
        text = f"{member}: {text}"
    if finding.where.offset is not None and str(finding.where.offset) not in text:
        text += f" (byte {finding.where.offset})"
    return text


def remedy_of(finding: Finding) -> str:
    """What to do about it; one line, printable."""
    return printable(rule(finding.rule).advise(finding))


def is_grave(report: Report, finding: Finding) -> bool:
    """True unless it is a mere remark: then the remedy is told too."""
    return report.severity(finding.rule) is not Severity.INFO or rule(finding.rule).undetermined


def changed_by_policy(report: Report, finding: Finding) -> str:
    """``raised by the policy: reason``, ``lowered by the policy``, or empty where it left the rule alone."""
    usual, here = rule(finding.rule).severity, report.severity(finding.rule)
    if usual is here:
        return ""
    reason = report.reasons.get(finding.rule, "")
    return f"{'raised' if ORDER[here] < ORDER[usual] else 'lowered'} by the policy" + (
        f": {printable(reason)}" if reason else ""
    )


def finding_says(report: Report) -> bool:
    """True if a finding is in the words of what went wrong, and adds what to do."""
    return any(rule(finding.rule).render(finding) == report.error for finding in report.findings)


def not_looked_at(report: Report) -> list[str]:
    """What stayed open of this file and why, a line for each reason, none twice; printable."""
    said = dict.fromkeys(text_of(finding) for finding in report.findings if rule(finding.rule).undetermined)
    if not said:
        layers = [layer.value for layer, verdict in report.verdicts.items() if verdict is Verdict.UNDETERMINED]
        said = dict.fromkeys([f"{', '.join(layers)} not established"] if layers else [])
    return list(said)
