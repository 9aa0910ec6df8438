"""A pattern of text takes the ten digits for digits, and no other script's: ``\\d`` alone would."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loose(source: str) -> Iterator[str]:
    """Patterns of text given to ``re`` that have ``\\d`` without ``re.ASCII``."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            continue
        parts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
        flags = ast.dump(ast.List([*node.args[1:], *(keyword.value for keyword in node.keywords)]))
        if any(isinstance(part, str) and "\\d" in part for part in parts) and "'ASCII'" not in flags:
            yield ast.unparse(node)


def test_the_look_finds_what_it_is_for() -> None:
    assert list(loose('re.compile(r"\\d")'))
    assert list(loose('re.fullmatch(rf"x{y}\\d", z, re.IGNORECASE)'))
    assert not list(loose('re.compile(r"\\d", re.ASCII)'))
    assert not list(loose('re.compile(rb"\\d")'))


@pytest.mark.parametrize("folder", ["llamafile_format", "spec", "runtimes", "share"])
def test_no_pattern_takes_other_digits(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        assert not list(loose(path.read_text("utf-8"))), path
