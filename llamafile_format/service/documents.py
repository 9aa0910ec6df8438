"""The report of a job that has ended, in every form that ``verify --format`` has."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

from llamafile_format.checks.verdict import Level, Report, unreadable
from llamafile_format.reports import FORMS, Batch, hub_status, read_report, report_json, report_text
from llamafile_format.service.jobs import Job


class Form(StrEnum):
    """Names of forms, as at the command line."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    MARKDOWN = "markdown"
    HTML = "html"
    HUB_STATUS = "hub-status"


MEDIA = {
    Form.TEXT: "text/plain",
    Form.JSON: "application/json",
    Form.JSONL: "application/x-ndjson",
    Form.SARIF: "application/sarif+json",
    Form.JUNIT: "application/xml",
    Form.GITHUB: "text/plain",
    Form.MARKDOWN: "text/markdown",
    Form.HTML: "text/html",
    Form.HUB_STATUS: "application/json",
}


def report_of(job: Job, value: dict[str, Any] | None) -> Report:
    """The report about ``job``: ``value``, or one that says why there is none. FormatError: it is of other rules."""
    if value is None:
        return unreadable(job.name, Level(job.level), job.why)
    return replace(read_report(value), name=job.name)


def document(form: Form, report: Report) -> str:
    """``report`` as text of ``form``."""
    if form is Form.TEXT:
        return report_text(report) + "\n"
    if form is Form.JSONL:
        return report_json(report) + "\n"
    return FORMS[form](Batch([report], listed=False, strict=False)) + "\n"


def summary(report: Report) -> tuple[str, str, dict[str, str]]:
    """Status and message as hubs have them, and the verdicts by layer."""
    status, message = hub_status(report)
    return status.value, message, {layer.value: verdict.value for layer, verdict in report.verdicts.items()}
