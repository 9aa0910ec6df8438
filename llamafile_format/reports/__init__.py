"""What users read: text, JSON, pages and the forms that other tools read, all from the same results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.reports.clause_text import clause_lines
    from llamafile_format.reports.escape import printable
    from llamafile_format.reports.explain import explain_clauses, explain_json, explain_text
    from llamafile_format.reports.html import page
    from llamafile_format.reports.inspect_json import field_text, inspection_json, inspection_value
    from llamafile_format.reports.inspect_lists import entry_lines, key_lines, map_lines, tensor_lines
    from llamafile_format.reports.inspect_rich import print_screen
    from llamafile_format.reports.inspect_screen import screen_text
    from llamafile_format.reports.markup import Markup, el
    from llamafile_format.reports.numbers import grouped, plural, size_text
    from llamafile_format.reports.page_head import page_head
    from llamafile_format.reports.replay_json import record_json, replay_json
    from llamafile_format.reports.replay_text import record_text, replay_text
    from llamafile_format.reports.sbom_cyclonedx import cyclonedx_text
    from llamafile_format.reports.sbom_spdx import spdx_text
    from llamafile_format.reports.stamp import stamp_json, stamp_lines
    from llamafile_format.reports.status_page import status_page
    from llamafile_format.reports.status_text import status_text, status_value
    from llamafile_format.reports.told import Batch, gravest_first, text_of
    from llamafile_format.reports.verify_forms import FORMS
    from llamafile_format.reports.verify_hub import HubStatus, hub_status
    from llamafile_format.reports.verify_json import report_json, report_value, reports_json
    from llamafile_format.reports.verify_lines import WORST_FIRST, answer, report_line, summary_line
    from llamafile_format.reports.verify_read import read_report
    from llamafile_format.reports.verify_text import report_text, trial_lines

open_door(
    __name__,
    {
        "clause_text": ("clause_lines",),
        "escape": ("printable",),
        "explain": ("explain_clauses", "explain_json", "explain_text"),
        "html": ("page",),
        "inspect_json": ("field_text", "inspection_json", "inspection_value"),
        "inspect_lists": ("entry_lines", "key_lines", "map_lines", "tensor_lines"),
        "inspect_rich": ("print_screen",),
        "inspect_screen": ("screen_text",),
        "markup": ("Markup", "el"),
        "numbers": ("grouped", "plural", "size_text"),
        "page_head": ("page_head",),
        "replay_json": ("record_json", "replay_json"),
        "replay_text": ("record_text", "replay_text"),
        "sbom_cyclonedx": ("cyclonedx_text",),
        "sbom_spdx": ("spdx_text",),
        "stamp": ("stamp_json", "stamp_lines"),
        "status_page": ("status_page",),
        "status_text": ("status_text", "status_value"),
        "told": ("Batch", "gravest_first", "text_of"),
        "verify_forms": ("FORMS",),
        "verify_hub": ("HubStatus", "hub_status"),
        "verify_json": ("report_json", "report_value", "reports_json"),
        "verify_lines": ("WORST_FIRST", "answer", "report_line", "summary_line"),
        "verify_read": ("read_report",),
        "verify_text": ("report_text", "trial_lines"),
    },
)
