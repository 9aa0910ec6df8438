"""The caps of clause 12.4: the table is the code's, and reading at a cap stays within its bounds."""

from __future__ import annotations

import re
from pathlib import Path

from llamafile_format import limits
from llamafile_format.rules import rule

CHAPTER = Path(__file__).resolve().parents[2] / "spec" / "1.0" / "12-security.md"
FORMAT_LIMITS = {"LF3002", "LF8001", "LF9100"}
"""Rules of limits that are the format's own, so that a file beyond them is wrong (12.4.3)."""


def rows() -> list[limits.Cap]:
    """The table of 12.4.2."""
    text = CHAPTER.read_text("utf-8").partition("**12.4.2**")[2].partition("**12.4.3**")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [limits.Cap(what, int(most.replace(",", "")), name) for what, most, name, _ in cells]


def test_the_table_is_the_code() -> None:
    assert tuple(rows()) == limits.CAPS


def test_beyond_a_cap_nothing_is_determined() -> None:
    for cap in limits.CAPS:
        if cap.rule != "-":
            assert rule(cap.rule).undetermined == (cap.rule not in FORMAT_LIMITS), cap


def test_every_number_is_in_the_table() -> None:
    """A cap that the table does not name would be a secret of this reader."""
    source = Path(limits.__file__).read_text("utf-8")
    names = set(re.findall(r"^([A-Z_]+) =", source, re.MULTILINE)) - {"CAPS"}
    table = source[source.index("CAPS = (") :]
    assert {name for name in names if f", {name}, " not in table} == {"DEFLATE_RATIO"}
