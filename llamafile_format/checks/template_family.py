"""Which known chat template a text is, or comes from: by digests, never by the texts themselves (spec/1, 11.9).

The registry has no text of anybody: of each template the digest of its normalised text, of each of its literals of
five words or more, and of its marks, which are what an engine puts around the turns of a conversation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from llamafile_format.checks.template_lexer import BlockKind, TemplateSyntaxError, TokenKind, split_template
from llamafile_format.specdata import spec_yaml

WORDS = 5  # from so many on, a literal says something to the model that a mark does not
DIGITS = 32  # hexadecimal, of the digests of literals and marks: facts to compare with, not to trust
LEAST_MARKS = 2  # shared, without a shared literal, to be of a family
_MARK = re.compile(r"<[^\s<>{}]{2,48}>|\[/?[A-Z_]{3,32}\]|[\uff5c|][^\s|<>{}]{2,32}[\uff5c|]")
_BLANKS = re.compile(r"[ \t]+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KnownTemplate:
    """A row of the registry. ``literals`` and ``marks`` are digests of DIGITS digits."""

    sha256: str
    family: str
    source: str
    literals: frozenset[str]
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Literal:
    """A normalised literal of five words or more, its digest, and the character at which it starts."""

    text: str
    digest: str
    at: int


@dataclass(frozen=True, slots=True)
class Descent:
    """Where a text comes from: its ``families``, none if nobody knows them, and literals that none of them has."""

    families: tuple[str, ...]
    foreign: tuple[Literal, ...]


def template_digest(text: str) -> str:
    """SHA-256 of ``text`` with LF at the ends of lines, no blanks before them, and no empty lines around it."""
    lines = _BLANKS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return hashlib.sha256(lines.strip("\n").encode("utf-8", "surrogateescape")).hexdigest()


def known_template(text: str) -> KnownTemplate | None:
    """The row of the registry that has ``text``, or None."""
    digest = template_digest(text)
    return next((row for row in _registry() if row.sha256 == digest), None)


def literals_of(text: str) -> tuple[Literal, ...]:
    """The literals of ``text`` that are long enough to count, in its order. ValueError if it cannot be split."""
    found = []
    for literal, at in _literals(text):
        words = literal.split()
        if len(words) >= WORDS:
            plain = " ".join(words)
            found.append(Literal(plain, _short(plain), at))
    return tuple(found)


def marks_of(text: str) -> frozenset[str]:
    """Digests of the marks in the literals of ``text``. ValueError if it cannot be split."""
    return frozenset(_short(mark) for literal, _ in _literals(text) for mark in _MARK.findall(literal))


def descent(text: str) -> Descent:
    """The families of the known templates that are most like ``text``. ValueError if it cannot be split."""
    if known := known_template(text):
        return Descent((known.family,), ())
    literals, marks = literals_of(text), marks_of(text)
    digests = {literal.digest for literal in literals}
    alike = {row: (len(row.literals & digests), len(row.marks & marks)) for row in _registry()}
    best = max((score for score in alike.values() if score[0] or score[1] >= LEAST_MARKS), default=None)
    if best is None:
        return Descent((), ())
    families = sorted({row.family for row, score in alike.items() if score == best})
    theirs = frozenset[str]().union(*(row.literals for row in _registry() if row.family in families))
    return Descent(tuple(families), tuple(literal for literal in literals if literal.digest not in theirs))


def _literals(text: str) -> Iterable[tuple[str, int]]:
    """What stands outside of all delimiters, and the strings inside, with the character at which each starts."""
    try:
        blocks = split_template(text)
    except TemplateSyntaxError as error:
        raise ValueError(str(error)) from error
    for block in blocks:
        if block.kind is BlockKind.TEXT:
            yield block.text, block.at
        else:
            for token in block.tokens:
                if token.kind is TokenKind.STRING:
                    yield token.value.replace("\\n", "\n"), token.at


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


@cache
def _registry() -> tuple[KnownTemplate, ...]:
    rows = spec_yaml("registry/templates.yaml")["templates"]
    return tuple(
        KnownTemplate(
            row["sha256"],
            row["family"],
            row["source"],
            frozenset(row["literals"].split()),
            frozenset(row["marks"].split()),
        )
        for row in rows
    )
