"""Everything that a pin names is compared by somebody (14.1.11): no field without a word on who does it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from llamafile_format.engines import pin
from llamafile_format.rules import rule
from spec.vectors.generate import ROOT as VECTORS
from spec.vectors.generate.load import read_vector

BYTES = "LF3324"
"""The rule that compares a published pin as a whole: what only tells about it, or how to build it, is in there."""
MADE = "made"
"""Decides what comes out: whoever builds again compares the digest (14.5.1), and whoever verifies, LF3305."""

COMPARED: dict[type, dict[str, tuple[str, ...]]] = {
    pin.Pin: {
        "name": ("LF3304",),  # with the path of its member
        "version": ("LF3304",),
        "title": (BYTES,),
        "folder": (),  # where the file was read from; it names nothing
        "upstream": (),
        "recipe": (),
        "page": (),
        "shader_recipe": (),
        "flavours": (),
        "inputs": (),
        "own": (),
        "targets": (),
        "builds": (),
        "webui": (),
        "shaders": (),
        "licences": (),
        "architectures": ("LF3301",),
        "tensor_types": ("LF3302",),
        "kind": ("LF3304",),
        "formats": (BYTES,),
        "libraries": (),
        "type_registry": ("LF3302",),
        "logits_as": (BYTES,),  # the digest of a build that runs is looked up in the verifier's own pins (15.5.2)
    },
    pin.Library: {
        "target": ("LF3329", "LF3332", "LF3333"),
        "name": ("LF3329", "LF3332", "LF3333"),
        "input": (BYTES, MADE),
        "member": (BYTES, MADE),
        "sha256": ("LF3329", "LF3333"),
        "size": ("LF3329", "LF3333"),
    },
    pin.Build: {
        "target": ("LF3305", "LF3326"),
        "flavour": ("LF3305", "LF3326"),
        "sha256": ("LF3305",),
        "size": ("LF3305",),
        "file": (BYTES,),
    },
    pin.Target: {
        "name": ("LF3304", "LF3326"),  # form and processor of the program; the triple
        "zig": ("LF3304", MADE),
        "system": (BYTES, MADE),
        "processor": (BYTES, MADE),
        "result": (BYTES, MADE),
        "flavours": ("LF3304",),
        "flags": (BYTES, MADE),
        "link": (BYTES, MADE),
        "toolchain": (BYTES, MADE),
        "imports": ("LF3326",),
        "loader": ("LF3326",),
        "minimum": ("LF3326",),
        "tested": (BYTES,),
        "variants": (),
        "gpu_in": (BYTES, MADE),
    },
    pin.Variant: {
        "zig": ("LF3304", MADE),
        "imports": ("LF3326",),
        "loader": ("LF3326",),
        "minimum": ("LF3326",),
        "tested": (BYTES,),
    },
    pin.FlavourRecipe: {
        "uses": (BYTES, MADE),
        "processor": (BYTES, MADE),
        "functions": ("LF3326",),
        "definitions": (BYTES, MADE),
        "flags": (BYTES, MADE),
    },
    pin.Page: {
        "sha256": ("LF3320", "LF3327"),
        "size": ("LF3320", "LF3327"),
        "file": (BYTES,),
        "reproducible": (BYTES,),
    },
    pin.Licence: {
        "component": ("LF3321",),
        "spdx": ("LF3321",),
        "text": ("LF3321",),  # word by word, of pins that the verifier has
        "targets": ("LF3321",),
    },
    pin.Own: {"id": (BYTES, MADE), "path": ("LF3322",), "swhid": ("LF3322",)},
    pin.Input: dict.fromkeys(
        ["id", "name", "version", "file", "sha256", "size", "parts", "swhid", "urls"], (BYTES, MADE)
    ),
    pin.Upstream: dict.fromkeys(["url", "commit", "release", "folder", "tree"], (BYTES, MADE)),
    pin.Recipe: dict.fromkeys(
        ["version", "host", "uses", "project", "tools", "definitions", "toolchain", "flags", "link", "goal"],
        (BYTES, MADE),
    ),
    pin.PageRecipe: dict.fromkeys(["uses", "source", "lock", "own", "node", "npm", "environment"], (BYTES, MADE)),
    pin.ShaderRecipe: dict.fromkeys(["uses", "source", "compiler", "glslc", "features"], (BYTES, MADE)),
}


def kinds() -> list[type]:
    """Every dataclass of the module: whatever a pin is made of."""
    found = [value for value in vars(pin).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    return [kind for kind in found if kind.__module__ == pin.__name__]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_of_every_field_it_is_said_who_compares_it(kind: type) -> None:
    assert set(COMPARED[kind]) == {field.name for field in dataclasses.fields(kind)}


def test_what_nobody_compares_is_made_of_what_somebody_does() -> None:
    empty = {(kind.__name__, name) for kind, fields in COMPARED.items() for name, by in fields.items() if not by}
    parts = {"upstream", "recipe", "page", "shader_recipe", "flavours", "inputs", "own", "targets", "builds", "webui"}
    parts |= {"shaders", "licences", "folder", "libraries"}
    assert empty == {("Pin", name) for name in parts} | {("Target", "variants")}


def test_each_of_these_rules_has_a_file_that_breaks_it() -> None:
    named = {by for fields in COMPARED.values() for each in fields.values() for by in each} - {MADE}
    broken = {broken for path in (Path(VECTORS) / "runtimes").glob("*.vector") for broken in read_vector(path).rules}
    assert named <= broken
    assert all(rule(name).severity.value == "error" for name in named - {"LF3304"})
