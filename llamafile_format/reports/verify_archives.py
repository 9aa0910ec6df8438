"""Reports for the tools of archives: one dict for Archivematica, and the XML that callers of JHOVE expect (10.8.4)."""

from __future__ import annotations

from llamafile_format import __version__
from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.findings import Finding
from llamafile_format.reports.markup import Markup, el
from llamafile_format.reports.told import Batch, gravest_first, is_grave, name_of, text_of
from llamafile_format.reports.verify_lines import report_line
from llamafile_format.rules import Layer, Severity

_NAMESPACE = "http://schema.openpreservation.org/ois/xml/ns/jhove"
_SEVERITIES = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "info"}


def archivematica_text(batch: Batch) -> str:
    """A dict in the words of Python for each file, as a validation command of the FPR prints it; ASCII.

    The outcome is ``pass``; ``partial pass`` if something stayed undetermined; ``fail``.
    """
    return "\n".join(ascii(_outcome(report, batch.strict)) for report in batch.reports)


def _outcome(report: Report, strict: bool) -> dict[str, str]:
    failed = report.exit_code(strict=strict) != 0
    undetermined = Verdict.UNDETERMINED in report.verdicts.values()
    outcome = "fail" if failed else "partial pass" if undetermined else "pass"
    told = [f"{finding.rule}: {text_of(finding)}" for finding in gravest_first(report) if is_grave(report, finding)]
    note = "; ".join([report_line(report, strict=strict), *told[:_TOLD]])
    return {"eventOutcomeInformation": outcome, "eventOutcomeDetailNote": note}


_TOLD = 20  # findings: the note becomes a field of a database


def jhove_text(batch: Batch) -> str:
    """The document: a ``repInfo`` for each file, with status and messages in the words of JHOVE; ASCII."""
    root = el(
        "jhove",
        *map(_rep_info, batch.reports),
        xmlns=_NAMESPACE,
        name="llamafile-format",
        release=__version__,
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _rep_info(report: Report) -> Markup:
    messages = [_message(report, finding) for finding in gravest_first(report)]
    return el(
        "repInfo",
        el("reportingModule", "llamafile", release=__version__),
        el("size", str(report.size)),
        el("format", report.kind.value),
        el("status", status_of(report)),
        el("messages", *messages) if messages else None,
        el("mimeType", "application/vnd.llamafile+zip"),
        uri=name_of(report),
    )


def _message(report: Report, finding: Finding) -> Markup:
    severity = _SEVERITIES[report.severity(finding.rule)]
    place = {} if finding.where.offset is None else {"offset": str(finding.where.offset)}
    return el("message", text_of(finding), severity=severity, id=finding.rule, **place)


def status_of(report: Report) -> str:
    """JHOVE's word for the verdicts well-formed and valid."""
    formed, valid = report.verdicts.get(Layer.WELL_FORMED), report.verdicts.get(Layer.VALID)
    if not report.complete or formed is Verdict.NO or formed is None:
        return "Not well-formed" if formed is Verdict.NO else "Unknown"
    if valid is Verdict.NO:
        return "Well-Formed, but not valid"
    return "Well-Formed and valid" if formed is valid is Verdict.YES else "Well-Formed"
