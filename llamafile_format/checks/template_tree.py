"""The tree of a chat template, by the grammar of Jinja itself: parsed, never rendered or compiled (spec/1, 7.11.7).

The parser of jinja2 decides what a template means where it runs under Python; that of llama.cpp takes no more. Both
know ``generation`` as a mark that produces nothing. Every other tag that neither knows is a fault.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from jinja2 import Environment, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.nodes import Node, Template
from jinja2.parser import Parser

from llamafile_format.checks.template_lexer import Block, TokenKind
from llamafile_format.limits import TEMPLATE_TOKENS

DEPTH_MAX = 500
"""Nodes on the way from the root to a leaf; the most in a known upstream template are 28."""
FRAMES = 4000  # of the parser, for what 64 brackets in 64 statements need

LINE = re.compile(r"\r\n|\r|\n")


class Unparsed(Exception):
    """A template without a tree: ``rule`` says of which kind the fault is, ``line`` counts from 1."""

    def __init__(self, rule: str, problem: str, line: int) -> None:
        super().__init__(problem)
        self.rule = rule
        self.line = line


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes of a template in the order of its text, parents before children, with how deep each stands."""

    nodes: tuple[Node, ...]
    depths: tuple[int, ...]

    def below(self, index: int) -> tuple[Node, ...]:
        """The nodes under the one at ``index``."""
        end = index + 1
        while end < len(self.nodes) and self.depths[end] > self.depths[index]:
            end += 1
        return self.nodes[index + 1 : end]


class _Mark(Extension):
    """``generation`` and ``endgeneration``: marks for training, which engines pass over wherever they stand."""

    tags = {"generation", "endgeneration"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[Node]:
        """Nothing, behind the mark."""
        next(parser.stream)
        return []


class _Parser(Parser):
    """Jinja's parser, with its complaints about blocks told apart from those about expressions."""

    def fail_unknown_tag(self, name: str, lineno: int | None = None) -> NoReturn:
        """LF6031 for an end of nothing, LF6032 for a tag that no engine has."""
        line = lineno or self.stream.current.lineno
        if name.startswith("end") or name in {"elif", "else"}:
            raise Unparsed("LF6031", f"{name} closes or continues nothing that is open there", line)
        raise Unparsed("LF6032", f"no engine knows the tag {name}", line)

    def fail_eof(self, end_tokens: tuple[str, ...] | None = None, lineno: int | None = None) -> NoReturn:  # noqa: ARG002
        """LF6031 for a block that stays open."""
        wanted = " or ".join(token.removeprefix("name:") for token in end_tokens or ())
        raise Unparsed("LF6031", f"the template ends, and {wanted or 'an end'} is missing", self.stream.current.lineno)


@cache
def _environment() -> Environment:
    """The grammar alone: tags of loops and ``do`` besides the usual ones."""
    return Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", _Mark])


_limit = threading.Lock()


@contextmanager
def deep_stack() -> Iterator[None]:
    """Room for the recursion of parsers. Lexer and parser bound how deep they go; Python's own limit is too low."""
    with _limit:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, len(inspect.stack(0)) + FRAMES))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)


def parse(source: str, blocks: Sequence[Block]) -> Tree:
    """The tree of ``source``, whose ``blocks`` the lexer has told. Raises Unparsed; call it in :func:`deep_stack`."""
    tokens = sum(len(block.tokens) + 1 for block in blocks)
    if tokens > TEMPLATE_TOKENS:
        raise Unparsed("LF6033", f"it has {tokens} tokens, more than {TEMPLATE_TOKENS}", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            root = _Parser(_environment(), source).parse()
    except TemplateSyntaxError as error:
        raise Unparsed("LF6032", error.message or "it does not follow the grammar", error.lineno) from None
    except RecursionError:
        raise Unparsed("LF6033", "its expressions are nested too deeply", 1) from None
    except ValueError:  # a number with more digits than Python converts
        raise Unparsed("LF6033", "a number in it is too large", 1) from None
    return _ordered(root)


def _ordered(root: Template) -> Tree:
    """All nodes, without recursion."""
    found: list[Node] = []
    depths: list[int] = []
    waiting: list[tuple[Node, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise Unparsed("LF6033", f"its expressions are nested more than {DEPTH_MAX} deep", node.lineno)
        found.append(node)
        depths.append(depth)
        waiting += [(child, depth + 1) for child in reversed(list(node.iter_child_nodes()))]
    return Tree(tuple(found), tuple(depths))


class Places:
    """Where something named stands: the parser knows lines, the lexer knows characters."""

    def __init__(self, source: str, blocks: Sequence[Block]) -> None:
        self._lines = [0, *(found.end() for found in LINE.finditer(source))]
        self._first: dict[tuple[int, str], int] = {}
        for block in blocks:
            for token in block.tokens:
                if token.kind is not TokenKind.NUMBER:
                    self._first.setdefault((bisect_right(self._lines, token.at), token.value), token.at)

    def at(self, line: int, *words: str) -> int:
        """The character where the first of ``words`` that ``line`` has stands, else where the line begins."""
        for word in words:
            if (line, word) in self._first:
                return self._first[line, word]
        return self._lines[min(max(line, 1), len(self._lines)) - 1]
