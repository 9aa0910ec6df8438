"""What ``verify`` would refuse no other command makes, takes or runs: the one place that refuses by a report."""

from __future__ import annotations

from llamafile_format.checks.verdict import Report
from llamafile_format.errors import FormatError, NotAuthentic, SourceError
from llamafile_format.rules import Layer, Severity, rule


def refuse(report: Report, consequence: str) -> None:
    """Raise what speaks against the file of ``report``, if anything does; ``consequence`` such as "was not started".

    FormatError with the first error of a layer that was asked for, NotAuthentic if nobody vouches whom the policy
    trusts, SourceError if the verification could not be completed.
    """
    if not report.complete:
        raise SourceError(f"{report.name} {consequence}: {report.error}")
    code = report.exit_code()
    if not code:
        return
    found = [(rule(finding.rule), finding) for finding in report.findings]
    reasons = [
        (row, finding)
        for row, finding in found
        if report.severity(row.id) is Severity.ERROR and not row.undetermined and row.layer in report.verdicts
    ]
    reasons.sort(key=lambda reason: (reason[0].layer is Layer.AUTHENTIC) is not (code == NotAuthentic.exit_code))
    text = reasons[0][0].render(reasons[0][1]) if reasons else "not all that it takes could be checked"
    message = f"{report.name} {consequence}: {text}"
    hint = "llamafile-format verify lists every fault"
    if report.policy:
        hint = "`llamafile-format verify`, with the same --policy or --key, tells everything"
    if code == NotAuthentic.exit_code:
        raise NotAuthentic(message, hint=hint)
    offset = reasons[0][1].where.offset if reasons else None
    raise FormatError(message, offset=offset, clause=reasons[0][1].rule if reasons else "16.9", hint=hint)
