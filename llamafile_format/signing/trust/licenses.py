"""SPDX licence expressions: does a list of licences allow what a manifest names? (spec/1, 16.7.2 and 16.7.7)

Grammar of SPDX 2.3, annex D: ids, ``+``, ``WITH`` an exception, ``AND`` before ``OR``, parentheses; in any case. The
names, and which of them mean the same, are those of the library ``license-expression``; the grammar is read here,
because its depth is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

MAX_DEPTH = 32  # parentheses; the manifest bounds the length
_ID = r"(?:DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*"
_TOKEN = re.compile(rf"\s*(?:(?P<mark>[()])|(?P<word>{_ID}\+?))")
_LICENSE = re.compile(rf"{_ID}\+?(?: [Ww][Ii][Tt][Hh] {_ID})?")
_WORDS = ("AND", "OR", "WITH")


def is_license(text: str) -> bool:
    """True if ``text`` is one licence, with or without an exception, as a list of allowed ones has them."""
    words = text.upper().split()
    return bool(_LICENSE.fullmatch(text)) and words[0] not in _WORDS and words[-1] not in _WORDS


def unknown_names(entry: str) -> tuple[str, ...]:
    """Names in ``entry``, one licence, that SPDX's list does not have; ``LicenseRef-…`` is nobody's but a file's."""
    words = [word.removesuffix("+") for word in entry.upper().split() if word != "WITH"]
    return tuple(word for word in words if not _is_own(word) and word not in _names())


def license_allowed(
    expression: str, allowed: Sequence[str] | None, denied: Sequence[str] = (), *, by_meaning: bool = False
) -> bool | None:
    """True if ``allowed`` and ``denied`` let somebody use what is under ``expression``; None if it is no expression.

    None for ``allowed`` allows all. ``by_meaning`` compares old names of SPDX with those that took their place.
    """
    tokens = _tokens(expression)
    if not tokens:
        return None
    spell = _meaning if by_meaning else str.upper
    reader = _Reader(tokens, None if allowed is None else _entries(allowed, spell), _entries(denied, spell), spell)
    try:
        result = reader.either(0)
    except ValueError:
        return None
    return result if reader.at == len(tokens) else None


def _entries(names: Iterable[str], spell: Callable[[str], str]) -> frozenset[str]:
    return frozenset(
        " WITH ".join(spell(part) for part in name.upper().split(" WITH ")) for name in map(_single, names)
    )


def _single(name: str) -> str:
    return " ".join(name.split())


def _is_own(name: str) -> bool:
    return name.startswith(("LICENSEREF-", "DOCUMENTREF-"))


def _meaning(name: str) -> str:
    upper = name.upper()
    return upper if _is_own(upper) else _names().get(upper, upper)


@cache
def _names() -> Mapping[str, str]:
    """Each name of SPDX's list, an old one too, in capitals, to the one that is used today."""
    from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

    known = get_spdx_licensing().known_symbols
    found = {
        old.upper(): key.upper() for key, symbol in known.items() for old in symbol.aliases if not _is_own(old.upper())
    }
    return found | {key.upper(): key.upper() for key in known if not _is_own(key.upper())}


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

    def __init__(
        self, tokens: Sequence[str], allowed: frozenset[str] | None, denied: frozenset[str], spell: Callable[[str], str]
    ) -> None:
        self.at = 0
        self._tokens = tokens
        self._allowed = allowed
        self._denied = denied
        self._spell = spell

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
        name = self._spell(self._name())
        names = {name} | ({self._spell(name[:-1])} if name.endswith("+") else set())
        denied = bool(names & self._denied)  # with every exception, too
        if self._take("WITH"):
            names = {f"{name} WITH {self._spell(self._name())}"}
        return not denied and not names & self._denied and (self._allowed is None or bool(names & self._allowed))

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
