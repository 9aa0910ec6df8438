"""Whether arguments ask only for what a file may ask for (spec/1, 3.10): options one by one, against their table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from llamafile_format.prefix.argument_options import Form, Option, named_members
from llamafile_format.prefix.argument_tables import FILE_KINDS, Row, Table, reason
from llamafile_format.prefix.arguments import BUNDLE, is_weights_name

INLINE_KINDS = frozenset({"template", "grammar", "schema", "object"})
"""Kinds whose value is a text of its own, judged by the check of its kind and not here."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_REAL = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_BIAS = re.compile(r"[0-9]{1,9}[+-](?P<bias>[0-9]{1,18}(?:\.[0-9]{1,18})?)")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"))
_MAX_WORDS = 32


class Sort(Enum):
    """What is wrong with an option."""

    REFUSED = "refused"  # the table refuses it
    UNKNOWN = "unknown"  # no table has it
    VALUE = "value"
    FILE = "file"
    STRAY = "stray"
    FORM = "form"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Objection:
    """An option that a file may not have in its arguments, and why, in words."""

    sort: Sort
    option: Option
    reason: str


def objections(options: Iterable[Option], members: Mapping[str, str], *, bundles: bool) -> Iterator[Objection]:
    """What speaks against ``options``. ``members`` are roles by path; ``bundles`` as in the dialect (3.10.4)."""
    for option in options:
        row = option.row
        if option.form is Form.STRAY:
            yield Objection(Sort.STRAY, option, "")
        elif row is None:
            yield Objection(Sort.UNKNOWN, option, "")
        elif not row.allowed:
            yield Objection(Sort.REFUSED, option, reason(row.kind))
        elif option.form is Form.EQUALS:
            yield Objection(Sort.FORM, option, "option and value are two arguments")
        elif option.form is Form.SPLIT:
            yield Objection(Sort.REST, option, "the user's own arguments would stand between it and its value")
        elif option.form is Form.CUT:
            yield Objection(Sort.VALUE, option, "a value follows it")
        elif row.values:
            yield from _value(option, row, members, bundles=bundles)


def suggestion(option: Option, table: Table) -> str:
    """``; did you mean NAME?`` for what is no option of ``table``, or nothing. Compares it with all names: slow."""
    import difflib

    name = option.name.translate(_DASHES)
    if table.by_name.get(name) is not None:
        return f"; did you mean {name}?"
    allowed = [known for row in table.rows if row.allowed for known in row.names if known.startswith("--")]
    close = difflib.get_close_matches(name.partition("=")[0][:64], allowed, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def _value(option: Option, row: Row, members: Mapping[str, str], *, bundles: bool) -> Iterator[Objection]:
    value = option.values[0]
    if row.kind in FILE_KINDS:
        if why := _file_problem(value, row, members, bundles=bundles):
            yield Objection(Sort.FILE, option, why)
    elif value.startswith("-") and not _REAL.fullmatch(value):
        yield Objection(Sort.VALUE, option, "a value that does not begin with a dash")  # one reader may take it for one
    elif row.kind not in INLINE_KINDS and (why := _value_problem(value, row)):
        yield Objection(Sort.VALUE, option, why)


def _value_problem(value: str, row: Row) -> str:
    """What is allowed instead of ``value``; empty if it is allowed."""
    if row.kind in ("integer", "real"):
        form = _INTEGER if row.kind == "integer" else _REAL
        inside = form.fullmatch(value) and float(str(row.low)) <= float(value) <= float(str(row.high))
        return "" if inside else f"{'a number' if row.kind == 'real' else 'an integer'} from {row.low} to {row.high}"
    words = str(row.low).split()
    if row.kind == "word":
        return "" if value in words else " or ".join(words)
    if row.kind == "words":
        given = value.split(str(row.high))
        fits = len(given) <= _MAX_WORDS and set(given) <= set(words)
        return "" if fits else f"words of {' '.join(words)}, separated by {row.high}"
    if row.kind == "letters":
        fits = 0 < len(value) == len(set(value)) and set(value) <= set(words[0])
        return "" if fits else f"letters of {words[0]}"
    if row.kind == "bias":
        match = _BIAS.fullmatch(value)
        return "" if match and float(match["bias"]) <= float(str(row.high)) else f"TOKEN+NUMBER, up to {row.high}"
    return _text_problem(value, int(str(row.high)))


def _text_problem(value: str, limit: int) -> str:
    printable = all(character.isprintable() or character in "\n\t" for character in value)
    return "" if 0 < len(value) <= limit and printable else f"1 to {limit} characters that can be printed"


def _file_problem(value: str, row: Row, members: Mapping[str, str], *, bundles: bool) -> str:
    """What is allowed instead of what ``value`` names; empty if each is a member of the right role."""
    wanted = f"{BUNDLE}NAME of a member with role {row.role}"
    if '"' in value and row.kind != "member":  # quotes mean something to the engine's parser of lists
        return wanted
    for name in named_members(value, row.kind):
        bare = not bundles and is_weights_name(name)
        if name.startswith(BUNDLE) == bare or members.get(name.removeprefix(BUNDLE)) != row.role:
            return wanted
        if row.kind == "scaled" and ":" in name:
            return wanted
    scales = [part.rpartition(":")[2] for part in value.split(",")] if row.kind == "scaled" else []
    return "" if all(_REAL.fullmatch(scale) for scale in scales) else f"{wanted}, a colon, and a number"
