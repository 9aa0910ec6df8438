"""Reports as the per-file object that model hubs show beside an upload (spec/1, 10.8.5).

The object has the names of the Hugging Face Hub's interface: ``securityFileStatus`` with one status for the file, and
an object for each scanner that looked, of which this verifier is one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from llamafile_format import __version__
from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.container import Kind
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.reports.told import Batch, gravest_first, name_of, not_looked_at, text_of
from llamafile_format.rules import Layer, Severity, rule

SCANNER = "llamafileFormatScan"
_OWN = frozenset({Layer.VALID, Layer.POLICY})  # an error of these says that the content is bad, not the transport
_QUICK = "level quick reads structure only: member data was not looked at"


class HubStatus(Enum):
    """The states that hubs know and that this verifier gives."""

    SAFE = "safe"
    CAUTION = "caution"
    UNSAFE = "unsafe"
    ERROR = "error"
    UNSCANNED = "unscanned"


def hub_text(batch: Batch) -> str:
    """One object for one file that was named, else a list; ASCII."""
    values = [hub_value(report) for report in batch.reports]
    return json.dumps(values if batch.listed or len(values) != 1 else values[0], indent=1)


def hub_value(report: Report) -> dict[str, Any]:
    """Name, size and status of one file."""
    status, message = hub_status(report)
    scan = {"status": status.value, "message": message, "reportLink": "", "version": __version__}
    return {
        "path": name_of(report),
        "size": report.size,
        "securityFileStatus": {"status": status.value, SCANNER: scan},
    }


def hub_status(report: Report) -> tuple[HubStatus, str]:
    """The status and why, in the order of clause 10.8.5: the first that applies."""
    errors = [f for f in gravest_first(report) if _counts(report, f, Severity.ERROR)]
    own = [f for f in errors if rule(f.rule).layer in _OWN]
    if own:
        return HubStatus.UNSAFE, _first(own)
    if not report.complete:
        return HubStatus.ERROR, printable(report.error) or "it could not be read to its end"
    if report.kind is Kind.OTHER or report.verdicts.get(Layer.WELL_FORMED) is Verdict.NO:
        return HubStatus.ERROR, _first(errors) or f"not well-formed: {report.kind.value}"
    refused = [layer.value for layer, verdict in report.verdicts.items() if verdict is Verdict.NO]
    if refused:  # somebody was demanded to vouch, or a behaviour to be as recorded
        return HubStatus.UNSAFE, _first(errors) or f"{', '.join(refused)}: no"
    if report.trial is not None and not report.trial.started:
        return HubStatus.ERROR, printable(f"it did not start: {report.trial.reason}")
    unseen = not_looked_at(report) if Verdict.UNDETERMINED in report.verdicts.values() else []
    if unseen or report.level is Level.QUICK:
        return HubStatus.UNSCANNED, "; ".join(unseen) or _QUICK
    warnings = [f for f in gravest_first(report) if _counts(report, f, Severity.WARNING)]
    if warnings:
        return HubStatus.CAUTION, _first(warnings)
    return HubStatus.SAFE, f"{', '.join(layer.value for layer in report.verdicts)}: yes, at level {report.level.value}"


def _counts(report: Report, finding: Finding, severity: Severity) -> bool:
    return report.severity(finding.rule) is severity and not rule(finding.rule).undetermined


def _first(findings: Sequence[Finding]) -> str:
    """The gravest finding, by its rule, and how many more there are."""
    if not findings:
        return ""
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{findings[0].rule}: {text_of(findings[0])}{more}"
