"""The rule table ``spec/rules.yaml``: what each rule id means, how grave it is, and what to do about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from llamafile_format.findings import Finding
from llamafile_format.specdata import load_table, spec_dir, spec_yaml


class Severity(Enum):
    """How a finding counts: only errors make a verdict *no*."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Layer(Enum):
    """The verdict that a rule belongs to (spec/1, chapter 10)."""

    WELL_FORMED = "well-formed"
    VALID = "valid"
    AUTHENTIC = "authentic"
    POLICY = "policy"
    BEHAVIOUR = "behaviour"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the rule table. ``message`` has ``{placeholders}`` that a finding's ``args`` fill.

    ``undetermined`` marks rules that say "this was not looked at": they turn a *yes* into *undetermined*.
    """

    id: str
    clause: str
    layer: Layer
    severity: Severity
    title: str
    message: str
    why: str
    remedy: str
    since: str
    undetermined: bool = False

    def render(self, finding: Finding) -> str:
        """The message of ``finding`` in plain words; values are inserted as they are (escape them on output)."""
        return _filled(self.message, finding)

    def advise(self, finding: Finding) -> str:
        """The remedy for ``finding``, likewise."""
        return _filled(self.remedy, finding)


def _filled(text: str, finding: Finding) -> str:
    return text.format_map({key: str(value) for key, value in finding.args.items()})


@cache
def all_rules() -> dict[str, Rule]:
    """Every rule by id, in the order of the table."""
    return {row["id"]: _rule(row) for row in spec_yaml("rules.yaml")["rules"]}


@cache
def ruleset_digest() -> str:
    """SHA-256 of the rule table: two reports with the same digest were judged by the same rules."""
    return hashlib.sha256((spec_dir() / "rules.yaml").read_bytes()).hexdigest()


@cache
def rule(rule_id: str) -> Rule:
    """The rule ``rule_id``; KeyError if the table does not have it.

    Only its own row is parsed: most runs need two rules of some three hundred.
    """
    text = (spec_dir() / "rules.yaml").read_text("utf-8")
    start = text.find(f"\n- id: {rule_id}\n")
    if start < 0:
        raise KeyError(rule_id)
    end = text.find("\n- id: ", start + 1)
    (row,) = load_table("rules:" + text[start : end if end > 0 else None])["rules"]
    return _rule(row)


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        id=row["id"],
        clause=str(row["clause"]),
        layer=Layer(row["layer"]),
        severity=Severity(row["severity"]),
        title=row["title"],
        message=row["message"],
        why=row["why"],
        remedy=row["remedy"],
        since=str(row["since"]),
        undetermined=bool(row.get("undetermined", False)),
    )
