"""The closed sets of the JSON Schemas are those of the code: every word that a report can say its schema knows.

Which set of the code a list of a schema means is found by the words that they share. What a schema leaves out or adds
on purpose is written down here, once, with why; anything else is a word that was added on one side only.
"""

from __future__ import annotations

import enum
import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import llamafile_format
from llamafile_format.packing.runtime_members import FLAVOURS
from llamafile_format.specdata import spec_dir

LEFT_OUT = {
    ("Agreement", "none"): "the answer of a replay; nobody records or demands it",
    ("Kind", "not a llamafile"): "such a file ends the command before there is a report",
    ("Why", "only"): "why a build starts, not why a member is used",
    ("Why", "native"): "as above",
    ("Why", "behind"): "as above",
    ("Why", "gpu"): "as above",
    ("Flavour", "gpu"): "gpu_in: where the builds are that need it",
    ("Flavour", "reference"): "why a build starts: it needs no reason beyond being the only one",
    ("Verdict", "yes"): "a file that is refused has none",
    ("Role", "scanner"): "demanded by `scanned`, not by a requirement",
}
ADDED = {
    ("Kind", "gguf"): "inspect looks at parts of a llamafile too",
    ("Kind", "weights"): "as above",
    ("Kind", "program"): "as above",
    ("RecordKind", ""): "a record that cannot be read",
    ("Method", ""): "as above",
    ("WhyHere", "none"): "nothing starts",
    ("Flavour", "only"): "why a build starts",
    ("Flavour", "behind"): "as above",
}


def sets_of_the_code() -> dict[str, set[str]]:
    """Every closed set of words in the package."""
    found: dict[str, set[str]] = {"FLAVOURS": set(FLAVOURS)}
    for module in pkgutil.walk_packages(llamafile_format.__path__, "llamafile_format."):
        if "__main__" in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, enum.EnumMeta) and value.__module__ == module.name:
                words = {item.value for item in list[enum.Enum](value)}
                found[f"{module.name}.{value.__name__}"] = {word for word in words if isinstance(word, str)}
    return found


def lists_of(node: Any, at: str) -> Iterator[tuple[str, set[str]]]:
    """Every ``enum`` of two words or more, with where it is."""
    if isinstance(node, dict):
        words = {word for word in node.get("enum", ()) if isinstance(word, str)}
        if len(words) > 1:
            yield at, words
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key != "if":  # a part of the words is what it asks about
            yield from lists_of(value, f"{at}/{key}")


def test_schemas_know_every_word() -> None:
    sets = sets_of_the_code()
    compared, wrong, used = 0, [], set()
    for path in sorted((spec_dir() / "schemas").iterdir()):
        for at, words in lists_of(json.loads(path.read_text(encoding="utf-8")), path.name):
            if "/critical/" in at or at == "policy.schema.json/properties/records/items":
                continue  # names of fields and of policies' own records, which share words with roles
            closest = max(sets, key=lambda name: len(sets[name] & words) / len(sets[name] | words))
            if len(sets[closest] & words) < 2:
                continue
            compared += 1
            name = closest.rpartition(".")[2]
            for word in sets[closest] - words:
                used.add((name, word))
                wrong += [f"{at}: {name} says {word!r}"] * ((name, word) not in LEFT_OUT)
            for word in words - sets[closest]:
                used.add((name, word))
                wrong += [f"{at}: {name} never says {word!r}"] * ((name, word) not in ADDED)
    assert compared > 40
    assert not wrong, "\n".join(wrong)
    assert used == {*LEFT_OUT, *ADDED}
