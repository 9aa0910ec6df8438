"""Which options ``.args`` may hold: tables by dialect, engine and version (spec/1, 3.10).

Options are looked up as the engines' own parser does it: a name that begins with two dashes may have ``_`` for ``-``.
What no table lists is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import Any

from llamafile_format.prefix.arguments import Dialect
from llamafile_format.specdata import spec_yaml

REGISTRY = "registry/arguments.yaml"
ANY = "any"
_RANGES = frozenset({"integer", "real"})
_LISTS = frozenset({"word", "words", "letters"})


@dataclass(frozen=True, slots=True)
class Row:
    """An option: all its spellings, how many arguments follow, and what they may be (the kinds of the registry).

    ``kind`` of a refused option is a word of the registry's reasons. ``low`` and ``high`` mean what the kind says.
    """

    names: tuple[str, ...]
    values: int
    allowed: bool
    kind: str
    low: int | str | None = None
    high: int | str | None = None

    @property
    def name(self) -> str:
        """The spelling that stands for the option: the first with two dashes."""
        return next((name for name in self.names if name.startswith("--")), self.names[0])

    @property
    def role(self) -> str:
        """The role of the member that the value names; empty if it names none."""
        return str(self.low) if self.kind in FILE_KINDS else ""


FILE_KINDS = frozenset({"member", "members", "scaled", "template-file", "grammar-file", "schema-file"})
"""Kinds whose value names a member."""


@dataclass(frozen=True, slots=True)
class Table:
    """The options of one engine, or those that several have in common."""

    rows: tuple[Row, ...]
    by_name: Mapping[str, Row]

    def find(self, argument: str) -> Row | None:
        """The option that ``argument`` is, in any spelling that the engine accepts."""
        return self.by_name.get(normal(argument))


@dataclass(frozen=True, slots=True)
class Choice:
    """The table that judges, and the engines (``NAME@VERSION``) for which there is none."""

    table: Table
    unknown: tuple[str, ...] = ()


def normal(argument: str) -> str:
    """``argument`` as the engine looks it up: behind two dashes every ``_`` is ``-``."""
    return argument.replace("_", "-") if argument.startswith("--") else argument


def choose_table(dialect: Dialect, engines: Iterable[tuple[str, str]] = ()) -> Choice:
    """The table for arguments in ``dialect``, read by ``engines`` (name and version of the builds in the file).

    Several engines: what all of them allow. No engine: what every table of the dialect allows, since any may come. An
    engine without a table: what every table of all dialects allows.
    """
    index = [tuple(map(str, row)) for row in spec_yaml(REGISTRY)["tables"]]
    mine = [row for row in index if row[0] == dialect.value]
    wanted: list[str] = []
    unknown: list[str] = []
    for engine, version in engines:
        fitting = [row[3] for row in mine if row[1] in (engine, ANY) and row[2] in (version, ANY)]
        wanted += fitting
        if not fitting:
            unknown.append(f"{engine}@{version}")
    if unknown:
        wanted = [row[3] for row in index]
    return Choice(_common(tuple(dict.fromkeys(wanted or [row[3] for row in mine]))), tuple(dict.fromkeys(unknown)))


def is_option(name: str) -> bool:
    """True if some table of the registry has an option of this name, allowed or refused."""
    wanted = normal(name)
    return any(wanted in _table(names).by_name for names in {str(row[3]) for row in spec_yaml(REGISTRY)["tables"]})


def reason(word: str) -> str:
    """What a refused option does, in words."""
    return next((str(text) for name, text in spec_yaml(REGISTRY)["reasons"] if name == word), word)


@cache
def _common(names: tuple[str, ...]) -> Table:
    """What the tables ``names`` have in common."""
    return reduce(_intersect, (_table(name) for name in names))


@cache
def _table(names: str) -> Table:
    return _of_rows(_row(row) for name in names.split() for row in spec_yaml(REGISTRY)[name])


def _row(row: Sequence[Any]) -> Row:
    names, values, verdict, kind, low, high = row
    return Row(tuple(str(names).split()), int(values), verdict == "allowed", str(kind), low, high)


def _of_rows(rows: Iterable[Row]) -> Table:
    kept = tuple(rows)
    return Table(kept, {name: row for row in kept for name in row.names})


def _intersect(first: Table, second: Table) -> Table:
    rows: list[Row] = []
    for row in first.rows:
        pairs: dict[int, tuple[Row, list[str]]] = {}
        for name in row.names:
            other = second.by_name.get(name)
            if other is not None and (both := _both(row, other)) is not None:
                pairs.setdefault(id(other), (both, []))[1].append(name)
        rows += [replace(both, names=tuple(names)) for both, names in pairs.values()]
    return _of_rows(rows)


def _both(one: Row, other: Row) -> Row | None:
    """What both rows allow; a refused row where one refuses, None where they are different options."""
    if one.values != other.values:
        return None
    if not (one.allowed and other.allowed):
        return other if one.allowed else one
    if one.kind != other.kind:
        return replace(one, allowed=False, kind="mode")
    if one.kind in _RANGES:
        return replace(one, low=max(one.low, other.low, key=_number), high=min(one.high, other.high, key=_number))
    if one.kind in _LISTS:
        words = [word for word in str(one.low).split() if word in str(other.low).split()]
        return replace(one, low=" ".join(words))
    return one


def _number(bound: int | str | None) -> float:
    return float(str(bound))
