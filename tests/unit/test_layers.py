"""The house: rooms one above the other, imports that only go down, and doors (docs/architecture.md).

Imports are read from the sources: those in functions count, and those that only a type checker sees.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

import llamafile_format

PACKAGE = Path(llamafile_format.__file__).parent
NAME = PACKAGE.name
FLOORS = (
    ("errors", "limits", "spans", "door", "progress", "escape", "plain_json", "plain_yaml", "findings"),
    ("specdata", "viewers", "clauses", "rules", "bounded_json", "bounded_yaml", "strict_yaml", "strict_fields"),
    ("source", "zip", "prefix", "weights", "manifest", "frozen", "recovery", "signing", "engines"),
    ("legacy", "container", "checks", "output"),
    (
        "examining",
        "packing",
        "changing",
        "vouching",
        "running",
        "caring",
        "keeping",
        "exchanging",
        "reports",
        "fleet",
        "service",
        "viewing",
        "cli",
    ),
)
ROOMS = [room for floor in FLOORS for room in floor]
"""Lowest first: a room imports from those in front of it."""
SIGNING = ["keys", "x509", "records", "time", "trust"]
WITH_DOORS = [room for room in FLOORS[-1] if room != "cli"]
ENTRANCES = {"", "__main__"}  # what users name stands at the entrance and may name every room


@dataclass(frozen=True)
class Import:
    """``importer`` takes something from ``module``. Names are without the package; "" is the package itself."""

    importer: str
    module: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in PACKAGE.rglob("*.py")}
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}


def _imports(importer: str) -> Iterator[Import]:
    for node in ast.walk(TREES[importer]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == NAME:
            module = (node.module or "").removeprefix(NAME).lstrip(".")
            for alias in node.names:
                inside = f"{module}.{alias.name}".lstrip(".")
                whole = inside in MODULES and alias.name not in _exports(module)
                yield Import(importer, inside if whole else module, node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == NAME:
                    yield Import(importer, alias.name.removeprefix(NAME).lstrip("."), node.lineno)


def _exports(room: str) -> list[str]:
    return dir(import_module(f"{NAME}.{room}")) if room in WITH_DOORS else []


IMPORTS = [found for module in sorted(MODULES) for found in _imports(module)]


def _upwards(order: list[str], within: str = "") -> list[str]:
    """Imports against ``order``, a ranking of what lies directly in the package, or in its room ``within``."""
    wrong = []
    for each in IMPORTS:
        if within and not (each.importer.startswith(f"{within}.") and each.module.startswith(f"{within}.")):
            continue
        above, below = (module.removeprefix(f"{within}.").split(".")[0] for module in (each.importer, each.module))
        if not ENTRANCES & {above, below} and order.index(below) > order.index(above):
            wrong.append(str(each))
    return wrong


def test_imports_run_downwards() -> None:
    assert _upwards(ROOMS) == []


def test_imports_run_downwards_in_the_room_of_signatures() -> None:
    assert _upwards(SIGNING, "signing") == []


def test_there_is_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for each in IMPORTS:
        if each.importer != each.module and each.module not in ENTRANCES:
            graph.setdefault(each.importer, set()).add(each.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules that import one another: {' <- '.join(error.args[1])}")


def test_rooms_take_nothing_from_the_entrance_but_the_version() -> None:
    """What the package exports comes from all rooms: whoever imports it from there would import upwards unseen."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if module not in ENTRANCES and isinstance(node, ast.ImportFrom) and node.module == NAME:
                assert {alias.name for alias in node.names} - set(TREES) <= {"__version__"}, module


def test_imports_are_seen_wherever_they_stand() -> None:
    """At the top, in a function, under TYPE_CHECKING, through a door: what the tests above see."""
    edges = {(each.importer, each.module) for each in IMPORTS}
    assert {
        ("examining.verify", "container"),
        ("examining.verify", "checks.archive"),
        ("examining.verify", "signing.trust.policy"),
        ("cli.verify", "fleet"),
        ("fleet.look", "running"),
        ("running", "running.verify"),
    } <= edges


def test_every_room_has_its_place() -> None:
    rooms = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name not in {"__pycache__", "py.typed"}
    }
    assert rooms - {"__init__", "__main__", "_spec"} == set(ROOMS)
    assert {path.name for path in (PACKAGE / "signing").iterdir() if path.is_dir()} - {"__pycache__"} == set(SIGNING)


def test_rooms_are_entered_by_their_doors() -> None:
    """What a room does not export is private to it; and a room does not go out of its own door to come in again."""
    wrong = []
    for each in IMPORTS:
        room, _, inside = each.module.partition(".")
        if room in WITH_DOORS and (each.importer.split(".")[0] == room) != bool(inside) and each.importer != room:
            wrong.append(str(each))
    assert wrong == []


@pytest.mark.parametrize("room", ["", *WITH_DOORS])
def test_a_door_exports_what_type_checkers_see(room: str) -> None:
    package = import_module(f"{NAME}.{room}".rstrip("."))
    seen = {
        alias.asname or alias.name: alias.name
        for guard in TREES[room].body
        if isinstance(guard, ast.If)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) == set(dir(package)) - {"__version__"}
    for name, there in seen.items():
        found = getattr(package, name)
        if isinstance(found, type | FunctionType):
            assert found.__name__ == there


def test_a_module_does_not_hide_what_its_room_exports() -> None:
    """``verify`` is a module of the room and a function that it exports: others get the function."""
    code = f"import {NAME}.examining.verify; from {NAME}.examining import verify; assert callable(verify)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = import_module(f"{NAME}.examining").nothing


@pytest.mark.parametrize("starter", ["engines.launch", "engines.build", "running.run", "signing.keys.external"])
def test_a_look_at_a_file_cannot_start_a_program(starter: str) -> None:
    """Nothing that examining imports, directly or through others, wherever it stands, starts one (SECURITY.md)."""
    reached, ahead = set(), [module for module in MODULES if module.split(".")[0] in {"examining", "checks"}]
    while ahead:
        module = ahead.pop()
        if module not in reached:
            reached.add(module)
            ahead += [each.module for each in IMPORTS if each.importer == module and each.module not in ENTRANCES]
    assert starter in MODULES
    assert starter not in reached


def test_only_the_command_line_prints() -> None:
    for module, tree in TREES.items():
        if module.split(".")[0] in {"cli", "__main__"}:
            continue
        calls = [
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls, module


def test_everything_says_what_it_is() -> None:
    """Modules, classes and functions, but for those that a module keeps to itself."""
    silent = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and not ast.get_docstring(node):
                name = getattr(node, "name", "the module")
                if not name.startswith("_"):
                    silent.append(f"{module}:{getattr(node, 'lineno', 1)} {name}")
    assert silent == []


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_plan_names_what_is_there(name: str) -> None:
    """Every room has its paragraph; modules, folders and pages that are named exist."""
    page = PACKAGE.parent / name
    text = page.read_text("utf-8")
    if name == "docs/architecture.md":
        headings = set(" ".join(re.findall(r"^### (.*)$", text, re.MULTILINE)).replace(" and ", " ").split())
        assert {room for room in ROOMS if (PACKAGE / room).is_dir()} <= headings
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`(\w+/[\w/]+(?:\.py|\.yaml|/))`", text):
        roots = (PACKAGE, PACKAGE.parent)
        assert "NAME" in named or any((root / named).exists() for root in roots), named
