"""Grammars and schemas that constrain answers: bounded before an engine unfolds them (spec/1, 3.10.7).

A grammar of a few lines can keep an engine busy for ever: alternatives double, repetitions multiply. What is counted
here is what the engine would unfold. Nothing is unfolded to count it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.errors import FormatError

MAX_BYTES = 1 << 16
MAX_RULES = 512
MAX_NODES = 1 << 14
MAX_DEPTH = 32  # brackets, and rules that begin with one another
MAX_REPEAT = 2000
MAX_UNFOLDED = 1 << 16  # elements, repetitions written out
MAX_WAYS = 4096  # alternatives that are open at once

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_INLINE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_LITERAL = re.compile(r'"((?:[^"\\\r\n]|\\.)*)"')
_CLASS = re.compile(r"\[((?:[^\]\\\r\n]|\\.)+)\]")
_REPEAT = re.compile(r"[*+?]|\{([0-9]{1,9})(,([0-9]{1,9})?)?\}")
_RULE = re.compile(r"([A-Za-z0-9-]+)[ \t]*::=")


def check_grammar(data: bytes) -> str:
    """What is wrong with the grammar ``data``, in words; empty if nothing is."""
    try:
        _Grammar(_text(data)).check()
    except FormatError as error:
        return error.message
    return ""


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise FormatError(f"it has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("it is not UTF-8") from error
    if "\0" in text:
        raise FormatError("it holds a NUL")
    return text


@dataclass(frozen=True, slots=True)
class _Node:
    """An element. ``kind`` is char, ref or group; ``low`` to ``high`` times (None: without end).

    ``length`` is what an engine writes out for it each time: the characters of a literal or a class.
    """

    kind: str
    name: str = ""
    alternatives: tuple[tuple[_Node, ...], ...] = ()
    length: int = 1
    low: int = 1
    high: int | None = 1


Count = tuple[int, int]
"""(ways to the first character, ways to nothing), each at most MAX_WAYS + 1."""


def _few(number: int) -> int:
    return min(number, MAX_WAYS + 1)


class _Grammar:
    """Rules by name; parsed once, then counted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nodes = 0
        self.rules: dict[str, tuple[tuple[_Node, ...], ...]] = {}
        self.counted: dict[str, Count] = {}
        self.sizes: dict[str, int] = {}
        self._read()

    def check(self) -> None:
        """FormatError with the first fault."""
        if "root" not in self.rules:
            raise FormatError("it has no rule root")
        for name in self.rules:
            self._count_rule(name, ())
        for alternatives in self.rules.values():
            self._positions(alternatives)
        if sum(self._size(alternatives) for alternatives in self.rules.values()) > MAX_UNFOLDED:
            raise FormatError(f"its repetitions unfold to more than {MAX_UNFOLDED} elements")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def _read(self) -> None:
        self._take(_SPACE)
        while self.at < len(self.text):
            head = self._take(_RULE)
            if head is None:
                raise FormatError(f"there is no rule at character {self.at}")
            if head[1] in self.rules or len(self.rules) == MAX_RULES:
                raise FormatError(f"rule {head[1]} is one too many")
            self._take(_SPACE)
            self.rules[head[1]] = self._alternatives(0)
            self._take(_SPACE)

    def _alternatives(self, depth: int) -> tuple[tuple[_Node, ...], ...]:
        if depth > MAX_DEPTH:
            raise FormatError(f"its brackets are deeper than {MAX_DEPTH}")
        space = _SPACE if depth else _INLINE
        found = [self._sequence(depth)]
        while self.text[self.at : self.at + 1] == "|" or (not depth and self._continued()):
            self.at += 1
            self._take(_SPACE)
            found.append(self._sequence(depth))
            self._take(space)
        return tuple(found)

    def _continued(self) -> bool:
        """True if the next line goes on with ``|``; the reader then stands before it."""
        match = _SPACE.match(self.text, self.at)
        if match is not None and self.text[match.end() : match.end() + 1] == "|":
            self.at = match.end()
            return True
        return False

    def _sequence(self, depth: int) -> tuple[_Node, ...]:
        found: list[_Node] = []
        space = _SPACE if depth else _INLINE
        while (node := self._element(depth)) is not None:
            self.nodes += 1
            if self.nodes > MAX_NODES:
                raise FormatError(f"it has more than {MAX_NODES} elements")
            found.append(self._repeated(node))
            self._take(space)
        return tuple(found)

    def _element(self, depth: int) -> _Node | None:
        if literal := self._take(_LITERAL):
            return _Node("char", length=len(literal[1])) if literal[1] else _Node("group", alternatives=((),))
        if characters := self._take(_CLASS):
            return _Node("char", length=len(characters[1]))
        character = self.text[self.at : self.at + 1]
        if character == ".":
            self.at += 1
            return _Node("char")
        if character == "(":
            self.at += 1
            self._take(_SPACE)
            alternatives = self._alternatives(depth + 1)
            if self.text[self.at : self.at + 1] != ")":
                raise FormatError(f"a bracket is not closed at character {self.at}")
            self.at += 1
            return _Node("group", alternatives=alternatives)
        name = _NAME.match(self.text, self.at)
        if name is None or _RULE.match(self.text, self.at):
            return None
        self.at = name.end()
        return _Node("ref", name[0])

    def _repeated(self, node: _Node) -> _Node:
        low, high = 1, 1
        while found := self._take(_REPEAT):
            if (low, high) != (1, 1):
                raise FormatError("something is repeated twice over")
            mark = found[0]
            if mark in "*+?":
                low, high = (0 if mark in "*?" else 1), (1 if mark == "?" else -1)
            else:
                low = int(found[1])
                high = low if found[2] is None else -1 if found[3] is None else int(found[3])
            if max(low, high) > MAX_REPEAT or -1 != high < low:
                raise FormatError(f"something is repeated {mark}; at most {MAX_REPEAT} times is allowed")
        return _Node(node.kind, node.name, node.alternatives, node.length, low, None if high < 0 else high)

    def _count_rule(self, name: str, above: tuple[str, ...]) -> Count:
        if name in self.counted:
            return self.counted[name]
        if name not in self.rules:
            raise FormatError(f"there is no rule {name}")
        if name in above:
            raise FormatError(f"rule {name} begins with itself")
        if len(above) > MAX_DEPTH:
            raise FormatError(f"more than {MAX_DEPTH} rules begin with one another")
        self.counted[name] = found = self._count(self.rules[name], (*above, name))
        return found

    def _count(self, alternatives: Sequence[Sequence[_Node]], above: tuple[str, ...]) -> Count:
        """Of the beginning alone: what stands behind something that cannot be empty is not looked at."""
        starts = empties = 0
        for sequence in alternatives:
            here, empty = 0, 1
            for node in sequence:
                one, none = self._count_node(node, above)
                here, empty = _few(here + empty * one), _few(empty * none)
                if not empty:
                    break
            starts, empties = _few(starts + here), _few(empties + empty)
        return self._bounded((starts, empties))

    def _count_node(self, node: _Node, above: tuple[str, ...]) -> Count:
        if node.kind == "char":
            starts, empties = 1, 0
        elif node.kind == "ref":
            starts, empties = self._count_rule(node.name, above)
        else:
            starts, empties = self._count(node.alternatives, above)
        if empties and node.high != 1:
            raise FormatError("something that can be empty is repeated")
        return starts, _few(empties + (node.low == 0))

    def _bounded(self, count: Count) -> Count:
        if max(count) > MAX_WAYS:
            raise FormatError(f"more than {MAX_WAYS} of its alternatives are open at once")
        return count

    def _positions(self, alternatives: Sequence[Sequence[_Node]]) -> None:
        """The same count from every place on to the end of its sequence."""
        for sequence in alternatives:
            starts, empties = 0, 1
            for node in reversed(sequence):
                one, none = self._count_node(node, ())
                starts, empties = self._bounded((_few(one + none * starts), _few(none * empties)))
                self._positions(node.alternatives)

    def _size(self, alternatives: Sequence[Sequence[_Node]]) -> int:
        total = 0
        for sequence in alternatives:
            for node in sequence:
                inner = self._size(node.alternatives) if node.kind == "group" else node.length
                total += max(inner, 1) * max(node.low, node.high or 1)
        return min(total, MAX_UNFOLDED + 1)
