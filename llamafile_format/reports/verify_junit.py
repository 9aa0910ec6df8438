"""Reports as JUnit XML, for the boards of build servers: a suite for each file, a case for each verdict (10.8.4)."""

from __future__ import annotations

from collections import Counter

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el, join
from llamafile_format.reports.told import Batch, gravest_first, name_of, not_looked_at, remedy_of, text_of
from llamafile_format.reports.verify_lines import answer
from llamafile_format.rules import Layer, Severity, rule


def junit_text(batch: Batch) -> str:
    """The document; ASCII. *no* is a failure, *undetermined* is skipped (of a strict batch: fails), unread an error."""
    made = [_suite(report, batch.strict) for report in batch.reports]
    counts = sum((count for _, count in made), Counter[str]())
    root = el("testsuites", *(suite for suite, _ in made), name="llamafile-format verify", **_counted(counts))
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


_COUNTS = {"tests": "case", "failures": "failure", "errors": "error", "skipped": "skipped"}
_END = Markup("\n")


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[key] for name, key in _COUNTS.items()}


def _suite(report: Report, strict: bool) -> tuple[Markup, Counter[str]]:
    cases = [_case(report, layer.value, *_outcome(report, layer, strict)) for layer in report.verdicts]
    if not report.complete:
        cases.append(_case(report, "read to the end", "error", printable(report.error), []))
    elif report.exit_code(strict=strict) and not any(outcome for _, outcome in cases):
        cases.append(_case(report, "as asked", "failure", answer(report, strict=strict), _lines(report)))
    counts = Counter(outcome for _, outcome in cases if outcome) + Counter(case=len(cases))
    remarks = _lines(report)
    out = el("system-out", join(remarks, _END)) if remarks else None
    suite = el("testsuite", *(case for case, _ in cases), out, name=name_of(report), time="0", **_counted(counts))
    return suite, counts


def _outcome(report: Report, layer: Layer, strict: bool) -> tuple[str, str, list[str]]:
    verdict, lines = report.verdicts[layer], _lines(report, only=layer)
    warned = strict and any(
        report.severity(finding.rule) is Severity.WARNING and rule(finding.rule).layer is layer
        for finding in report.findings
    )
    if verdict is Verdict.NO or warned or (verdict is Verdict.UNDETERMINED and (strict or layer is Layer.AUTHENTIC)):
        return "failure", f"{layer.value}: {verdict.value}", lines
    if verdict is Verdict.UNDETERMINED:
        return "skipped", "; ".join(not_looked_at(report)), []
    return "", "", []


def _lines(report: Report, only: Layer | None = None) -> list[str]:
    """A line for each finding, of all layers or of one, with its remedy."""
    return [
        f"{finding.rule} {report.severity(finding.rule).value}: {text_of(finding)} -> {remedy_of(finding)}"
        for finding in gravest_first(report)
        if only is None or rule(finding.rule).layer is only
    ]


def _case(report: Report, name: str, outcome: str, message: str, lines: list[str]) -> tuple[Markup, str]:
    inside = None
    if outcome == "skipped":
        inside = el("skipped", message=message)
    elif outcome:
        inside = el(outcome, join(lines, _END), message=message, type=outcome)
    return el("testcase", inside, classname=name_of(report), name=name, time="0"), outcome
