"""A verification report as JSON; the schema is spec/schemas/report.schema.json. Keys are never removed within 1.x."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llamafile_format import __version__
from llamafile_format.checks.verdict import REPORT_SCHEMA, Report
from llamafile_format.findings import Finding
from llamafile_format.plain_json import plain, plain_fields
from llamafile_format.rules import rule, ruleset_digest
from llamafile_format.source.address import shown

if TYPE_CHECKING:
    from llamafile_format.signing.trust.evidence import PublisherFact


def report_value(report: Report) -> dict[str, Any]:
    """The JSON object of one report."""
    return {
        "$schema": REPORT_SCHEMA,
        "tool": {"name": "llamafile-format", "version": __version__},
        "ruleset_sha256": ruleset_digest(),
        "file": {
            "name": shown(report.name),
            "size": report.size,
            "kind": report.kind.value,
            "revision": report.revision,
        },
        "level": report.level.value,
        "complete": report.complete,
        "error": report.error,
        "manifest_sha256": report.manifest_sha256,
        "checked_bytes": report.checked_bytes,
        "resumed_bytes": report.resumed_bytes,
        "verdicts": {layer.value: verdict.value for layer, verdict in report.verdicts.items()},
        "findings": [finding_value(finding, report) for finding in report.findings],
        "signatures": plain(report.signatures),
        "publishers": [_publisher(fact) for fact in report.publishers],
        "trial": asdict(report.trial) | {"started": report.trial.started} if report.trial is not None else None,
        "policy": {
            "name": report.policy,
            "sha256": report.policy_sha256,
            "severities": {name: severity.value for name, severity in report.severities.items()},
            "reasons": dict(report.reasons),
        },
    }


def _publisher(fact: PublisherFact) -> dict[str, Any]:
    """One publisher signature, with both names of each file that was found again."""
    matched = [{"theirs": theirs, "ours": ours} for theirs, ours in fact.matched]
    return {**plain_fields(fact), "matched": matched}


def finding_value(finding: Finding, report: Report | None = None) -> dict[str, Any]:
    """The JSON object of one finding; ``where`` holds only what is known.

    ``severity`` is how the finding counts in ``report``; ``severity_of_rule`` what the rule table says.
    """
    row = rule(finding.rule)
    return {
        "rule": row.id,
        "layer": row.layer.value,
        "severity": (report.severity(row.id) if report is not None else row.severity).value,
        "severity_of_rule": row.severity.value,
        "undetermined": row.undetermined,
        "clause": row.clause,
        "title": row.title,
        "message": row.render(finding),
        "remedy": row.advise(finding),
        "where": finding.where.to_json(),
        "args": dict(finding.args),
    }


def report_json(report: Report) -> str:
    """One line of JSON (jsonl). Non-ASCII is escaped, so that no terminal can be steered by a file's texts."""
    return json.dumps(report_value(report), sort_keys=True)


def reports_json(reports: Sequence[Report], *, several: bool) -> str:
    """One object for one file that was named; a list wherever ``several`` could have been meant."""
    values = [report_value(report) for report in reports]
    return json.dumps(values if several else values[0], indent=1, sort_keys=True)
