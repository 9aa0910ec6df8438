"""Read the plain part of YAML in which the specification's tables are kept, twenty times faster than a YAML library.

Every ``inspect`` and every finding needs the rule table, and importing a YAML library alone takes longer than reading
a model. Understood are comments on lines of their own, and under top-level keys: rows ``- key: value``, rows
``- [a, b]``, and ``  key: value``; values are JSON strings, integers, null, booleans and bare words. Anything else
gives None, and the caller asks the library. A test compares both on every file of the specification.
"""

from __future__ import annotations

import json
import re
from typing import Any

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?: [A-Za-z0-9][A-Za-z0-9_.-]*)*")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_SURPRISES = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false", "null"})
"""Bare words that YAML readers take for something else, at least in some spelling."""


def read_plain(text: str) -> dict[str, Any] | None:
    """The mapping that ``text`` holds, or None if it uses more of YAML than this reads."""
    try:
        return _read(text)
    except ValueError:
        return None


def _read(text: str) -> dict[str, Any]:
    top: dict[str, Any] = {}
    name = ""
    row: dict[Any, Any] | None = None
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        if line[0] not in "- ":
            name, value = _pair(line)
            top[name] = _value(value) if value else None
            row = None
        elif line.startswith("- ["):
            _rows(top, name).append(_value(line[2:]))
        else:
            if line[0] == "-":
                row = {}
                _rows(top, name).append(row)
            elif row is None:
                row = top[name] = {} if top.get(name) is None else _refuse(line)
            if line[:2] not in ("- ", "  "):
                _refuse(line)
            key, value = _pair(line[2:])
            row[_scalar(key)] = _scalar(value)
    return top


def _rows(top: dict[str, Any], name: str) -> list[Any]:
    if name not in top:
        _refuse(name)
    if top[name] is None:
        top[name] = []
    rows: list[Any] = top[name] if isinstance(top[name], list) else _refuse(name)
    return rows


def _pair(line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon or (value and value[0] != " ") or key != key.strip():
        _refuse(line)
    return key, value[1:]


def _value(text: str) -> Any:
    if text[:1] == "[" and text[-1:] == "]":
        return [_scalar(part) for part in text[1:-1].split(", ")]
    return _scalar(text)


def _scalar(text: str) -> Any:
    if text[:1] == '"':
        inner = text[1:-1]
        if "\\" in inner or '"' in inner or len(text) < 2:
            return json.loads(text)
        return inner if text[-1] == '"' else _refuse(text)
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BARE.fullmatch(text) and text.lower() not in _SURPRISES:
        return text
    return _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(f"not plain: {text}")
