"""SPDX licence expressions: does a list of licences allow what a manifest names? (spec/1.0, 16.7.2)

Grammar of SPDX 2.3, annex D: ids, ``+``, ``WITH`` an exception, ``AND`` before ``OR``, parentheses; in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_DEPTH = 32  # parentheses; the manifest bounds the length
_ID = r"(?:DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*"
_TOKEN = re.compile(rf"\s*(?:(?P<mark>[()])|(?P<word>{_ID}\+?))")
_LICENSE = re.compile(rf"{_ID}\+?(?: [Ww][Ii][Tt][Hh] {_ID})?")
_WORDS = ("AND", "OR", "WITH")


def is_license(text: str) -> bool:
    """True if ``text`` is one licence, with or without an exception, as a list of allowed ones has them."""
    words = text.upper().split()
    return bool(_LICENSE.fullmatch(text)) and words[0] not in _WORDS and words[-1] not in _WORDS


def license_allowed(expression: str, allowed: Sequence[str]) -> bool | None:
    """True if ``allowed`` lets somebody use what is under ``expression``; None if that is no such expression."""
    tokens = _tokens(expression)
    if not tokens:
        return None
    reader = _Reader(tokens, frozenset(" ".join(entry.upper().split()) for entry in allowed))
    try:
        result = reader.either(0)
    except ValueError:
        return None
    return result if reader.at == len(tokens) else None


def _tokens(expression: str) -> list[str] | None:
    found, at, end = [], 0, len(expression.rstrip())
    while at < end:
        match = _TOKEN.match(expression, at, end)
        if match is None:
            return None
        found.append(match["mark"] or match["word"].upper())
        at = match.end()
    return found


class _Reader:
    """Reads tokens from left to right; ValueError where the grammar has no place for one."""

    def __init__(self, tokens: Sequence[str], allowed: frozenset[str]) -> None:
        self.at = 0
        self._tokens = tokens
        self._allowed = allowed

    def either(self, depth: int) -> bool:
        """``a OR b``: one of them is enough."""
        result = self._both(depth)
        while self._take("OR"):
            result = self._both(depth) or result  # both are read: the second may be malformed
        return result

    def _both(self, depth: int) -> bool:
        result = self._one(depth)
        while self._take("AND"):
            result = self._one(depth) and result
        return result

    def _one(self, depth: int) -> bool:
        if self._take("("):
            if depth >= MAX_DEPTH:
                raise ValueError("nested too deeply")
            result = self.either(depth + 1)
            if not self._take(")"):
                raise ValueError("a parenthesis stays open")
            return result
        name = self._name()
        if self._take("WITH"):
            return f"{name} WITH {self._name()}" in self._allowed
        return name in self._allowed or (name.endswith("+") and name[:-1] in self._allowed)

    def _name(self) -> str:
        name = self._tokens[self.at] if self.at < len(self._tokens) else "("
        if name in (*_WORDS, "(", ")"):
            raise ValueError("a licence is due")
        self.at += 1
        return name

    def _take(self, token: str) -> bool:
        there = self.at < len(self._tokens) and self._tokens[self.at] == token
        self.at += there
        return there
