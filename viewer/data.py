"""Tables of the specification that the page holds, taken from where they are kept (:mod:`viewer.build`)."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from llamafile_format.engines.known import known_build
from llamafile_format.engines.store import pins
from llamafile_format.prefix.launcher_templates import VERSIONS, template
from llamafile_format.rules import all_rules
from llamafile_format.specdata import spec_yaml
from llamafile_format.viewers import pages

VERSION = 1
"""Of the page that this tree makes (clause 11.10)."""

HERE = Path(__file__).resolve().parent


def table(name: str) -> object:
    """The table ``name`` as a JSON value. Raises KeyError for a name that there is not."""
    tables = {
        "rules": rules,
        "viewers": viewers,
        "launchers": launchers,
        "known-builds": known_builds,
        "builds": builds,
        "texts": texts,
        "arguments": arguments,
        "engine-releases": engine_releases,
        "code-pages": code_pages,
    }
    return tables[name]()


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
    """SHA-256 of every page before this one: a page cannot hold its own, and computes it (``own.js``)."""
    return [each.sha256 for each in pages() if each.version < VERSION]


def builds() -> dict[str, dict[str, object]]:
    """Builds of the pins that a browser can run, by SHA-256: status, why one is refused, what else it counts as."""
    found: dict[str, dict[str, object]] = {}
    for pin in pins():
        for build in pin.builds:
            known = known_build(build.sha256)
            if build.target == "wasm32-wasi" and known is not None:
                row: dict[str, object] = {"status": known.status.value, "reason": known.reason}
                found[build.sha256] = {**row, "logits_as": list(pin.logits_as)}
    return found


def texts() -> dict[str, str]:
    """The texts whose likelihood records hold (clause 15.6), by id."""
    return {str(row["id"]): str(row["text"]) for row in spec_yaml("registry/behaviour-texts.yaml")["texts"]}


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


def known_builds() -> dict[str, dict[str, str]]:
    """Every build that the registry or a pin has, by SHA-256 (clause 14.3.4): which it is, and what is said of it."""
    digests = {str(row["sha256"]) for row in spec_yaml("registry/engines.yaml")["builds"]}
    digests |= {build.sha256 for pin in pins() for build in pin.builds}
    found = {}
    for digest in digests:
        known = known_build(digest)
        assert known is not None
        found[digest] = {"key": known.key, "status": known.status.value, "date": known.date, "reason": known.reason}
    return found


def arguments() -> dict[str, object]:
    """What options files may set (clause 3.10.2): the index of tables, rows by name, and why options are refused."""
    registry = spec_yaml("registry/arguments.yaml")
    wanted = {name for row in registry["tables"] for name in str(row[3]).split()}
    rows = {name: registry[name] for name in sorted(wanted)}
    return {"tables": registry["tables"], "reasons": registry["reasons"], "rows": rows}


def engine_releases() -> dict[str, object]:
    """Names that engines print, and the toolchain of each release (clause 3.6)."""
    registry = spec_yaml("registry/engines.yaml")
    releases = [[str(row["version"]), str(row["cosmocc"])] for row in registry["releases"]]
    return {"families": [str(row["id"]) for row in registry["families"]], "releases": releases}


def code_pages() -> list[str]:
    """The upper half of each code page that ZIP tools wrote names in before UTF-8 (clause 9.2.7)."""
    high = bytes(range(0x80, 0x100))
    return [high.decode(page, "replace") for page in ("cp437", "cp850", "cp1252", "latin-1")]
