"""The house has floors: each room imports only from its own floor or from below (design, rooms of the house)."""

from __future__ import annotations

import ast
from pathlib import Path

import llamafile_format

PACKAGE = Path(llamafile_format.__file__).parent
FLOORS = [
    {
        *("errors", "limits", "spans", "findings", "specdata", "plain_yaml", "rules"),
        *("bounded_json", "bounded_yaml", "strict_yaml", "strict_fields"),
    },
    {"source"},
    {"zip"},
    {"prefix"},
    {"weights"},
    {"manifest"},
    {"signing"},
    {"engines"},
    {"checks", "container", "legacy"},
    {"output"},
    {"examining", "packing", "changing", "vouching", "running"},
    {"reports"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
ENTRANCES = {"__init__", "__main__"}  # what users name stands at the door and may name every room


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def _imports(path: Path) -> set[str]:
    """Modules of the package that ``path`` imports anywhere, but for those that only a type checker sees."""
    found: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    hidden = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for node in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llamafile_format"):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("llamafile_format")}
    return found


def test_imports_run_downwards() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ENTRANCES:
            continue
        for module in _imports(path):
            target = _room(module)
            if target != "__init__" and LEVEL[target] > LEVEL[room]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert wrong == []


def test_every_room_has_a_floor() -> None:
    rooms = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name not in {"__pycache__", "py.typed"}
    }
    assert rooms - ENTRANCES - {"_spec"} == set(LEVEL)


def test_only_the_command_line_prints() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in {"cli", "__main__.py"}:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        calls = [
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls, path
