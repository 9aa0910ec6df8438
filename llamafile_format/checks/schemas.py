"""JSON texts in arguments: schemas that become grammars, and objects for templates (spec/1, 3.10.7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from llamafile_format.errors import FormatError

MAX_BYTES = 1 << 16
MAX_OBJECT_BYTES = 4096
MAX_DEPTH = 32
MAX_OBJECT_DEPTH = 8
MAX_NODES = 4096
MAX_PROPERTIES = 256
MAX_COUNT = 2000  # of minItems, maxItems, minLength, maxLength
MAX_UNFOLDED = 1 << 16
_RANGES = (("minItems", "maxItems"), ("minLength", "maxLength"))
_COUNTS = tuple(name for pair in _RANGES for name in pair)
_CHOICES = ("anyOf", "oneOf", "allOf")
_PATTERN = re.compile(r"[^{}()]{0,256}")


def check_object(data: bytes) -> str:
    """What is wrong with a JSON object for templates; empty if nothing is."""
    try:
        value = _json(data, MAX_OBJECT_BYTES, MAX_OBJECT_DEPTH)
    except FormatError as error:
        return error.message
    return "" if isinstance(value, dict) else "it is no JSON object"


def check_schema(data: bytes) -> str:
    """What is wrong with the JSON schema ``data``; empty if nothing is."""
    try:
        _Schema(_json(data, MAX_BYTES, MAX_DEPTH)).check()
    except FormatError as error:
        return error.message
    return ""


def _json(data: bytes, size: int, depth: int) -> Any:
    """The JSON value ``data``, within its limits. FormatError says what is wrong."""
    if len(data) > size:
        raise FormatError(f"it has {len(data)} bytes, more than {size}")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError("it is not JSON, or names a key twice") from error
    for nodes, (level, _) in enumerate(_walk(value, 1), 1):
        if level > depth or nodes > MAX_NODES:
            raise FormatError(f"it is deeper than {depth} or has more than {MAX_NODES} values")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _walk(value: Any, level: int) -> Iterator[tuple[int, Any]]:
    stack = [(level, value)]
    while stack:
        at, item = stack.pop()
        yield at, item
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack += [(at + 1, each) for each in inner]


class _Schema:
    """A schema, counted as the engine would unfold it into a grammar."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def check(self) -> None:
        """FormatError with the first fault."""
        if not isinstance(self.root, dict):
            raise FormatError("it is no JSON object")
        properties = 0
        for _, item in _walk(self.root, 1):
            if not isinstance(item, dict):
                continue
            properties += len(item.get("properties", ())) if isinstance(item.get("properties"), dict) else 0
            for name in _COUNTS:
                if name in item and not (type(item[name]) is int and 0 <= item[name] <= MAX_COUNT):
                    raise FormatError(f"{name} is more than {MAX_COUNT}, or no number")
            for least, most in _RANGES:
                if item.get(least, 0) > item.get(most, MAX_COUNT):
                    raise FormatError(f"{least} is more than {most}")
            pattern = item.get("pattern", "")
            if not isinstance(pattern, str | dict) or (isinstance(pattern, str) and not _PATTERN.fullmatch(pattern)):
                raise FormatError("a pattern has brackets or counts, or is too long")
            self._target(item)
        if properties > MAX_PROPERTIES:
            raise FormatError(f"it has {properties} properties, more than {MAX_PROPERTIES}")
        if self._unfold(self.root, ()) > MAX_UNFOLDED:
            raise FormatError(f"its counts unfold to more than {MAX_UNFOLDED} elements")

    def _target(self, item: dict[str, Any]) -> Any:
        """What ``$ref`` names, inside this schema; None without one."""
        reference = item.get("$ref")
        if reference is None:
            return None
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise FormatError("a reference leads out of it")
        found = self.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise FormatError(f"there is nothing at {reference[:80]}")
        return found

    def _unfold(self, item: Any, above: tuple[int, ...]) -> int:
        """How many elements and alternatives a grammar of it has where nothing is shared; a loop counts once."""
        if not isinstance(item, dict) or id(item) in above:
            return 1
        if len(above) > 4 * MAX_DEPTH:
            raise FormatError("its references are too deep")
        inside = (*above, id(item))
        target = self._target(item)
        total = self._unfold(target, inside) if target is not None else 1
        for name in (*_CHOICES, "prefixItems", "items"):
            value = item.get(name)
            for each in value if isinstance(value, list) else [value]:
                total += self._unfold(each, inside) if each is not None else 0
                if total > MAX_UNFOLDED:
                    return total
        for each in item["properties"].values() if isinstance(item.get("properties"), dict) else ():
            total += self._unfold(each, inside)
            if total > MAX_UNFOLDED:
                return total
        times = max((item[name] for name in _COUNTS if name in item), default=1)
        return min(total * max(times, 1), MAX_UNFOLDED + 1)
