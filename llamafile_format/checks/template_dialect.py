"""What of Jinja's grammar the engine's own parser does not take (spec/1, 14.1.10)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llamafile_format.checks.template_lexer import Block, BlockKind, TemplateSyntaxError, TokenKind, split_template
from llamafile_format.checks.template_names import TAGS

ENGINES = frozenset({"llama.cpp@0.3.36", "llama.cpp@0.3.36+1", "llama.cpp@0.3.36+2"})
"""The pinned engines that this holds for, as ``NAME@VERSION``."""
NOT_TAGS = frozenset({"raw", "endraw", "with", "endwith", "do"})
ESCAPE = re.compile(r"\\([^ntrbfv\\'\"])", re.DOTALL)


def not_taken(data: bytes) -> tuple[int, str] | None:
    """The first thing in the template ``data`` that the engine refuses: where, in bytes, and what."""
    source = data.decode("utf-8", "replace")
    try:
        blocks = split_template(source)
    except TemplateSyntaxError:  # LF6014 says so
        return None
    first = min((found for block in blocks for found in _of_block(block)), default=None)
    return None if first is None else (len(source[: first[0]].encode()), first[1])


def _of_block(block: Block) -> Iterator[tuple[int, str]]:
    tokens = block.tokens
    if block.kind is BlockKind.STATEMENT and tokens:
        if tokens[0].value not in TAGS - NOT_TAGS:
            yield block.at, f"the tag {tokens[0].value}"
        elif tokens[0].value == "for" and tokens[-1].value == "recursive" and tokens[-1].kind is TokenKind.NAME:
            yield tokens[-1].at, "a recursive loop"
    for token in tokens:
        if token.kind is TokenKind.OPERATOR and token.value in ("//", "**"):
            yield token.at, f"the operator {token.value}"
        elif token.kind is TokenKind.STRING and (found := ESCAPE.search(token.value)):
            yield token.at, f"the escape \\{found[1]}"
        elif token.kind is TokenKind.NAME and not token.value.isascii():
            yield token.at, f"the name {token.value}"
