"""The forms of a report that are whole documents: one function for each, all from the same findings (10.8.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llamafile_format.reports.told import Batch
from llamafile_format.reports.verify_archives import archivematica_text, jhove_text
from llamafile_format.reports.verify_github import github_text
from llamafile_format.reports.verify_hub import hub_text
from llamafile_format.reports.verify_json import reports_json
from llamafile_format.reports.verify_junit import junit_text
from llamafile_format.reports.verify_markdown import markdown_text
from llamafile_format.reports.verify_page import verify_page
from llamafile_format.reports.verify_sarif import sarif_text

FORMS: Mapping[str, Callable[[Batch], str]] = {
    "json": lambda batch: reports_json(batch.reports, several=batch.listed),
    "sarif": sarif_text,
    "junit": junit_text,
    "github": github_text,
    "markdown": markdown_text,
    "html": verify_page,
    "hub-status": hub_text,
    "archivematica": archivematica_text,
    "jhove": jhove_text,
}
"""Each makes one text of a run, without a line end behind it."""
