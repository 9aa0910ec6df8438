"""The dialect of engines up to 0.8.16: one argument a line, no quoting (spec/1, 3.8.2)."""

from __future__ import annotations

import re

from llamafile_format.prefix.arguments_token import Token, literal

_LINE = re.compile(rb"[^\r\n]+")


def split_lines(data: bytes) -> tuple[list[Token], int | None, list[Token]]:
    """Tokens, the place of ``...`` (only the last line counts), and tokens that are ``...`` but not last.

    The engine reads a C string: a NUL ends it.
    """
    text, _, _ = data.partition(b"\0")
    lines = list(_LINE.finditer(text))
    rest = None
    if lines and lines[-1].group() == b"...":
        lines.pop()
        rest = len(lines)
    tokens = [
        literal(
            line.group().replace(b"\\n", b"\n").decode("utf-8", "surrogateescape"),
            line.start(),
            line.end() - line.start(),
        )
        for line in lines
    ]
    misplaced = [token for token, line in zip(tokens, lines, strict=True) if line.group() == b"..."]
    return tokens, rest, misplaced
