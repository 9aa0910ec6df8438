"""Reports as one page that needs nothing else: no script, no request, every text from a file escaped (10.8.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llamafile_format import __version__
from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el, join
from llamafile_format.reports.numbers import plural, size_text
from llamafile_format.reports.page_head import page_head
from llamafile_format.reports.signatures_text import signature_lines
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
from llamafile_format.rules import Severity, rule, ruleset_digest

_QUESTIONS = {
    "well-formed": "Are these bytes the one legal form of what the manifest says?",
    "valid": "Is the content what it claims to be?",
    "authentic": "Does somebody who is trusted vouch for it?",
    "policy": "Does it meet what was demanded?",
    "behaviour": "Does it answer as was recorded?",
}
_SHADES = {"yes": "yes", "undetermined": "undetermined"}


def verify_page(batch: Batch) -> str:
    """The page as HTML text: a list of the files if there are several, then a section for each."""
    reports, strict = batch.reports, batch.strict
    title = name_of(reports[0]) if len(reports) == 1 else f"{plural(len(reports), 'file')} verified"
    head = page_head(f"{title} - verification report")
    sections = [_section(report, at, strict, alone=len(reports) == 1) for at, report in enumerate(reports, 1)]
    body = el(
        "body",
        el(
            "main",
            el("header", el("p", "Verification report", class_="kicker"), el("h1", title)),
            _list(reports, strict) if len(reports) > 1 else None,
            *sections,
            _colophon(),
        ),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}"


def _list(reports: Sequence[Report], strict: bool) -> Markup:
    rows = [
        el(
            "tr",
            el("td", el("a", name_of(report), href=f"#file-{at}"), class_="path"),
            el("td", word := answer(report, strict=strict), class_=_SHADES.get(word, "no")),
            el("td", _counts(report)),
        )
        for at, report in enumerate(reports, 1)
    ]
    head = el("tr", *(el("th", name, scope="col") for name in ("File", "Answer", "Findings")))
    return el("div", el("table", el("thead", head), el("tbody", *rows)), class_="scroll")


def _section(report: Report, at: int, strict: bool, *, alone: bool) -> Markup:
    word = answer(report, strict=strict)
    badges = [
        el("li", layer.value, el("b", verdict.value), class_=f"badge {verdict.value}", title=_QUESTIONS[layer.value])
        for layer, verdict in report.verdicts.items()
    ]
    lead = el("p", "Answer: ", el("b", word, class_=_SHADES.get(word, "no")), f"; {_counts(report)}.", class_="lead")
    signed = signature_lines(report)
    return el(
        "section",
        None if alone else el("h2", name_of(report), class_="name"),
        lead,
        el("ul", *badges, class_="badges") if badges else None,
        _facts(report),
        el("h3", "Signatures") if signed else None,
        el("pre", join(signed, Markup("\n"))) if signed else None,
        el("h3", "Findings"),
        *_findings(report),
        id=f"file-{at}",
    )


def _facts(report: Report) -> Markup:
    rows = {
        "Kind": report.kind.value,
        "Size": f"{size_text(report.size)} ({report.size} bytes)",
        "Level": report.level.value,
        "Bytes hashed": report.checked_bytes if report.level is not Level.QUICK else None,
        "Of them by an earlier run": report.resumed_bytes,
        "Manifest SHA-256": report.manifest_sha256,
        "Revision": printable(report.revision),
        "Policy": printable(report.policy),
        "Not completed": printable(report.error) if report.error and not finding_says(report) else None,
    }
    pairs = [part for name, value in rows.items() if value for part in (el("dt", name), el("dd", value))]
    return el("dl", *pairs)


def _findings(report: Report) -> Iterator[Markup]:
    found = gravest_first(report)
    if not found:
        yield el("p", "None." if report.complete else "None so far.")
    for finding in found:
        yield _finding(report, finding)


def _finding(report: Report, finding: Finding) -> Markup:
    severity, row = report.severity(finding.rule).value, rule(finding.rule)
    changed = changed_by_policy(report, finding)
    head = f"{finding.rule} {severity}{f' ({changed})' if changed else ''}: {row.title}"
    return el(
        "div",
        el("p", el("b", head)),
        el("p", text_of(finding)),
        el("p", remedy_of(finding), class_="dim") if is_grave(report, finding) else None,
        el("p", f"{row.layer.value}, clause {row.clause}", class_="dim"),
        class_=f"finding {severity}",
    )


def _counts(report: Report) -> str:
    found = [report.severity(finding.rule) for finding in gravest_first(report)]
    parts = [plural(found.count(severity), severity.value) for severity in Severity if severity in found]
    unread = "" if report.complete else "not completed; "
    open_ = "; not all was looked at" if Verdict.UNDETERMINED in report.verdicts.values() else ""
    return f"{unread}{', '.join(parts) or 'no findings'}{open_}"


def _colophon() -> Markup:
    return el(
        "footer",
        el(
            "p",
            f"Made by llamafile-format {__version__}, rule table {ruleset_digest()[:16]}. Nothing in a file is run or "
            "rendered to verify it. 'Undetermined' means that not all was looked at, never that all is fine.",
        ),
    )
