"""Tables of the specification that the page holds, taken from where they are kept (:mod:`viewer.build`)."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from llamafile_format.engines.known import known_build
from llamafile_format.engines.store import document, licences, pins
from llamafile_format.engines.successors import installed_builds
from llamafile_format.prefix.launcher_templates import VERSIONS, template
from llamafile_format.rules import all_rules
from llamafile_format.specdata import spec_yaml
from llamafile_format.viewers import pages
from llamafile_format.weights.tensor_types import type_name, type_table

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
        "texts": texts,
        "arguments": arguments,
        "engine-releases": engine_releases,
        "code-pages": code_pages,
        "loaders": loaders,
        "type-names": type_names,
        "projectors": projectors,
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


def known_builds() -> dict[str, object]:
    """What is known of programs (clauses 14.3.4, 14.3.13, 14.8.1): builds and whole engines by SHA-256, pins by name
    and version, and the builds that are offered in the place of older ones.
    """
    registry = spec_yaml("registry/engines.yaml")
    logits = {build.sha256: list(pin.logits_as) for pin in pins() for build in pin.builds}
    found = {}
    for digest in {str(row["sha256"]) for row in registry["builds"]} | logits.keys():
        known = known_build(digest)
        assert known is not None
        row: dict[str, object] = {"key": known.key, "status": known.status.value, "date": known.date}
        lacks = [guard.value for guard in known.lacks]
        found[digest] = {**row, "reason": known.reason, "lacks": lacks, "logits_as": logits.get(digest, [])}
    engines = [str(row["sha256"]) for row in registry["digests"]]
    engines += sorted({library.sha256 for pin in pins() for library in pin.libraries})
    return {"builds": found, "engines": engines, "pins": _pins(), "offered": _offered()}


def _pins() -> dict[str, dict[str, object]]:
    """Of each pin here the SHA-256 of its document, of its licences, and of its builds."""
    return {
        pin.key: {
            "document": hashlib.sha256(document(pin)).hexdigest(),
            "licences": hashlib.sha256(licences(pin)).hexdigest() if pin.licences else "",
            "builds": [build.sha256 for build in pin.builds],
        }
        for pin in pins()
    }


def _offered() -> list[dict[str, object]]:
    """Builds of this tree that are not refused."""
    return [
        {
            "engine": each.name.engine,
            "version": each.name.version,
            "flavour": each.name.flavour.value,
            "target": each.name.target,
            "complete": each.complete,
            "sha256": each.sha256,
        }
        for each in installed_builds()
    ]


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


def loaders() -> list[dict[str, object]]:
    """What engines demand of a model before they start it (clause 14.1.12)."""
    rows: list[dict[str, object]] = spec_yaml("registry/loaders.yaml")["loaders"]
    return rows


def type_names() -> dict[str, str]:
    """What reports call tensor types, by number (clause 7.6)."""
    return {str(number): type_name(number) for number in type_table()}


def projectors() -> dict[str, list[str]]:
    """Types of projectors, and the engines that know exactly these (clause 7.12.4)."""
    registry = spec_yaml("registry/projector-types.yaml")
    return {"known_to": list(registry["known_to"]), "types": sorted(registry["projector_types"])}


def code_pages() -> list[str]:
    """The upper half of each code page that ZIP tools wrote names in before UTF-8 (clause 9.2.7)."""
    high = bytes(range(0x80, 0x100))
    return [high.decode(page, "replace") for page in ("cp437", "cp850", "cp1252", "latin-1")]
