"""What a policy says about contents, rules and exceptions: the fields of 16.6 to 16.8, read and checked.

``policy: 2`` adds fields and changes none: under ``policy: 1`` they are unknown, as they always were (16.2.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from llamafile_format.rules import Layer, Rule, Severity, all_rules
from llamafile_format.signing.trust.licenses import is_license, unknown_names
from llamafile_format.signing.trust.policy import REGISTERED, Created, Excepted, Scanned, Sizes
from llamafile_format.signing.trust.policy_values import count, date_of, mapping, word
from llamafile_format.strict_fields import Fields

_ENGINE = r"sha256:[0-9a-f]{64}|[A-Za-z0-9][A-Za-z0-9._+-]*(?:@[A-Za-z0-9*][A-Za-z0-9._+*-]*)?"
_PREFIXES = ("none", "ape", "launcher", "elf", "pe", "macho", "script", "other")  # clause 3.2.1
_DIGEST = rf"[0-9a-f]{{64}}|{REGISTERED}"
_WORD = r"[a-z0-9][a-z0-9._-]{0,63}"
_TARGET = r"[a-z0-9*][a-z0-9._*-]{0,63}"
_GRAVE = (Severity.INFO, Severity.WARNING, Severity.ERROR)
_CONTENTS = (
    "LF8403",
    "LF8404",
    "LF8405",
    "LF8408",
    "LF8409",
    "LF8410",
    "LF8413",
    "LF8414",
    "LF8415",
    "LF8416",
    "LF8419",
    "LF8420",
    "LF8422",
    "LF8423",
)
"""Rules of 16.7, from which a manifest can be excepted."""

_MOST = 1 << 53
MAX_DAYS = 36_525


class Allowed(NamedTuple):
    """The lists of ``allow``; None allows everything."""

    licenses: tuple[str, ...] | None = None
    engines: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    flavours: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    tensor_types: tuple[str, ...] | None = None
    numberings: tuple[str, ...] | None = None
    prefix_digests: tuple[str, ...] | None = None


RECORDS = {"card": "card", "license": "license", "behaviour": "behaviour", "publisher": "publisher-signature"}
"""What may be demanded (16.7.11), and the role of the member that it is."""


def read_allowed(fields: Fields, version: int) -> Allowed:
    """``allow`` (16.7.1)."""
    names = Allowed._fields if version > 1 else ("licenses", "engines", "prefixes")
    found = Allowed(**{name: fields.texts(name) for name in names if fields.has(name)})
    check_licenses(fields, found.licenses or (), version)
    _check_types(fields, found)
    for index, kind in enumerate(found.prefixes or ()):
        word(fields, f"prefixes[{index}]", kind, _PREFIXES)
    patterns = (
        ("engines", _ENGINE, "NAME, NAME@VERSION, or sha256: and 64 digits"),
        ("prefix_digests", _DIGEST, f"64 lower-case hexadecimal digits, or {REGISTERED}"),
        ("roles", _WORD, "a role"),
        ("flavours", _WORD, "a flavour"),
        ("architectures", _WORD, "the name of an architecture"),
        ("targets", _TARGET, "a target, in which * stands for any run of characters"),
    )
    for field, pattern, words in patterns:
        for index, entry in enumerate(getattr(found, field) or ()):
            if not re.fullmatch(pattern, entry):
                raise fields.wrong(f"{field}[{index}]", entry, words)
    return found


def check_licenses(fields: Fields, names: tuple[str, ...], version: int) -> None:
    """Entries of a list of licences: single ones, and from version 2 on, names that SPDX has."""
    for index, name in enumerate(names):
        if not is_license(name):
            raise fields.wrong(f"licenses[{index}]", name, "an SPDX id, or ID WITH EXCEPTION")
        if version > 1 and unknown_names(name):
            raise fields.wrong(f"licenses[{index}]", name, "a name of SPDX's list, or LicenseRef-NAME")


def _check_types(fields: Fields, found: Allowed) -> None:
    """A type that is misspelt would be refused everywhere, and nobody knew why."""
    from llamafile_format.weights.tensor_types import type_table

    rows = [row for rows in type_table().values() for row in rows]
    for field, known in (("tensor_types", {row.name for row in rows}), ("numberings", {row.numbering for row in rows})):
        for index, name in enumerate(getattr(found, field) or ()):
            if name not in known:
                raise fields.wrong(f"{field}[{index}]", name, "a name of the registry of tensor types (7.6)")


def read_denied_options(fields: Fields) -> tuple[str, ...]:
    """``deny.options`` (16.7.10), as engines look them up; each is an option of some table."""
    from llamafile_format.prefix.argument_tables import is_option, normal

    found = fields.texts("options")
    for index, name in enumerate(found):
        if not is_option(name):
            raise fields.wrong(f"options[{index}]", name, "an option of the registry of arguments (3.10)")
    return tuple(map(normal, found))


def read_records(fields: Fields) -> tuple[str, ...]:
    """``records`` (16.7.11)."""
    found = fields.texts("records")
    for index, name in enumerate(found):
        word(fields, f"records[{index}]", name, RECORDS)
    return found


def read_sizes(fields: Fields) -> Sizes:
    """``sizes`` (16.7.6): at least one of them."""
    sizes = Sizes(*(count(fields, name, least=1, default=0, most=_MOST) for name in ("file", "member", "members")))
    if sizes == Sizes():
        raise fields.wrong("", {}, "file, member or members: this limits nothing")
    return sizes


def read_created(fields: Fields) -> Created:
    """``created`` (16.7.14): at least one bound."""
    found = Created(date_of(fields, "since"), count(fields, "max_age_days", least=1, default=0, most=MAX_DAYS))
    if found == Created():
        raise fields.wrong("", {}, "since or max_age_days: this bounds nothing")
    return found


def read_scanned(fields: Fields) -> Scanned:
    """``scanned`` (16.12.1): how old a report may be is never left open."""
    found = Scanned(
        count(fields, "max_age_days", least=1, default=0, most=MAX_DAYS),
        count(fields, "threshold", least=1, default=1),
        fields.texts("signers"),
        fields.texts("rulesets"),
    )
    if not found.max_age_days:
        raise fields.wrong("max_age_days", None, f"days, from 1 to {MAX_DAYS}")
    for index, digest in enumerate(found.rulesets):
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise fields.wrong(f"rulesets[{index}]", digest, "64 lower-case hexadecimal digits")
    return found


def risky_templates() -> dict[str, Severity]:
    """What ``template_risk: none`` makes of the rules about chat templates that are warnings (16.7.15)."""
    warned = (row for row in all_rules().values() if row.clause.startswith("7.11.") and not row.undetermined)
    return {row.id: Severity.ERROR for row in warned if row.severity is Severity.WARNING}


def read_severities(fields: Fields, version: int) -> tuple[dict[str, Severity], dict[str, str]]:
    """``rules`` (16.8): how each weighs, and why, where that is said."""
    found, reasons = {}, {}
    for name, value in mapping(fields, "rules").items():
        row = _row(fields, f"rules.{name}", name, value)
        if version > 1 and isinstance(value, dict):
            with Fields(value, f"rules.{name}", "16.8.5") as inner:
                value, reasons[name] = inner.take("severity"), inner.text("reason")
        wanted = Severity(word(fields, f"rules.{name}", value, [severity.value for severity in Severity]))
        if row.undetermined:
            raise fields.wrong(f"rules.{name}", value, "no change: it tells what was not looked at (16.8.2)")
        if _GRAVE.index(wanted) < _GRAVE.index(row.severity) and not may_be_lowered(row):
            raise fields.wrong(f"rules.{name}", value, f"{row.severity.value}: it is never lowered (16.8.3)")
        found[name] = wanted
    return found, reasons


def read_exception(fields: Fields) -> Excepted:
    """One of ``exceptions`` (16.8.6)."""
    manifest, reason, until = fields.digest("manifest"), fields.text("reason"), date_of(fields, "until")
    rules = fields.texts("rules")
    if until is None:
        raise fields.wrong("until", None, "the date from which the exception is over")
    if not rules:
        raise fields.wrong("rules", [], "at least one rule")
    for index, name in enumerate(rules):
        row = _row(fields, f"rules[{index}]", name, name)
        if row.undetermined or not (row.id in _CONTENTS or may_be_lowered(row)):
            raise fields.wrong(f"rules[{index}]", name, "a rule of layer valid, or of 16.7")
    return Excepted(manifest, frozenset(rules), reason, until)


def _row(fields: Fields, where: str, name: str, found: Any) -> Rule:
    rows: Mapping[str, Rule] = all_rules()
    if name not in rows:
        raise fields.wrong(where, found, "the id of a rule; `llamafile-format rule` lists them")
    return rows[name]


def may_be_lowered(row: Rule) -> bool:
    """Whether a policy may let a rule weigh less than the table says (16.8.3)."""
    return not row.id.startswith("LF8") and (row.layer is Layer.VALID or row.id.startswith("LF7"))
