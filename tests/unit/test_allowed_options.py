"""What is compiled into a runtime is what the library judges by (spec/1, 14.6.8 and 14.6.14)."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from llamafile_format.checks.grammars import MAX_REPEAT, MAX_UNFOLDED
from llamafile_format.prefix.argument_tables import choose_table
from llamafile_format.prefix.arguments import Dialect
from tests.conftest import ROOT


def generator(name: str) -> ModuleType:
    """The program ``runtimes/NAME.py``, as a module."""
    sys.path.insert(0, str(ROOT / "runtimes"))
    try:
        return __import__(name)
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("version", ["0.3.36+1", "0.3.36+2"])
def test_the_compiled_table_is_the_registrys(version: str) -> None:
    options = generator("allowed_options")
    assert options.place(version).read_text("ascii") == options.text(version), (
        "python runtimes/allowed_options.py VERSION writes it again"
    )


def test_the_compiled_bounds_of_grammars_are_the_librarys() -> None:
    bounds = generator("unfolding")
    text = bounds.place("0.3.36+2").read_text("ascii")
    assert text == bounds.text(), "python runtimes/unfolding.py VERSION writes it again"
    assert f" MAX_REPEAT   = {MAX_REPEAT};" in text
    assert f" MAX_UNFOLDED = {MAX_UNFOLDED};" in text


@pytest.mark.parametrize("version", ["0.3.36+1", "0.3.36+2"])
def test_every_option_of_the_registry_is_in_it(version: str) -> None:
    text = (ROOT / f"runtimes/llama.cpp/{version}/source/arguments.inc").read_text("ascii")
    table = text[text.index("TABLE(native)") :]
    table = table[: table.index("END()")]
    rows = choose_table(Dialect.NATIVE, [("llama.cpp", version)]).table.rows
    assert table.count("ROW(") == len(rows) > 200
    for row in rows:
        assert f'ROW("{" ".join(row.names)}", {row.values}, {str(row.allowed).lower()}, ' in table
