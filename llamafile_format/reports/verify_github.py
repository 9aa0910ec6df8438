"""Reports as the lines that GitHub Actions makes annotations of: ``::error file=…,title=…::text`` (10.8.4)."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.checks.verdict import Report
from llamafile_format.reports.escape import printable
from llamafile_format.reports.told import Batch, finding_says, gravest_first, is_grave, name_of, remedy_of, text_of
from llamafile_format.reports.verify_lines import answer, report_line
from llamafile_format.rules import Severity, rule

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_OLDER = "##["
"""How a command of the older form begins, anywhere in a line."""
_TEXT = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def github_text(batch: Batch) -> str:
    """The lines: for each file its annotations, the gravest first, then its answer. ASCII, so that no log misreads."""
    lines = [line for report in batch.reports for line in _lines(report, batch.strict)]
    text = "\n".join(lines).encode("ascii", "backslashreplace").decode("ascii")
    return text.replace(_OLDER, _OLDER.replace("[", "\\x5b"))


def _lines(report: Report, strict: bool) -> Iterator[str]:
    failed = report.exit_code(strict=strict) != 0
    told = False
    for finding in gravest_first(report):
        severity = report.severity(finding.rule)
        remedy = f". {remedy_of(finding)}" if is_grave(report, finding) else ""
        told = told or severity is Severity.ERROR
        yield _line(
            _COMMANDS[severity], report, f"{finding.rule} {rule(finding.rule).title}", text_of(finding) + remedy
        )
    if report.error and not finding_says(report):
        told = True
        yield _line("error", report, "incomplete", printable(report.error))
    if failed and not told:
        yield _line("error", report, answer(report, strict=strict), report_line(report, strict=strict))
    yield report_line(report, strict=strict)  # begins with a word of ours, so it is no command


def _line(command: str, report: Report, title: str, text: str) -> str:
    file = name_of(report).translate(_PROPERTY)
    return f"::{command} file={file},title={title.translate(_PROPERTY)}::{text.translate(_TEXT)}"
