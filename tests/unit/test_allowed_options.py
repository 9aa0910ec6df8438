"""The options compiled into the runtime are those of the registry (spec/1, 14.6.8)."""

from __future__ import annotations

import pytest

from llamafile_format.prefix.argument_tables import choose_table
from llamafile_format.prefix.arguments import Dialect
from tests.conftest import ROOT


@pytest.mark.parametrize("version", ["0.3.36+1"])
def test_the_compiled_table_is_the_registrys(version: str) -> None:
    import sys

    sys.path.insert(0, str(ROOT / "runtimes"))
    try:
        import allowed_options
    finally:
        sys.path.pop(0)
    assert allowed_options.place(version).read_text("ascii") == allowed_options.text(version), (
        "python runtimes/allowed_options.py writes it again"
    )


def test_every_option_of_the_registry_is_in_it() -> None:
    text = (ROOT / "runtimes/llama.cpp/0.3.36+1/source/arguments.inc").read_text("ascii")
    table = text[text.index("TABLE(native)") :]
    table = table[: table.index("END()")]
    rows = choose_table(Dialect.NATIVE, [("llama.cpp", "0.3.36+1")]).table.rows
    assert table.count("ROW(") == len(rows) > 200
    for row in rows:
        assert f'ROW("{" ".join(row.names)}", {row.values}, {str(row.allowed).lower()}, ' in table
