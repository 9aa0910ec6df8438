"""An inspection as JSON; the schema is spec/schemas/inspect.schema.json. Keys are never removed within 1.x."""

from __future__ import annotations

import json
import re
from typing import Any

from llamafile_format import __version__
from llamafile_format.errors import UsageError
from llamafile_format.examining import Inspection
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import plural
from llamafile_format.reports.verify_json import finding_value

SCHEMA = "urn:llamafile-format:schema:1.0:inspect"
_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]")


def inspection_value(inspection: Inspection) -> dict[str, Any]:
    """The JSON object, with findings as they stand in verification reports."""
    value = inspection.to_json()
    value["report"]["findings"] = [finding_value(finding) for finding in inspection.report.findings]
    return {"$schema": SCHEMA, "tool": {"name": "llamafile-format", "version": __version__}, **value}


def inspection_json(inspection: Inspection) -> str:
    """The object as text. Everything beyond printable ASCII is escaped, so that no terminal can be steered by it."""
    return _text(inspection_value(inspection))


def field_text(value: Any, path: str) -> str:
    """One value out of the object: ``models[0].facts.architecture``. Texts are escaped, objects printed as JSON.

    A key that has dots or brackets in it is written ``["like.this"]``. UsageError if there is no such field.
    """
    found = find_field(value, path)
    if isinstance(found, str):
        return printable(found)
    return "" if found is None else _text(found)


def find_field(value: Any, path: str) -> Any:
    """The value at ``path``; UsageError names the keys that there are instead."""
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise UsageError(f"{path!r} is no field path", hint="write it like models[0].facts.architecture")
        name, index, quoted = match.groups()
        value = _step(value, path[: match.end()], name if quoted is None else json.loads(f'"{quoted}"'), index)
        at = match.end()
    return value


def _step(value: Any, path: str, name: str | None, index: str | None) -> Any:
    if index is not None:
        if isinstance(value, list) and int(index) < len(value):
            return value[int(index)]
        there = f"it has {plural(len(value), 'item')}" if isinstance(value, list) else "it is no list"
        raise UsageError(f"there is no field {path}", hint=there)
    if isinstance(value, dict) and name in value:
        return value[name]
    keys = ", ".join(sorted(map(str, value)))[:400] if isinstance(value, dict) else ""
    there = f"there are: {keys}" if keys else f"it has {plural(len(value), 'item')}" if isinstance(value, list) else ""
    raise UsageError(f"there is no field {path}", hint=there)


def _text(value: Any) -> str:
    return json.dumps(value, indent=1).replace("\x7f", "\\u007f")
