"""Split a chat template into blocks and tokens, as its engines do, without evaluating anything (spec/1, 7.11.2).

Strings are recognised before delimiters and brackets are balanced, so a ``}}`` inside a literal ends nothing: a check
that splits on delimiters alone is blind to what an attacker puts behind such a literal.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class BlockKind(Enum):
    """What stands between two delimiters, or outside of any."""

    TEXT = "text"
    EXPRESSION = "expression"
    STATEMENT = "statement"


class TokenKind(Enum):
    """Class of a token inside a block."""

    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    OPERATOR = "operator"


class Token(NamedTuple):
    """``value`` is the name, the operator, or the string's source text without its quotes; ``at`` a character index."""

    kind: TokenKind
    value: str
    at: int


class Block(NamedTuple):
    """A run of text (``text``), or a delimited block (``tokens``); ``at`` is the character index where it starts."""

    kind: BlockKind
    at: int
    text: str = ""
    tokens: tuple[Token, ...] = ()


class TemplateSyntaxError(ValueError):
    """The template cannot be split: ``at`` is the character index, the message says what is wrong."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


OPENING = re.compile(r"\{[{%#]")
ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W0-9]\w*)
      | (?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<operator>//|\*\*|==|!=|>=|<=|[-+*/%~<>=.,:|()\[\]{};])""",
    re.VERBOSE | re.DOTALL,
)
PAIRS = {")": "(", "]": "[", "}": "{"}
CLOSING = {BlockKind.EXPRESSION: "}}", BlockKind.STATEMENT: "%}"}


def split_template(source: str) -> list[Block]:
    """The blocks of ``source`` in order. Raises TemplateSyntaxError; runs in time linear in its length."""
    blocks: list[Block] = []
    at = 0
    while opening := OPENING.search(source, at):
        start = opening.start()
        if start > at:
            blocks.append(Block(BlockKind.TEXT, at, source[at:start]))
        if opening.group() == "{#":
            at = _end_of_comment(source, start)
            continue
        kind = BlockKind.EXPRESSION if opening.group() == "{{" else BlockKind.STATEMENT
        tokens, at = _tokens(source, start + 2, kind)
        if kind is BlockKind.STATEMENT and [token.value for token in tokens] == ["raw"]:
            end = ENDRAW.search(source, at)
            if end is None:
                raise TemplateSyntaxError("raw block without end", start)
            blocks.append(Block(kind, start, tokens=tuple(tokens)))
            blocks.append(Block(BlockKind.TEXT, at, source[at : end.start()]))
            at = end.end()
            continue
        blocks.append(Block(kind, start, tokens=tuple(tokens)))
    if at < len(source):
        blocks.append(Block(BlockKind.TEXT, at, source[at:]))
    return blocks


def _end_of_comment(source: str, start: int) -> int:
    end = source.find("#}", start + 2)
    if end < 0:
        raise TemplateSyntaxError("comment without end", start)
    return end + 2


def _tokens(source: str, at: int, kind: BlockKind) -> tuple[list[Token], int]:
    """Tokens from ``at`` to the closing delimiter, and the index behind it."""
    tokens: list[Token] = []
    open_brackets: list[str] = []
    closing = CLOSING[kind]
    start = at
    if source[at : at + 1] in {"-", "+"}:
        at += 1
    while True:
        if not open_brackets:
            if source.startswith(closing, at):
                return tokens, at + 2
            if source[at : at + 1] in {"-", "+"} and source.startswith(closing, at + 1):
                return tokens, at + 3
        found = TOKEN.match(source, at)
        if found is None:
            what = "block without end" if at >= len(source) else f"unexpected character {source[at]!r}"
            raise TemplateSyntaxError(what, min(at, len(source) - 1) if at < len(source) else start)
        group, value = found.lastgroup, found.group()
        if group == "operator" and value in "([{":
            open_brackets.append(value)
        elif group == "operator" and value in PAIRS and (not open_brackets or open_brackets.pop() != PAIRS[value]):
            raise TemplateSyntaxError(f"unbalanced {value!r}", at)
        if group != "space":
            token_kind = TokenKind(group)
            tokens.append(Token(token_kind, value[1:-1] if token_kind is TokenKind.STRING else value, at))
        at = found.end()
