"""Judge a chat template by its text alone: it is parsed, and never rendered (spec/1, 7.11).

A chat template is a program that came with somebody's weights. The check splits it into tokens, then parses it, and
compares every name in it with what chat templates are known to need. Errors are constructs that only attacks use;
warnings are what nobody expects in a template and a person should look at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from llamafile_format.checks import template_names as names
from llamafile_format.checks.orders import order
from llamafile_format.checks.template_flow import NESTING_MAX, check_flow
from llamafile_format.checks.template_lexer import (
    Block,
    BlockKind,
    TemplateSyntaxError,
    TokenKind,
    split_template,
)
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.limits import TEMPLATE_WORK
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE

SIZE_MAX = 256 << 10
TEXT_COST = 1024
"""What every template costs, however short."""

TEXTS_MAX = 16
"""Different templates of one GGUF that are judged; models are known to have up to three."""
LITERAL_MAX = 6000
"""Longest literal of a template; the longest in a known upstream template has 5736 characters."""

INVISIBLE = re.compile(names.INVISIBLE)
CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What terminals and printers obey, but for tabs and ends of lines; a NUL is a fault of its own."""
ESCAPED_UNDERSCORE = re.compile(r"\\(?:x5f|u005f|U0000005f|0?137|N\{LOW LINE\})", re.IGNORECASE)
MARK = re.compile(r"<[^\s<>{}]{2,64}>|\[[^\s\[\]{}]{2,64}\]")
"""What an engine puts around the turns of a conversation."""

LOOKALIKE = re.compile(
    "CYRILLIC|GREEK|ARMENIAN|CHEROKEE|COPTIC|LISU|FULLWIDTH LATIN|MATHEMATICAL|LATIN LETTER SMALL CAP"
)
"""Names of characters of which some look like letters of ASCII."""

URL = re.compile(r"\b(?:https?|ftp|file|data|javascript):(?://|[a-z])", re.IGNORECASE)


class Verdicts:
    """Findings about one template, at offsets in it: the bytes of the UTF-8 that stands before."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self._seen: dict[str, int] = {}

    def add(self, rule: str, at: int, /, **args: Value) -> None:
        """Record ``rule`` at character ``at``; bounded for each rule."""
        self._seen[rule] = self._seen.get(rule, 0) + 1
        if self._seen[rule] <= FINDINGS_PER_RULE:
            offset = len(self.source[:at].encode("utf-8", "surrogateescape"))
            self.findings.append(Finding(rule, Where(offset), args))


@dataclass(slots=True)
class Texts:
    """The templates of one file, which share what is spent on judging them (12.4.4)."""

    _left: int = TEMPLATE_WORK
    _known: dict[bytes, None] = field(default_factory=dict)
    _full: bool = False

    @property
    def exhausted(self) -> bool:
        """True if nothing more is judged, and that was said."""
        return self._full

    def judge(self, data: bytes) -> tuple[Finding, ...]:
        """Findings about ``data``, at offsets in it; LF6033 for the first that is too much, and nothing after that."""
        if self._full:
            return ()
        if data not in self._known:
            if self._left <= 0:
                self._full = True
                problem = f"others before it took the {TEMPLATE_WORK} bytes and steps that are spent on one file"
                return (Finding("LF6033", Where(0), {"problem": problem}),)
            self._known[data] = None
            self._left -= TEXT_COST + len(data) + _judged(data)[1]
        return _judged(data)[0]


def check_template(
    data: bytes, *, base: int = 0, member: str = "", field: str = "template", texts: Texts | None = None
) -> list[Finding]:
    """Findings about one template: ``data`` is its text, ``base`` the offset of its first byte in the file, whose other
    templates are among ``texts``."""
    return [
        replace(finding, where=Where(base + (finding.where.offset or 0), None, member, field))
        for finding in (texts or Texts()).judge(data[: SIZE_MAX + 1])
    ]


@lru_cache(maxsize=64)
def _judged(data: bytes) -> tuple[tuple[Finding, ...], int]:
    """Findings about the text ``data``, at offsets in it, and the steps it took. What is met again is judged once."""
    source = data.decode("utf-8", "surrogateescape")
    verdicts = Verdicts(source)
    if len(data) > SIZE_MAX:
        verdicts.add("LF6011", 0, limit=SIZE_MAX)
        return tuple(verdicts.findings), 0
    _characters(verdicts)
    try:
        blocks = split_template(source)
    except TemplateSyntaxError as error:
        verdicts.add("LF6014", error.at, problem=str(error))
        return tuple(verdicts.findings), 0
    for block in blocks:
        if block.kind is BlockKind.TEXT:
            _literal(verdicts, block.text, block.at)
        else:
            _tag(verdicts, block)
            _tokens(verdicts, block)
    check_flow(verdicts, blocks)
    steps = 0
    if not any(finding.rule == "LF6012" for finding in verdicts.findings):
        from llamafile_format.checks.template_rules import check_tree  # with a grammar that costs time to load

        steps = check_tree(verdicts, source, blocks)
    return tuple(verdicts.findings), steps


def check_templates(
    templates: Iterable[tuple[str, int, bytes]], *, base: int = 0, member: str = "", texts: Texts | None = None
) -> list[Finding]:
    """Findings about the templates of a GGUF, each (key, offset in the GGUF, text); LF6026 if they differ. Others of
    the same file are among ``texts``."""
    findings: list[Finding] = []
    shared = texts or Texts()
    known: dict[bytes, str] = {}
    for key, offset, data in templates:
        known.setdefault(data, key)
        if len(known) > TEXTS_MAX:
            problem = f"{TEXTS_MAX} other templates stand before it"
            findings.append(Finding("LF6033", Where(base + offset, None, member, key), {"problem": problem}))
            break
        findings += check_template(data, base=base + offset, member=member, field=key, texts=shared)
    if len(known) > 1:
        where = Where(None, None, member, "tokenizer.chat_template")
        findings.append(Finding("LF6026", where, {"count": len(known), "keys": ", ".join(known.values())}))
    return findings


def _characters(verdicts: Verdicts) -> None:
    """Characters that make a template read differently from what it does."""
    source = verdicts.source
    if "\0" in source:
        verdicts.add("LF6009", source.index("\0"))
    if any("\udc80" <= character <= "\udcff" for character in source):
        verdicts.add("LF6015", next(i for i, character in enumerate(source) if "\udc80" <= character <= "\udcff"))
    if found := CONTROL.search(source):
        verdicts.add("LF6040", found.start(), character=f"U+{ord(found.group()):04X}")
    for found in INVISIBLE.finditer(source):
        verdicts.add("LF6010", found.start(), character=f"U+{ord(found.group()):04X}")


def _literal(verdicts: Verdicts, text: str, at: int) -> None:
    """Literal text, or the text of a string: addresses, and prose longer than any known template's."""
    if found := URL.search(text):
        verdicts.add("LF6023", at + found.start(), url=text[found.start() : found.start() + 80])
    for mark in MARK.finditer(text):
        if (character := _lookalike(mark.group())) and any(each.isascii() and each.isalpha() for each in mark.group()):
            verdicts.add("LF6037", at + mark.start(), mark=mark.group(), character=f"U+{ord(character):04X}")
    data = text.encode("utf-8", "surrogateescape")
    if (start := order(data)) >= 0:
        shown = " ".join(data[start : start + 80].decode("utf-8", "replace").split())
        verdicts.add("LF6039", at + len(data[:start].decode("utf-8", "surrogateescape")), text=shown)
    if len(text.strip()) > LITERAL_MAX:
        verdicts.add("LF6024", at, length=len(text.strip()), limit=LITERAL_MAX)


def _lookalike(mark: str) -> str:
    """A letter of ``mark`` that may look like one of ASCII and is none; empty if there is none."""
    strange = (each for each in mark if not each.isascii() and each.isalpha())
    return next((each for each in strange if LOOKALIKE.match(unicodedata.name(each, ""))), "")


def _tag(verdicts: Verdicts, block: Block) -> None:
    """The word that a statement begins with."""
    if block.kind is not BlockKind.STATEMENT:
        return
    word = block.tokens[0].value if block.tokens else ""
    if word in names.FORBIDDEN_TAGS:
        verdicts.add("LF6006", block.at, tag=word)
    elif word not in names.TAGS:
        verdicts.add("LF6020", block.at, tag=word)


def _tokens(verdicts: Verdicts, block: Block) -> None:
    """Strings and brackets of a block: what they hide from a reader, and how deep they go."""
    depth = 0
    for token in block.tokens:
        if token.kind is TokenKind.STRING:
            if ESCAPED_UNDERSCORE.search(token.value):
                verdicts.add("LF6002", token.at, found=token.value[:80])
            _literal(verdicts, token.value, token.at)
        elif token.kind is TokenKind.OPERATOR and token.value in "([{":
            depth += 1
            if depth == NESTING_MAX + 1:
                verdicts.add("LF6012", token.at, limit=NESTING_MAX)
        elif token.kind is TokenKind.OPERATOR and token.value in ")]}":
            depth -= 1
