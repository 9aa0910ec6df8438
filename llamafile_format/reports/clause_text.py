"""A clause of the specification on a screen: paragraphs within 78 columns, tables and code as they stand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from llamafile_format.clauses import Clause

COLUMNS = 78
_LIST = re.compile(r"(- |[0-9]+\. |\* )")


def clause_lines(clause: Clause) -> Iterator[str]:
    """Title and text of ``clause``, Markdown as it is written."""
    yield f"spec/1, {clause.title}"
    for block in re.split(r"\n\n+", clause.text):
        yield ""
        yield from _block(block.splitlines())


def _block(lines: list[str]) -> Iterator[str]:
    if any(line.startswith(("|", "    ", "```", "#")) for line in lines):
        yield from lines
        return
    items: list[str] = []
    for line in lines:
        if _LIST.match(line) or not items:
            items.append(line)
        else:
            items[-1] += f" {line.strip()}"
    for item in items:
        match = _LIST.match(item)
        indent = " " * len(match[0]) if match else ""
        yield from textwrap.wrap(
            item, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
