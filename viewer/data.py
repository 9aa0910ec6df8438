"""Tables of the specification that the page holds, taken from where they are kept (:mod:`viewer.build`)."""

from __future__ import annotations

import re
from pathlib import Path

from llamafile_format.rules import all_rules

HERE = Path(__file__).resolve().parent


def table(name: str) -> object:
    """The table ``name`` as a JSON value. Raises KeyError for a name that there is not."""
    return {"rules": rules}[name]()


def rules() -> dict[str, dict[str, object]]:
    """The rules that a module names, by id: layer, severity, whether it leaves the verdict open, words."""
    named = {
        found for path in sorted(HERE.rglob("*.js")) for found in re.findall(r"\bLF\d{4}\b", path.read_text("utf-8"))
    }
    return {
        rule.id: {
            "layer": rule.layer.value,
            "severity": rule.severity.value,
            "open": rule.undetermined,
            "title": rule.title,
            "message": rule.message,
            "remedy": rule.remedy,
        }
        for rule in all_rules().values()
        if rule.id in named
    }
