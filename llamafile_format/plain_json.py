"""Records as JSON values: dataclasses become objects, field by field, so that no field is written down twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as JSON has it: records and named tuples as objects, tuples as lists, enums as their values.

    A record that has a ``to_json`` decides itself. Numbers that JSON has no word for become texts: ``inf``, ``nan``.
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    if _names(value):
        return plain_fields(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


def plain_fields(record: Any, *without: str) -> dict[str, Any]:
    """The object of a dataclass instance or named tuple: all its fields but those named in ``without``."""
    return {name: plain(getattr(record, name)) for name in _names(record) if name not in without}


def stated_fields(record: Any, *without: str) -> dict[str, Any]:
    """:func:`plain_fields` of a dataclass instance, but for what says nothing: texts and objects that are absent.

    What ``record`` keeps in a field ``extra``, because this version does not know it, stands beside the others.
    """
    silent = [
        each.name
        for each in fields(record)
        if each.default in ("", None) and getattr(record, each.name) == each.default
    ]
    return {**getattr(record, "extra", {}), **plain_fields(record, "extra", *silent, *without)}


def _names(value: Any) -> Sequence[str]:
    if is_dataclass(value) and not isinstance(value, type):
        return [each.name for each in fields(value)]
    return getattr(value, "_fields", ()) if isinstance(value, tuple) else ()
