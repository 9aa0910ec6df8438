"""Reports as Markdown, for comments and summaries of builds (spec/1, 10.8.4).

Whatever comes from a file stands in a code span: there no address becomes a link, no ``@name`` a mention, no
tag markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llamafile_format.checks.verdict import Report
from llamafile_format.reports.escape import printable
from llamafile_format.reports.told import (
    Batch,
    changed_by_policy,
    finding_says,
    gravest_first,
    is_grave,
    name_of,
    remedy_of,
    text_of,
)
from llamafile_format.reports.verify_lines import answer

_RUNS = re.compile("`+")


def markdown_text(batch: Batch) -> str:
    """A section for each file: its answer, its verdicts as a table, its findings as a list."""
    return "\n".join(line for report in batch.reports for line in _section(report, batch.strict)).rstrip("\n")


def code(text: str) -> str:
    """``text`` as a code span, fenced by more backticks than it has in a row."""
    fence = "`" * (1 + max((len(run) for run in _RUNS.findall(text)), default=0))
    blank = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) or not text else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _section(report: Report, strict: bool) -> Iterator[str]:
    yield f"### {code(name_of(report))}"
    yield ""
    word = answer(report, strict=strict)
    yield f"**{word}** · {report.kind.value} · {report.size} bytes · level {report.level.value}"
    yield ""
    if report.verdicts:
        yield "| question | verdict |"
        yield "|---|---|"
        yield from (f"| {layer.value} | {verdict.value} |" for layer, verdict in report.verdicts.items())
        yield ""
    if report.error and not finding_says(report):
        yield f"- **incomplete** {code(printable(report.error))}"
    for finding in gravest_first(report):
        changed = changed_by_policy(report, finding)
        why = f" ({code(changed)})" if changed else ""
        yield f"- **{finding.rule} {report.severity(finding.rule).value}**{why} {code(text_of(finding))}"
        if is_grave(report, finding):
            yield f"  <br>{code(remedy_of(finding))}"
    if not report.findings and report.complete:
        yield "No findings."
    yield ""
