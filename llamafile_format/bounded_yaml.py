"""YAML from strangers: plain data only, built in one pass over a real parser's events, bounded on the way (spec 12.4).

Anchors, tags, merge keys, second documents and keys said twice are refused: references grow without end, the rest can
mean anything. So is a plain scalar that one YAML takes for a number or a truth value and the next for another (``010``,
``1_0``, ``1:30``, ``no``, ``1e3``): people write these files, and many programs read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from llamafile_format import limits

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
_OLD_BOOLEAN = re.compile(r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,127})")
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,39})\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})Z)?")
_OTHERWISE = re.compile(
    r"""[-+]?0[0-7_]+ | [-+]?0[bB][01_]+ | [-+]?0[xX][0-9a-fA-F_]+ | 0o[0-7]+        # other bases, leading zeros
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                              # base 60
    | [-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?                 # blanks in numbers, exponents
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t]+.*)?                                 # dates in other forms
    """,
    re.VERBOSE,
)


PAST_CAP = f"it has more than {limits.YAML_VALUES} values, the cap of 12.4"
"""The reason for a document that is not read because of its structure: it may be right all the same."""


class _Refused(Exception):
    """The document is not one that is read here; the text says why."""


def parse_yaml(data: bytes, limit: int) -> tuple[Any, str]:
    """The value of a YAML document of at most ``limit`` bytes, or why it is none that is read here."""
    import yaml

    if len(data) > limit:
        return None, f"it has {len(data)} bytes, more than {limit}"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, f"byte {error.start} is not UTF-8"
    try:
        return _Builder().build(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))), ""
    except _Refused as refused:
        return None, str(refused)
    except yaml.MarkedYAMLError as error:
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return None, f"{_place(error)}it is not YAML: {said[:200]}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        return None, "it is not YAML: " + " ".join(str(error).split())[:200]


def _place(error: Any) -> str:
    """``line 2, column 1: ``, counted from 1, where the parser gave up; empty if it does not say."""
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that has not ended. ``key`` is the key whose value is due, if ``due`` says so."""

    value: dict[Any, Any] | list[Any]
    key: Any = None
    due: bool = False

    def take(self, item: Any, plain: str | None) -> None:
        """Put ``item`` in its place; ``plain`` is its text if it was written without quotes."""
        if isinstance(self.value, list):
            self.value.append(item)
            return
        if self.due:
            self.value[self.key] = item
            self.due = False
            return
        if plain == "<<":  # keys that come from elsewhere are not counted here
            raise _Refused("it has a merge key")
        if isinstance(item, dict | list):
            raise _Refused("it has a key that is a mapping or a list")
        if item in self.value:
            raise _Refused(f"it has the key {str(item)[:80]!r} twice")
        self.key, self.due = item, True


@dataclass(slots=True)
class _Builder:
    """Makes the value of one document from its events."""

    open: list[_Open] = field(default_factory=list)
    root: Any = None
    events: int = 0
    documents: int = 0

    def build(self, events: Iterator[Any]) -> Any:
        """The value; _Refused for what is more than data, or more than is read."""
        steps: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._begin,
            "SequenceStartEvent": self._begin,
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
            "DocumentStartEvent": self._document,
            "AliasEvent": self._reference,
        }
        for event in events:
            self.events += 1
            if self.events > limits.YAML_VALUES:
                raise _Refused(PAST_CAP)
            step = steps.get(type(event).__name__)
            if step is not None:
                step(event)
        return self.root

    def _document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            raise _Refused("it has several documents")
        if event.tags:
            raise _Refused("it has a tag")

    def _reference(self, _: Any) -> None:
        raise _Refused("it has an anchor or an alias")

    def _scalar(self, event: Any) -> None:
        self._look(event)
        plain = event.value if event.implicit[0] and not event.style else None
        try:
            value = event.value if plain is None else resolve(plain)
        except _Refused as refused:
            keys = ".".join(str(item.key)[:80] for item in self.open if item.due)
            raise _Refused(f"line {event.start_mark.line + 1}{f', {keys}' if keys else ''}: {refused}") from None
        self._put(value, plain)

    def _begin(self, event: Any) -> None:
        self._look(event)
        if len(self.open) >= limits.YAML_DEPTH:
            raise _Refused(f"it is nested more than {limits.YAML_DEPTH} deep")
        value: dict[Any, Any] | list[Any] = {} if type(event).__name__ == "MappingStartEvent" else []
        self._put(value, None)
        self.open.append(_Open(value))

    def _end(self, _: Any) -> None:
        self.open.pop()

    def _look(self, event: Any) -> None:
        if event.anchor:
            raise _Refused("it has an anchor or an alias")
        if event.tag:
            raise _Refused("it has a tag")

    def _put(self, value: Any, plain: str | None) -> None:
        if self.open:
            self.open[-1].take(value, plain)
        else:
            self.root = value


def resolve(text: str) -> Any:
    """What the plain scalar ``text`` stands for in every YAML; _Refused if that depends on the reader."""
    if text in _NULL:
        return None
    first = text[0]
    if first.isalpha() and first.isascii():
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        if _OLD_BOOLEAN.fullmatch(text):
            raise _ambiguous(text)
        return text
    if first not in "0123456789+-.":
        if text == "=":
            raise _ambiguous(text)
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float((special[1] or "") + ("nan" if special[1] is None else "inf"))
    if found := _DATE.fullmatch(text):
        return _moment(found)
    if _OTHERWISE.fullmatch(text):
        raise _ambiguous(text)
    return text


def _moment(found: re.Match[str]) -> date:
    numbers = [int(part) for part in found.groups() if part is not None]
    return date(*numbers) if len(numbers) == 3 else datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]


def _ambiguous(text: str) -> _Refused:
    return _Refused(f"{text[:40]!r} is not the same to every reader of YAML: put it in quotes, or write it plainly")
