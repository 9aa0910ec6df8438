"""Parsed arguments as options with their values, as the engine's own parser takes them (spec/1, 3.10.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from llamafile_format.prefix.argument_tables import Row, Table, normal
from llamafile_format.prefix.arguments import Arguments


class Form(Enum):
    """How an option stands in the arguments."""

    PLAIN = "plain"  # the option, then its values, each an argument of its own
    EQUALS = "equals"  # --option=value
    CUT = "cut"  # the arguments end before its values do
    SPLIT = "split"  # the user's own arguments go in before its last value
    STRAY = "stray"  # no option, and the value of none


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it stands in the arguments: ``tokens[first:end]`` are its own.

    ``name`` is the spelling that stands for it, or what is written, normalised, if no table has it (``row`` is None).
    """

    name: str
    written: str
    row: Row | None
    values: tuple[str, ...]
    first: int
    end: int
    form: Form = Form.PLAIN


def read_options(arguments: Arguments, table: Table) -> tuple[Option, ...]:
    """All options of ``arguments``, in their order. An unknown option takes what follows if that is no option."""
    texts = arguments.texts
    found: list[Option] = []
    at = 0
    while at < len(texts):
        option = _option(texts, at, table)
        if arguments.rest is not None and option.first < arguments.rest < option.end:
            option = _with_form(option, Form.SPLIT)
        found.append(option)
        at = option.end
    return tuple(found)


def _option(texts: tuple[str, ...], at: int, table: Table) -> Option:
    text = texts[at]
    if (row := table.find(text)) is not None:
        end = at + 1 + row.values
        form = Form.PLAIN if end <= len(texts) else Form.CUT
        return Option(row.name, text, row, texts[at + 1 : end], at, min(end, len(texts)), form)
    if not text.startswith("-"):
        return Option(text, text, None, (), at, at + 1, Form.STRAY)
    name, equals, value = text.partition("=")
    if equals:
        row = table.find(name)
        return Option(row.name if row else normal(name), name, row, (value,), at, at + 1, Form.EQUALS)
    takes = at + 1 < len(texts) and not texts[at + 1].startswith("-")
    return Option(normal(text), text, None, texts[at + 1 : at + 2] if takes else (), at, at + 1 + takes)


def _with_form(option: Option, form: Form) -> Option:
    return Option(option.name, option.written, option.row, option.values, option.first, option.end, form)


def named_members(value: str, kind: str) -> tuple[str, ...]:
    """What a value of the file kind ``kind`` names: one, or several separated by commas, each with ``:NUMBER``."""
    if kind == "members":
        return tuple(value.split(","))
    if kind == "scaled":
        return tuple(part.rpartition(":")[0] for part in value.split(","))
    return (value,)
