"""Every module, class and function of the package says what it is, gives and raises, but for what a module keeps."""

from __future__ import annotations

import ast
from pathlib import Path

import llamafile_format

PACKAGE = Path(llamafile_format.__file__).parent
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def test_everything_says_what_it_is() -> None:
    silent = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, DEFINITIONS) and not ast.get_docstring(node):
                name = getattr(node, "name", "the module")
                if not name.startswith("_"):
                    silent.append(f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 1)} {name}")
    assert silent == []
