"""Reports as SARIF 2.1.0, for code scanning and editors: one log of one run (spec/1, 10.8.4).

Places are byte regions. Viewers that show nothing but lines get line 1 beside it. A result is known again by its
fingerprint, which holds what it says and not where: a repack that moves a member makes no new result of an old fault.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from llamafile_format import __version__
from llamafile_format.checks.verdict import Report
from llamafile_format.findings import Finding, Where
from llamafile_format.reports.escape import printable
from llamafile_format.reports.told import Batch, changed_by_policy, grave, name_of, remedy_of, text_of
from llamafile_format.rules import Severity, rule, ruleset_digest
from llamafile_format.source.address import is_remote, shown

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS = 5000
"""More than that no viewer keeps of one run; the gravest are told, and how many were not."""

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_FINGERPRINT = "llamafileFormat/v1"


def sarif_text(batch: Batch) -> str:
    """The log; ASCII. It has at most :data:`MAX_RESULTS` results, and says how many more there are."""
    reports = batch.reports
    found = sorted(
        ((at, finding) for at, report in enumerate(reports) for finding in report.findings),
        key=lambda item: grave(reports[item[0]], item[1])[0],
    )
    told, left = found[:MAX_RESULTS], len(found) - MAX_RESULTS
    rules = sorted({finding.rule for _, finding in told})
    artifacts, places = _artifacts(reports)
    invocations = [_invocation(report, place, batch.strict) for report, place in zip(reports, places, strict=True)]
    if left > 0:
        text = f"{left} results more were found; the {MAX_RESULTS} gravest are here"
        invocations[0]["toolExecutionNotifications"].append({"level": "note", "message": {"text": text}})
    run = {
        "tool": {"driver": _driver(rules)},
        "invocations": invocations,
        "artifacts": artifacts,
        "results": list(_results(reports, places, told, rules)),
        "columnKind": "utf16CodeUnits",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _driver(rules: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "llamafile-format",
        "semanticVersion": __version__,
        "version": __version__,
        "rules": [_rule(name) for name in rules],
        "properties": {"ruleset_sha256": ruleset_digest()},
    }


def _rule(name: str) -> dict[str, Any]:
    row = rule(name)
    return {
        "id": row.id,
        "shortDescription": {"text": row.title},
        "fullDescription": {"text": row.why},
        "help": {"text": f"{row.why} What to do: {row.remedy} (spec 1.0, clause {row.clause})"},
        "defaultConfiguration": {"level": _LEVELS[row.severity]},
        "properties": {"layer": row.layer.value, "clause": row.clause, "tags": [row.layer.value]},
    }


def _invocation(report: Report, place: dict[str, Any], strict: bool) -> dict[str, Any]:
    """How reading one file went. A file that could not be read to its end is no success, whatever was found in it."""
    told = []
    if report.error:
        where = {"physicalLocation": {"artifactLocation": place}}
        told.append({"level": "error", "message": {"text": printable(report.error)}, "locations": [where]})
    return {
        "executionSuccessful": report.complete,
        "exitCode": report.exit_code(strict=strict),
        "toolExecutionNotifications": told,
    }


def _artifacts(reports: Sequence[Report]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The artifacts, none twice though a file was named twice, and for each report the place that names its own."""
    index: dict[str, int] = {}
    artifacts: list[dict[str, Any]] = []
    places: list[dict[str, Any]] = []
    for report in reports:
        value = _artifact(report)
        at = index.setdefault(json.dumps(value), len(artifacts))
        if at == len(artifacts):
            artifacts.append(value)
        places.append({"uri": uri_of(report), "index": at})
    return artifacts, places


def _artifact(report: Report) -> dict[str, Any]:
    verdicts = {layer.value: verdict.value for layer, verdict in report.verdicts.items()}
    return {
        "location": {"uri": uri_of(report)},
        "length": report.size,
        "properties": {
            "kind": report.kind.value,
            "level": report.level.value,
            "complete": report.complete,
            "manifest_sha256": report.manifest_sha256,
            "revision": printable(report.revision),
            "verdicts": verdicts,
            "policy": printable(report.policy),
        },
    }


def uri_of(report: Report) -> str:
    """The file as a URI reference: an address without its secrets, a path with everything unusual as ``%XX``."""
    name = shown(report.name)
    if is_remote(name):
        return quote(name, safe=":/%[]@!$&'()*+,;=~-._")
    path = quote(os.fsencode(name if os.sep == "/" else name.replace(os.sep, "/")), safe="/~-._")
    return f"file://{path}" if path.startswith("/") else path


def _results(
    reports: Sequence[Report],
    places: Sequence[dict[str, Any]],
    told: Sequence[tuple[int, Finding]],
    rules: Sequence[str],
) -> Iterator[dict[str, Any]]:
    index = {name: at for at, name in enumerate(rules)}
    seen: Counter[str] = Counter()
    for at, finding in told:
        report, row = reports[at], rule(finding.rule)
        mark = _fingerprint(report, finding)
        seen[mark] += 1
        level = _LEVELS[report.severity(finding.rule)]
        remark = row.undetermined and level == "note"  # nothing is wrong; there was not enough to say
        changed = changed_by_policy(report, finding)
        yield {
            "ruleId": finding.rule,
            "ruleIndex": index[finding.rule],
            "kind": "open" if remark else "fail",
            "level": "none" if remark else level,
            "message": {"text": f"{text_of(finding)}. {remedy_of(finding)}"},
            "locations": [_place(places[at], finding.where)],
            "partialFingerprints": {
                _FINGERPRINT: f"{mark}:{seen[mark]}",
                "primaryLocationLineHash": f"{mark[:16]}:{seen[mark]}",
            },
            "properties": {"undetermined": row.undetermined, **({"policy": changed} if changed else {})},
        }


def _place(artifact: dict[str, Any], where: Where) -> dict[str, Any]:
    """Byte region and line; member and field as logical locations."""
    region: dict[str, int] = {"startLine": 1}
    if where.offset is not None:
        region |= {"byteOffset": where.offset}
        if where.length is not None:
            region |= {"byteLength": where.length}
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    named = [("member", where.member), ("field", where.field)]
    logical = [{"fullyQualifiedName": printable(name), "kind": kind} for kind, name in named if name]
    return {**place, "logicalLocations": logical} if logical else place


def _fingerprint(report: Report, finding: Finding) -> str:
    """64 digits that stay while offsets, sizes and folders change: of file name, rule, member, field and words."""
    words = {key: value for key, value in finding.args.items() if isinstance(value, str)}
    where, name = finding.where, name_of(report).rpartition("/")[2]
    said = [name, finding.rule, where.member, where.field, words]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
