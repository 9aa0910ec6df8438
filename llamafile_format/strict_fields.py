"""Strict reading of a mapping that came from YAML: every field is asked for once, and none may be left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import TracebackType
from typing import Any, TypeVar

from llamafile_format.errors import FormatError
from llamafile_format.strict_yaml import nearest

T = TypeVar("T")
_HEX = re.compile(r"[0-9a-f]{64}")


class FieldFault(FormatError):
    """A field that is wrong: its dotted ``path``, empty for the document itself, and whether its ``key`` is wrong."""

    path: str = ""
    key: bool = False


class Fields:
    """The fields of one mapping. As a context, it refuses on leaving whatever nobody asked for.

    Every error is a FieldFault that names the field by its whole path, such as ``targets[3].zig``. A field that is
    misspelt is named as such, with the field that was meant, and not another one as missing.
    """

    def __init__(self, value: Any, where: str, clause: str) -> None:
        self._where = where
        self._clause = clause
        self._given: dict[str, Any] = {}
        self._left: dict[str, Any] = {}
        self._asked: set[str] = set()
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong("", value, "a mapping")
        self._given = value
        self._left = dict(value)

    def __enter__(self) -> Fields:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and self._left:
            name = min(self._left)
            raise self._unknown(name, nearest(name, self._asked - self._given.keys()))

    def wrong(self, name: str, found: Any, allowed: str) -> FieldFault:
        """The error for the field ``name``; if it is absent, and a field that looks like it is there, for that one."""
        surplus = sorted(self._left.keys() - self._asked)  # some of these may be asked for later
        if name.isidentifier() and name not in self._given and (like := nearest(name, surplus, likeness=0.75)):
            return self._unknown(like, name)
        for each in surplus if not name else ():
            if meant := nearest(each, self._asked - self._given.keys()):
                return self._unknown(each, meant)
        path = self._path(name) if name else self._where
        fault = FieldFault(
            f"{path or 'the document'} is wrong", found=_shown(found), allowed=allowed, clause=self._clause
        )
        fault.path = path
        return fault

    def _unknown(self, name: str, meant: str) -> FieldFault:
        path = self._path(name[:80])
        more = f": did you mean {meant}?" if meant else ""
        fault = FieldFault(f"{path} is no field here{more}", clause=self._clause)
        fault.path, fault.key = path, True
        return fault

    def has(self, name: str) -> bool:
        """True if the field is there, and was not asked for yet."""
        self._asked.add(name)
        return name in self._left

    def take(self, name: str) -> Any:
        """The value of a field that must be there."""
        self._asked.add(name)
        if name not in self._left:
            raise self.wrong(name, None, "a field that must be there")
        return self._left.pop(name)

    def _pop(self, name: str, otherwise: Any) -> Any:
        self._asked.add(name)
        return self._left.pop(name, otherwise)

    def text(self, name: str, default: str | None = None, pattern: str = "") -> str:
        """A string that is not empty, or ``default`` where the field is absent."""
        if default is not None and not self.has(name):
            return default
        value = self.take(name)
        if not isinstance(value, str) or not value or (pattern and not re.fullmatch(pattern, value)):
            raise self.wrong(name, value, f"text {pattern}".strip())
        return value

    def number(self, name: str) -> int:
        """A whole number from 0."""
        value = self.take(name)
        if type(value) is not int or value < 0:
            raise self.wrong(name, value, "a whole number from 0")
        return value

    def flag(self, name: str) -> bool:
        """A truth value."""
        value = self.take(name)
        if type(value) is not bool:
            raise self.wrong(name, value, "true or false")
        return value

    def digest(self, name: str) -> str:
        """A SHA-256 as 64 hexadecimal digits."""
        value = self.take(name)
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise self.wrong(name, value, "64 lower-case hexadecimal digits")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty where the field is absent."""
        value = self._pop(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, value, "a list of texts")
        return tuple(value)

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers from 0; empty where the field is absent."""
        value = self._pop(name, [])
        if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
            raise self.wrong(name, value, "a list of whole numbers from 0")
        return tuple(value)

    def table(self, name: str) -> Mapping[str, str]:
        """A mapping of texts to texts; empty where the field is absent."""
        value = self._pop(name, {})
        if not isinstance(value, dict) or not all(isinstance(word, str) for pair in value.items() for word in pair):
            raise self.wrong(name, value, "a mapping of texts to texts")
        return value

    def one(self, name: str, read: Callable[[Fields], T]) -> T:
        """A mapping that must be there, read by ``read``."""
        with Fields(self.take(name), self._path(name), self._clause) as fields:
            return read(fields)

    def optional(self, name: str, read: Callable[[Fields], T]) -> T | None:
        """A mapping that may be absent, read by ``read``."""
        return self.one(name, read) if self.has(name) else None

    def many(self, name: str, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """A list of mappings, each read by ``read``; empty where the field is absent."""
        value = self._pop(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, value, "a list")
        found = []
        for index, item in enumerate(value):
            with Fields(item, f"{self._path(name)}[{index}]", self._clause) as fields:
                found.append(read(fields))
        return tuple(found)

    def keyed(self, name: str, read: Callable[[Fields], T]) -> dict[str, T]:
        """A mapping of names to mappings, each read by ``read``."""
        value = self.take(name)
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(name, value, "a mapping")
        found = {}
        for key, item in value.items():
            with Fields(item, f"{self._path(name)}.{key}", self._clause) as fields:
                found[key] = read(fields)
        return found

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def _shown(value: Any) -> str:
    """``value`` as it stands in a document, not as this language spells it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else f"{value!r:.80}"
