"""The fields of a document of strangers, asked for by name; the document itself is read by ``bounded_yaml``.

Faults are collected, not raised: ``Faults`` tells where each was, and reading goes on with a value of the right kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llamafile_format.bounded_yaml import parse_yaml as parse

__all__ = ["Faults", "Fields", "parse"]

T = TypeVar("T")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Faults:
    """What is wrong, each with the dotted name of its field; and the fields that nobody asked for."""

    found: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

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

    def _stand_in(self, name: str, value: Any, reason: str, instead: T) -> T:
        if name in self._value:
            self.wrong(name, reason if value is not None else "it is empty")
        return instead
