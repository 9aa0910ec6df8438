"""What a ledger keeps of one verification: enough to count, to find, and to know that it need not be done again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from llamafile_format.checks.verdict import Report
from llamafile_format.container import Kind
from llamafile_format.errors import FormatError
from llamafile_format.examining import OURS
from llamafile_format.fleet.bounds import End, Outcome
from llamafile_format.fleet.inventory import Item, is_size
from llamafile_format.plain_json import plain_fields
from llamafile_format.reports import answer, gravest_first, read_report, text_of
from llamafile_format.rules import Severity
from llamafile_format.source.address import shown

QUARANTINED = "quarantined"
PASSED_OVER = "passed over"
INCOMPLETE = "incomplete"
ANSWERS = (
    "yes",
    PASSED_OVER,
    "undetermined",
    "differs",
    "not authentic",
    "other format",
    "no",
    INCOMPLETE,
    QUARANTINED,
)
"""From good to bad; the words are those of ``verify``, and two more."""

CODES = {"no": 1, "other format": 3, INCOMPLETE: 4, QUARANTINED: 4, "not authentic": 5, "differs": 6}
"""Exit code of each answer, where it is not 0."""

_TOLD = 5  # findings whose words are kept
_WORDS = 300  # characters of them


@dataclass(frozen=True, slots=True)
class Row:
    """One object, in one state, verified once.

    ``rules`` counts its errors and warnings by rule, ``told`` has the words of the gravest. ``end`` is that of the
    child process, ``why`` the reason if there is no report or an incomplete one. ``learned``: the version was told by
    the object itself.
    """

    name: str
    version: str
    size: int
    answer: str
    end: str
    seconds: float
    why: str = ""
    kind: str = ""
    level: str = ""
    policy: str = ""
    manifest_sha256: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    learned: bool = False

    @property
    def final(self) -> bool:
        """True unless reading it failed in a way that the next time may not."""
        return bool(self.version) and (self.answer != INCOMPLETE or bool(self.rules))

    def value(self) -> dict[str, Any]:
        """As JSON has it; without what says nothing."""
        return {name: item for name, item in plain_fields(self).items() if item or name in _ALWAYS}


_KINDS = {each.name: str(each.type) for each in fields(Row)}
_ALWAYS = frozenset(each.name for each in fields(Row) if each.default is MISSING and each.default_factory is MISSING)


def read_row(value: Mapping[str, Any]) -> Row:
    """The row that ``value`` is; fields that a later version has added are left alone. FormatError if it is none."""
    if not isinstance(value, Mapping):
        raise FormatError("no row of a ledger", found=type(value).__name__, allowed="an object")
    known: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item for name, item in value.items() if name in _KINDS
    }
    for name, item in known.items():
        if not _FITS[_KINDS[name]](item):
            raise FormatError(f"no row of a ledger: {name}", found=ascii(item)[:60], allowed=_KINDS[name])
    try:
        row = Row(**known)
    except TypeError as error:
        raise FormatError(f"no row of a ledger: {error}") from error
    if row.answer not in ANSWERS:
        raise FormatError("no row of a ledger", found=ascii(row.answer)[:60], allowed=", ".join(ANSWERS))
    return row


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_table(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value)) and all(map(fits, value.values()))


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": is_size,
    "float": lambda value: type(value) in (int, float) and 0 <= value < 1 << 62,
    "bool": lambda value: type(value) is bool,
    "tuple[str, ...]": lambda value: isinstance(value, tuple) and all(map(_is_text, value)),
    "Mapping[str, str]": lambda value: _is_table(value, _is_text),
    "Mapping[str, int]": lambda value: _is_table(value, is_size),
}
"""What may stand in a field, by its kind."""


def row_of(item: Item, outcome: Outcome) -> Row:
    """What is kept of ``outcome``."""
    if outcome.report is None:
        return quarantined(item, outcome.end, outcome.why, outcome.seconds)
    try:
        return _judged(item, read_report(outcome.report), outcome.seconds)
    except FormatError as error:
        return quarantined(item, End.FAILED, f"its report cannot be read: {error.message}", outcome.seconds)


def quarantined(item: Item, end: End, why: str, seconds: float = 0.0) -> Row:
    """What is kept of an object that ended the process which verified it."""
    return Row(shown(item.name), item.version, item.size, QUARANTINED, end.value, round(seconds, 4), why[:_WORDS])


def _judged(item: Item, report: Report, seconds: float) -> Row:
    word = answer(report)
    if report.kind is Kind.OTHER and report.complete and not item.named and not item.name.lower().endswith(OURS):
        word = PASSED_OVER
    grave = [each for each in gravest_first(report) if report.severity(each.rule) is not Severity.INFO]
    errors = {each.rule for each in grave if report.severity(each.rule) is Severity.ERROR}
    return Row(
        name=shown(item.name),
        version=item.version if _is_that(item.version, report.revision) else report.revision,
        size=report.size or item.size,
        answer=word,
        end=End.DONE.value,
        seconds=round(seconds, 4),
        why=report.error[:_WORDS],
        kind=report.kind.value,
        level=report.level.value,
        policy=report.policy,
        manifest_sha256=report.manifest_sha256,
        verdicts={layer.value: verdict.value for layer, verdict in report.verdicts.items()},
        rules=dict(sorted(Counter(each.rule for each in grave).items())) if word != PASSED_OVER else {},
        errors=tuple(sorted(errors)) if word != PASSED_OVER else (),
        told=tuple(f"{each.rule} {text_of(each)}"[:_WORDS] for each in grave[:_TOLD]) if word != PASSED_OVER else (),
        learned=not item.version and bool(report.revision),
    )


def _is_that(version: str, revision: str) -> bool:
    """False if what was read, by its own word, is in another state than was listed."""
    return bool(version) and (not revision or version.strip('"') in [part.strip('"') for part in revision.split()])
