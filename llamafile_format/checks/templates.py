"""Judge a chat template by its text alone: it is never rendered, and no template engine is loaded (spec/1.0, 7.11).

A chat template is a program that came with somebody's weights. The check splits it into tokens and compares every
name in it with what chat templates are known to need. Errors are constructs that only attacks use; warnings are what
nobody expects in a template and a person should look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llamafile_format.checks import template_names as names
from llamafile_format.checks.template_flow import NESTING_MAX, check_flow
from llamafile_format.checks.template_lexer import (
    Block,
    BlockKind,
    TemplateSyntaxError,
    Token,
    TokenKind,
    split_template,
)
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE

SIZE_MAX = 256 << 10
LITERAL_MAX = 6000
"""Longest literal of a template; the longest in a known upstream template has 5736 characters."""

INVISIBLE = re.compile(names.INVISIBLE)
ESCAPED_UNDERSCORE = re.compile(r"\\(?:x5f|u005f|U0000005f|0?137|N\{LOW LINE\})", re.IGNORECASE)
URL = re.compile(r"\b(?:https?|ftp|file|data|javascript):(?://|[a-z])", re.IGNORECASE)
PLAIN_FIELDS = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w*(?::[^{}]*)?\})*\Z")
"""A format string whose fields name an argument and nothing inside it."""


class Verdicts:
    """Findings about one template. Offsets are bytes: ``base`` plus the UTF-8 length of what stands before."""

    def __init__(self, source: str, base: int, member: str, field: str) -> None:
        self.source = source
        self.base = base
        self.member = member
        self.field = field
        self.findings: list[Finding] = []
        self._seen: dict[str, int] = {}

    def add(self, rule: str, at: int, /, **args: Value) -> None:
        """Record ``rule`` at character ``at``; bounded for each rule."""
        self._seen[rule] = self._seen.get(rule, 0) + 1
        if self._seen[rule] <= FINDINGS_PER_RULE:
            offset = self.base + len(self.source[:at].encode("utf-8", "surrogateescape"))
            self.findings.append(Finding(rule, Where(offset, None, self.member, self.field), args))


def check_template(data: bytes, *, base: int = 0, member: str = "", field: str = "template") -> list[Finding]:
    """Findings about one template: ``data`` is its text, ``base`` the offset of its first byte in the file."""
    source = data[: SIZE_MAX + 1].decode("utf-8", "surrogateescape")
    verdicts = Verdicts(source, base, member, field)
    if len(data) > SIZE_MAX:
        verdicts.add("LF6011", 0, limit=SIZE_MAX)
        return verdicts.findings
    _characters(verdicts)
    try:
        blocks = split_template(source)
    except TemplateSyntaxError as error:
        verdicts.add("LF6014", error.at, problem=str(error))
        return verdicts.findings
    macros = {block.tokens[1].value for block in blocks if len(block.tokens) > 1 and block.tokens[0].value == "macro"}
    for block in blocks:
        if block.kind is BlockKind.TEXT:
            _literal(verdicts, block.text, block.at)
        else:
            _tag(verdicts, block)
            _tokens(verdicts, block, macros)
    check_flow(verdicts, blocks)
    return verdicts.findings


def check_templates(templates: Iterable[tuple[str, int, bytes]], *, base: int = 0, member: str = "") -> list[Finding]:
    """Findings about the templates of a GGUF, each (key, offset in the GGUF, text); LF6026 if they differ."""
    findings: list[Finding] = []
    texts: dict[bytes, str] = {}
    for key, offset, data in templates:
        findings += check_template(data, base=base + offset, member=member, field=key)
        texts.setdefault(data, key)
    if len(texts) > 1:
        where = Where(None, None, member, "tokenizer.chat_template")
        findings.append(Finding("LF6026", where, {"count": len(texts), "keys": ", ".join(texts.values())}))
    return findings


def _characters(verdicts: Verdicts) -> None:
    """Characters that make a template read differently from what it does."""
    source = verdicts.source
    if "\0" in source:
        verdicts.add("LF6009", source.index("\0"))
    if any("\udc80" <= character <= "\udcff" for character in source):
        verdicts.add("LF6015", next(i for i, character in enumerate(source) if "\udc80" <= character <= "\udcff"))
    for found in INVISIBLE.finditer(source):
        verdicts.add("LF6010", found.start(), character=f"U+{ord(found.group()):04X}")


def _literal(verdicts: Verdicts, text: str, at: int) -> None:
    """Literal text, or the text of a string: addresses, and prose longer than any known template's."""
    if found := URL.search(text):
        verdicts.add("LF6023", at + found.start(), url=text[found.start() : found.start() + 80])
    if len(text.strip()) > LITERAL_MAX:
        verdicts.add("LF6024", at, length=len(text.strip()), limit=LITERAL_MAX)


def _tag(verdicts: Verdicts, block: Block) -> None:
    """The word that a statement begins with."""
    if block.kind is not BlockKind.STATEMENT:
        return
    word = block.tokens[0].value if block.tokens else ""
    if word in names.FORBIDDEN_TAGS:
        verdicts.add("LF6006", block.at, tag=word)
    elif word not in names.TAGS:
        verdicts.add("LF6020", block.at, tag=word)


def _tokens(verdicts: Verdicts, block: Block, macros: set[str]) -> None:
    """Every name, string and bracket of a block, in the light of its neighbours."""
    tokens = block.tokens
    depth = 0
    for index in range(1 if block.kind is BlockKind.STATEMENT else 0, len(tokens)):
        token = tokens[index]
        if token.kind is TokenKind.STRING:
            _string(verdicts, tokens, index)
        elif token.kind is TokenKind.NAME:
            _name(verdicts, tokens, index, macros)
        elif token.kind is TokenKind.OPERATOR and token.value in "([{":
            depth += 1
            if depth == NESTING_MAX + 1:
                verdicts.add("LF6012", token.at, limit=NESTING_MAX)
            if index and token.value == "(" and _is_computed(tokens[index - 1]):
                verdicts.add("LF6007", token.at, before=tokens[index - 1].value[:40])
            if index and token.value == "[" and _is_subscript(tokens[index - 1]):
                _subscript(verdicts, tokens, index)
        elif token.kind is TokenKind.OPERATOR and token.value in ")]}":
            depth -= 1


def _is_computed(token: Token) -> bool:
    """True if a bracket behind ``token`` calls the value of an expression, not something named."""
    return token.kind is TokenKind.STRING or (token.kind is TokenKind.OPERATOR and token.value in ")]}")


def _is_subscript(token: Token) -> bool:
    """True if a square bracket behind ``token`` is a subscript, not a list."""
    return (token.kind is TokenKind.NAME and token.value not in names.KEYWORDS) or _is_computed(token)


def _string(verdicts: Verdicts, tokens: tuple[Token, ...], index: int) -> None:
    """A string literal: the names of Python's insides, plain, spelt with escapes, or put together from underscores."""
    token = tokens[index]
    around = {tokens[position].value for position in (index - 1, index + 1) if 0 <= position < len(tokens)}
    if "__" in token.value or (token.value == "_" and around & {"~", "+", "*"}):
        verdicts.add("LF6001", token.at, found=token.value[:80])
    if ESCAPED_UNDERSCORE.search(token.value):
        verdicts.add("LF6002", token.at, found=token.value[:80])
    _literal(verdicts, token.value, token.at)


def _name(verdicts: Verdicts, tokens: tuple[Token, ...], index: int, macros: set[str]) -> None:
    """A name as filter, test, attribute, method or function."""
    token = tokens[index]
    word = token.value
    before = tokens[index - 1].value if index and tokens[index - 1].kind is not TokenKind.STRING else ""
    called = index + 1 < len(tokens) and tokens[index + 1].kind is TokenKind.OPERATOR and tokens[index + 1].value == "("
    if "__" in word:
        verdicts.add("LF6001", token.at, found=word)
    elif before == "|":
        _filter(verdicts, tokens, index)
    elif before == ".":
        _attribute(verdicts, tokens, index, called)
    elif before == "is" or (before == "not" and index > 1 and tokens[index - 2].value == "is"):
        if word not in names.TESTS and word != "not":
            verdicts.add("LF6017", token.at, test=word)
    elif word in names.FORBIDDEN_NAMES and not _is_keyword_argument(tokens, index):
        verdicts.add("LF6008", token.at, name=word)
    elif called and word not in names.FUNCTIONS | names.KEYWORDS | macros:
        verdicts.add("LF6019", token.at, name=word)


def _is_keyword_argument(tokens: tuple[Token, ...], index: int) -> bool:
    """True for the name in ``f(name=value)``: it names a parameter, it reads nothing."""
    follows = index + 1 < len(tokens) and tokens[index + 1].value == "="
    return follows and index > 0 and tokens[index - 1].value in {"(", ","}


def _filter(verdicts: Verdicts, tokens: tuple[Token, ...], index: int) -> None:
    """A filter: attribute access by name is refused however it is reached."""
    token = tokens[index]
    argument = tokens[index + 2] if index + 2 < len(tokens) and tokens[index + 1].value == "(" else None
    by_name = token.value in {"map", "select", "reject"} and argument is not None and argument.kind is TokenKind.STRING
    word = argument.value if by_name and argument is not None else token.value
    if word in names.FORBIDDEN_FILTERS:
        verdicts.add("LF6003", token.at, filter=word)
    elif word in names.FORMAT_NAMES:
        verdicts.add("LF6004", token.at, name=word)
    elif token.value not in names.FILTERS:
        verdicts.add("LF6016", token.at, filter=token.value)


def _attribute(verdicts: Verdicts, tokens: tuple[Token, ...], index: int, called: bool) -> None:
    """An attribute or method behind a dot."""
    token = tokens[index]
    word = token.value
    if word in names.FORMAT_NAMES:
        receiver = tokens[index - 2] if index > 1 else None
        literal = receiver is not None and receiver.kind is TokenKind.STRING and PLAIN_FIELDS.match(receiver.value)
        if word != "format" or not (called and literal):
            verdicts.add("LF6004", token.at, name=word)
    elif word in names.INTROSPECTION:
        verdicts.add("LF6005", token.at, name=word)
    elif called and word not in names.METHODS:
        verdicts.add("LF6018", token.at, method=word)


def _subscript(verdicts: Verdicts, tokens: tuple[Token, ...], index: int) -> None:
    """A subscript: forbidden names as strings, and strings that are put together on the spot."""
    depth = 0
    for position in range(index, len(tokens)):
        token = tokens[position]
        if token.kind is TokenKind.STRING and depth == 1:
            if token.value in names.INTROSPECTION | {"format_map"}:
                verdicts.add("LF6005", token.at, name=token.value)
            neighbours = {tokens[position - 1].value, tokens[position + 1].value if position + 1 < len(tokens) else ""}
            if neighbours & {"+", "~", "%", "|", "*"}:
                verdicts.add("LF6021", token.at, found=token.value[:40])
        if token.kind is TokenKind.OPERATOR:
            depth += (token.value in "([{") - (token.value in ")]}")
            if depth == 0:
                return
