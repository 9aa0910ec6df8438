"""Write the options that a runtime takes from `.args` as the C++ that is compiled into it (spec/1.0, 3.10 and 14.6.8).

    python runtimes/allowed_options.py                # runtimes/llama.cpp/0.3.36+2/source/arguments.inc
    python runtimes/allowed_options.py 0.3.36+1       # of another version

The rows are those of spec/registry/arguments.yaml that count for the version. A test compares file and registry.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the checkout, not what is installed

from llamafile_format.engines.versions import version_key  # noqa: E402
from llamafile_format.prefix.argument_tables import REGISTRY, Row, Table, choose_table, reason  # noqa: E402
from llamafile_format.prefix.arguments import Dialect  # noqa: E402
from llamafile_format.specdata import spec_yaml  # noqa: E402

ENGINE, VERSION = "llama.cpp", "0.3.36+2"
_UNKNOWN = ("", "0")  # an engine that no table is for


def place(version: str = VERSION) -> Path:
    """Where the file for ``version`` lies."""
    return HERE / ENGINE / version / "source" / "arguments.inc"


def text(version: str = VERSION) -> str:
    """The file: this version's table, what it and earlier ones share, the classic dialects', and what all have."""
    listed = [tuple(map(str, row)) for row in spec_yaml(REGISTRY)["tables"]]
    native = [row for row in listed if row[0] == Dialect.NATIVE.value and row[1] == ENGINE]
    rows = {row[2]: row[3] for row in native if version_key(row[2]) <= version_key(version)}
    known = sorted(rows, key=version_key)
    several = len({rows[each] for each in known[:-1]}) > 1  # then each says whether its table is this version's
    same = {each: f", {str(rows[each] == rows[version]).lower()}" if several else "" for each in known}
    lines = [
        f"// The options that `.args` may hold, for {ENGINE} {version}: written by runtimes/allowed_options.py from",
        "// spec/registry/arguments.yaml. ROW(names, values, allowed, kind or reason, low, high)",
        *(f"ENGINE({_c(ENGINE)}, {_c(each)}{same[each]})" for each in reversed(known)),
        *_table("known", choose_table(Dialect.NATIVE, [(ENGINE, each) for each in known]).table),
    ]
    for dialect in Dialect:
        engines = [(ENGINE, version)] if dialect is Dialect.NATIVE else []
        lines += _table(dialect.name.lower(), choose_table(dialect, engines).table)
    lines += _table("common", choose_table(Dialect.NATIVE, [_UNKNOWN]).table)
    return "\n".join(lines) + "\n"


def _table(name: str, table: Table) -> list[str]:
    return [f"TABLE({name})", *(_row(row) for row in table.rows), "END()"]


def _row(row: Row) -> str:
    kind = row.kind if row.allowed else reason(row.kind)
    bounds = (_c("" if bound is None else str(bound)) for bound in (row.low, row.high))
    allowed = "true" if row.allowed else "false"
    return f"ROW({', '.join((_c(' '.join(row.names)), str(row.values), allowed, _c(kind), *bounds))})"


def _c(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise SystemExit(f"{value!r} cannot be written")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    version = sys.argv[1] if len(sys.argv) > 1 else VERSION
    place(version).write_text(text(version), encoding="ascii")
