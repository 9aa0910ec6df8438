"""One line for each of many verified files, and what they come to (spec/1, 10.7.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.reports.escape import printable
from llamafile_format.reports.told import name_of
from llamafile_format.reports.verify_text import paint
from llamafile_format.rules import Layer, Severity, rule

_WORDS = {1: "no", 3: "other format", 4: "incomplete", 5: "not authentic", 6: "differs"}
_COLORS = {"yes": "32", "undetermined": "33"}
_WIDTH = max(map(len, (*_WORDS.values(), "undetermined")))
WORST_FIRST = (4, 1, 5, 6, 3, 0)
"""Exit codes, the worst first (clause 10.7.2)."""


def answer(report: Report, *, strict: bool = False) -> str:
    """The verdict on a file in a word or two: *yes* if nothing stayed open of what was asked for."""
    code = report.exit_code(strict=strict)
    if code:
        return _WORDS[code]
    return "undetermined" if Verdict.UNDETERMINED in report.verdicts.values() else "yes"


def report_line(report: Report, *, strict: bool = False, color: bool = False) -> str:
    """The answer, the file, and why not *yes*."""
    word = answer(report, strict=strict)
    text = f"{paint(f'{word:<{_WIDTH}}', _COLORS.get(word, '31'), color)}  {name_of(report)}"
    reason = _reason(report)
    return f"{text}  {reason}" if reason and word != "yes" else text


def _reason(report: Report) -> str:
    """The gravest finding, by its title, and how many more there are of its severity."""
    if report.error:
        return printable(report.error)
    for severity in (Severity.ERROR, Severity.WARNING):
        grave = [finding for finding in report.findings if report.severity(finding.rule) is severity]
        if grave:
            row = rule(grave[0].rule)
            more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
            return f"{row.id} {row.title}{more}"
    open_ = [layer.value for layer, verdict in report.verdicts.items() if verdict is Verdict.UNDETERMINED]
    if report.verdicts.get(Layer.AUTHENTIC, Verdict.YES) is not Verdict.YES:
        return "nobody who is trusted signed it"
    return f"{', '.join(open_)} not established" if open_ else ""


def summary_line(answers: Iterable[str], skipped: int, code: int) -> str:
    """How many files got which answer; how many of the folders' other files were passed over."""
    counts = Counter(answers)
    parts = [f"{count} {word}" for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    total = counts.total()
    text = f"{total} {'file' if total == 1 else 'files'}: {', '.join(parts) or 'none'}"
    other = f"; {skipped} other {'file' if skipped == 1 else 'files'} passed over" if skipped else ""
    return f"{text}{other}; exit code {code}"
