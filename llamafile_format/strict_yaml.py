"""The fields of a document of strangers, asked for by name; the document itself is read by ``bounded_yaml``.

Faults are collected, not raised: ``Faults`` tells where each was, and reading goes on with a value of the right kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llamafile_format.bounded_yaml import parse_yaml as parse

__all__ = ["Faults", "Fields", "nearest", "parse", "place_of"]

_MAX_PLACES = 12  # levels of a document in which places are told; deeper ones are not read
T = TypeVar("T")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Faults:
    """What is wrong, each with the dotted name of its field; and the fields that nobody asked for.

    ``meant`` has the known field that an unknown one looks like, by its dotted name.
    """

    found: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    meant: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> None:
        """Note a fault."""
        self.found.append((name, reason))


class Fields:
    """A mapping whose fields are asked for by name. What is missing or wrong is noted, and a stand-in returned."""

    def __init__(self, value: Any, path: str, faults: Faults) -> None:
        self.path = path
        self.faults = faults
        if not isinstance(value, dict):
            faults.add(path or "the document", "it is not a mapping")
            value = {}
        self._value: dict[Any, Any] = value
        self._asked: set[str] = set()
        self._broken = not value

    def _name(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name: str, reason: str) -> None:
        """Note that the field ``name`` is at fault."""
        self.faults.add(self._name(name), reason)

    def has(self, name: str) -> bool:
        """True if the field is there."""
        if name not in self._value:
            self._asked.add(name)
        return name in self._value

    def take(self, name: str) -> Any:
        """The value of a field that must be there."""
        self._asked.add(name)
        if name not in self._value:
            if not self._broken:
                self.wrong(name, "it is missing")
            return None
        return self._value[name]

    def text(self, name: str, most: int, pattern: re.Pattern[str] | None = None) -> str:
        """A text of at most ``most`` characters, of ``pattern`` if given."""
        value = self.take(name)
        if not isinstance(value, str):
            return self._stand_in(name, value, "it is not a text", "")
        if len(value) > most or any("\ud800" <= character <= "\udfff" for character in value):
            return self._stand_in(name, value, f"it is not a text of at most {most} characters", "")
        if pattern is not None and not pattern.fullmatch(value):
            return self._stand_in(name, value, "it has not the form due", "")
        return value

    def choice(self, name: str, words: Sequence[str]) -> str:
        """One of ``words``."""
        value = self.take(name)
        if isinstance(value, str) and value in words:
            return value
        return self._stand_in(name, value, f"it is not {' or '.join(words)}", words[0])

    def digest(self, name: str, *, empty: bool = False) -> str:
        """A SHA-256 in hexadecimal."""
        value = self.take(name)
        if isinstance(value, str) and (_DIGEST.fullmatch(value) or (empty and not value)):
            return value
        return self._stand_in(name, value, "it is not a SHA-256", "0" * 64)

    def integer(self, name: str, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.take(name)
        if type(value) is int and least <= value <= most:
            return value
        return self._stand_in(name, value, f"it is not a whole number from {least} to {most}", least)

    def number(self, name: str, most: float) -> float:
        """A number from 0 to ``most``."""
        value = self.take(name)
        if type(value) in (int, float) and 0 <= value <= most:
            return float(value)
        return self._stand_in(name, value, f"it is not a number from 0 to {most:g}", 0.0)

    def flag(self, name: str) -> bool:
        """A truth value."""
        value = self.take(name)
        return value if type(value) is bool else self._stand_in(name, value, "it is neither true nor false", False)

    def child(self, name: str) -> Fields:
        """A mapping."""
        value = self.take(name)
        if value is None and not self.has(name):
            fields = Fields({}, self._name(name), Faults())
            fields._broken = True
            return fields
        return Fields(value, self._name(name), self.faults)

    def items(self, name: str, least: int, most: int) -> list[Any]:
        """A list of ``least`` to ``most`` items."""
        value = self.take(name)
        if isinstance(value, list) and least <= len(value) <= most:
            return value
        nothing: list[Any] = []
        return self._stand_in(name, value, f"it is not a list of {least} to {most} items", nothing)

    def children(self, name: str, least: int, most: int) -> list[Fields]:
        """A list of mappings."""
        items = self.items(name, least, most)
        return [Fields(item, f"{self._name(name)}[{index}]", self.faults) for index, item in enumerate(items)]

    def close(self) -> None:
        """Note what nobody asked for."""
        for name in self._value:
            if name not in self._asked:
                self.faults.unknown.append(self._name(str(name)[:80]))
                if like := nearest(str(name), self._asked - self._value.keys()):
                    self.faults.meant[self._name(str(name)[:80])] = like

    def _stand_in(self, name: str, value: Any, reason: str, instead: T) -> T:
        if name in self._value:
            self.wrong(name, reason if value is not None else "it is empty")
        return instead


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The one of ``known`` that a misspelt ``name`` looks most like; empty if it looks like none of them."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name[:80], sorted(known), n=1, cutoff=likeness)), "")


def place_of(data: bytes, path: str, *, key: bool = False) -> str:
    """Where the field ``path``, such as ``signers[0].id``, stands in a document that was read: ``line 3, column 5``.

    Its value, or its ``key``; of a field that is not there, the mapping where it belongs. Empty if nothing is found.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = data.decode("utf-8")
        if _nested(yaml.parse(text, Loader=loader)) > _MAX_PLACES:  # composing recurses, in C without any limit
            return ""
        node: Any = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return ""
    mark = node.start_mark if node is not None else None
    while node is not None and path:
        name, node, path = _step(node, path)
        if node is not None:
            mark = name.start_mark if key and name is not None and not path else node.start_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _nested(events: Iterable[Any]) -> int:
    """How deep the collections of a document are nested, as far as it matters."""
    depth = deepest = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("MappingStartEvent", "SequenceStartEvent")
        depth -= kind in ("MappingEndEvent", "SequenceEndEvent")
        deepest = max(deepest, depth)
        if deepest > _MAX_PLACES:
            break
    return deepest


def _step(node: Any, path: str) -> tuple[Any, Any, str]:
    """The key and the value that ``path`` begins with below ``node``, and what is left of it; None where none is."""
    if index := re.match(r"\[([0-9]+)\]\.?", path):
        items = node.value if type(node).__name__ == "SequenceNode" else []
        at = int(index[1])
        return None, items[at] if at < len(items) else None, path[index.end() :]
    pairs = node.value if type(node).__name__ == "MappingNode" else []
    fitting = [(name, value) for name, value in pairs if re.match(rf"{re.escape(str(name.value))}(?:[.\[]|\Z)", path)]
    if not fitting:
        return None, None, path
    name, value = max(fitting, key=lambda pair: len(str(pair[0].value)))
    return name, value, path[len(str(name.value)) :].removeprefix(".")
