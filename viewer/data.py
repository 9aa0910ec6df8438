"""Tables of the specification that the page holds, taken from where they are kept (:mod:`viewer.build`)."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from llamafile_format.prefix.launcher_templates import VERSIONS, template
from llamafile_format.rules import all_rules
from llamafile_format.specdata import spec_yaml

HERE = Path(__file__).resolve().parent


def table(name: str) -> object:
    """The table ``name`` as a JSON value. Raises KeyError for a name that there is not."""
    return {"rules": rules, "viewers": viewers, "launchers": launchers}[name]()


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


def viewers() -> list[str]:
    """SHA-256 of every page that may be a member of role ``viewer`` (clause 11.10)."""
    return [str(row["sha256"]) for row in spec_yaml("registry/viewers.yaml")["viewers"]]


def launchers() -> dict[str, dict[str, str]]:
    """The templates of every version of the launcher (clause 14.2.3): the script as text, programs in base64."""
    programs = ("launcher.exe", "launcher-x86_64.elf", "launcher-aarch64.elf")
    return {
        str(version): {
            "stage2.sh": template(version, "stage2.sh").decode("ascii"),
            **{name: base64.b64encode(template(version, name)).decode() for name in programs},
        }
        for version in VERSIONS
    }
