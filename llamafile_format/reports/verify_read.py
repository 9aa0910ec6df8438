"""A report back from its JSON: what another process of this version has found (the inverse of ``verify_json``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llamafile_format.checks.verdict import Level, Report, Trial, Verdict
from llamafile_format.container import Kind
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.rules import Layer, Severity, rule, ruleset_digest
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.evidence import PublisherFact, SignatureFact, Standing


def read_report(value: Mapping[str, Any]) -> Report:
    """The report that ``value`` tells of, made by ``report_value`` with these very rules. FormatError if it was not."""
    try:
        if value["ruleset_sha256"] != ruleset_digest():
            raise FormatError("the report was made by other rules", found=str(value["ruleset_sha256"]))
        return _report(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"not a report of this version: {type(error).__name__}: {error}") from error


def _report(value: Mapping[str, Any]) -> Report:
    file, policy = value["file"], value["policy"]
    return Report(
        name=_name(file["name"]),
        size=_number(file["size"]),
        kind=Kind(file["kind"]),
        level=Level(value["level"]),
        verdicts={Layer(layer): Verdict(verdict) for layer, verdict in value["verdicts"].items()},
        findings=tuple(map(_finding, value["findings"])),
        complete=value["complete"] is True,
        error=_text(value["error"]),
        manifest_sha256=_text(value["manifest_sha256"]),
        checked_bytes=_number(value["checked_bytes"]),
        resumed_bytes=_number(value["resumed_bytes"]),
        signatures=tuple(map(_signature, value["signatures"])),
        publishers=tuple(map(_publisher, value["publishers"])),
        policy=_text(policy["name"]),
        policy_sha256=_text(policy["sha256"]),
        severities={rule(name).id: Severity(severity) for name, severity in policy["severities"].items()},
        trial=_trial(value["trial"]) if value["trial"] is not None else None,
        revision=_text(file["revision"]),
        reasons={rule(name).id: _text(reason) for name, reason in policy["reasons"].items()},
    )


def _finding(value: Mapping[str, Any]) -> Finding:
    where = value["where"]
    place = Where(
        offset=_number(where["offset"]) if "offset" in where else None,
        length=_number(where["length"]) if "length" in where else None,
        member=_text(where.get("member", "")),
        field=_text(where.get("field", "")),
    )
    args = {
        _text(name): _text(item) if isinstance(item, str) else _number(item) for name, item in value["args"].items()
    }
    row = rule(value["rule"])
    found = Finding(row.id, place, args)
    for tell in (row.render, row.advise):  # KeyError now, and not when somebody wants to read it
        tell(found)
    return found


def _signature(value: Mapping[str, Any]) -> SignatureFact:
    special: dict[str, Callable[[Any], Any]] = {
        "kind": RecordKind,
        "standing": Standing,
        "roles": lambda roles: tuple(map(_text, roles)),
    }
    return SignatureFact(**{name: _field(special, name, item) for name, item in value.items()})


def _publisher(value: Mapping[str, Any]) -> PublisherFact:
    special: dict[str, Callable[[Any], Any]] = {
        "standing": Standing,
        "total": _number,
        "matched": lambda pairs: tuple((_text(pair["theirs"]), _text(pair["ours"])) for pair in pairs),
    }
    return PublisherFact(**{name: _field(special, name, item) for name, item in value.items()})


def _field(special: Mapping[str, Callable[[Any], Any]], name: str, item: Any) -> Any:
    """What is in the field ``name``: a text, unless there is something special about it."""
    return special[name](item) if name in special else _text(item)


def _trial(value: Mapping[str, Any]) -> Trial:
    return Trial(_text(value["build"]), value["embedded"] is True, _text(value["reason"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _name(value: Any) -> str:
    """A text that is one of bytes: halves of pairs stand for those that are not UTF-8, and for nothing else."""
    _text(value).encode("utf-8", "surrogateescape")
    return _text(value)


def _number(value: Any) -> int:
    if type(value) is not int or abs(value) >= 1 << 64:
        raise TypeError(f"{value!r:.60} is no number")
    return value
