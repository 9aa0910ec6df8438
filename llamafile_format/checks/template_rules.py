"""Judge the tree of a chat template: what it names, what it calls, what it reaches (spec/1, 7.11.3 to 7.11.8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol
from unicodedata import normalize

from jinja2 import nodes

from llamafile_format.checks import template_names as names
from llamafile_format.checks.template_edits import Edits
from llamafile_format.checks.template_family import known_template
from llamafile_format.checks.template_gates import Gates
from llamafile_format.checks.template_growth import Growth, Numbers, long_loops
from llamafile_format.checks.template_lexer import Block, TokenKind
from llamafile_format.checks.template_tree import Places, Tree, Unparsed, deep_stack, parse
from llamafile_format.checks.template_values import (
    BUILT,
    CODE,
    CONTENT,
    HIDDEN,
    INPUT,
    LITERAL,
    SPACE,
    TEXT,
    Flow,
    named,
)
from llamafile_format.findings import Value
from llamafile_format.limits import TEMPLATE_BINDINGS

RANGE_MAX = 10_000
WIDTH_MAX = 1000
REPEAT_MAX = 10_000
NUMBER_MAX = 100_000_000

PLAIN_FIELDS = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w*(?::[^{}]*)?\})*\Z")
"""A format string whose fields name an argument and nothing inside it."""
FIELD = re.compile(r"\{\w*:([^{}]*)\}")
PERCENT_WIDE = re.compile(r"%(?:\(\w*\))?[-+ #0]*(?:[0-9]*\.)?(?:[0-9]{4}|\*)")
WIDE = re.compile(r"[0-9]{4}")  # in a field of a format: a width, or digits
PATH = re.compile(r"[.,]")  # between the names of a filter's attribute path

ATTRIBUTE_AT = {
    "groupby": 0,
    "sum": 0,
    "selectattr": 0,
    "rejectattr": 0,
    "join": 1,
    "unique": 1,
    "min": 1,
    "max": 1,
    "sort": 2,
}
"""Which argument of a filter is a path of attributes; any filter may also be given ``attribute=``."""
NAME_AT = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
"""Which argument of a filter names another filter, or a test."""
WIDENING = frozenset({"center", "indent", "wordwrap", "ljust", "rjust", "zfill", "truncate"})


class Sink(Protocol):
    """Takes findings; see ``templates.Verdicts``."""

    def add(self, rule: str, at: int, /, **args: Value) -> None:
        """Record ``rule`` at character ``at``."""


def check_tree(sink: Sink, source: str, blocks: Sequence[Block]) -> int:
    """Findings about the tree of ``source``, or one that says why it has none. Returns the steps that it took."""
    places = Places(source, blocks)
    steps = 0
    try:
        with deep_stack():
            tree = parse(source, blocks)
            judge = _Judge(sink, places, tree)
            judge.run()
            steps = judge.flow.steps + _growing(sink, places, tree)
            if known_template(source) is None:
                steps += _gated(sink, places, tree)
    except Unparsed as error:
        sink.add(error.rule, places.at(error.line), problem=str(error))
        _names_without_a_tree(sink, blocks)
        return steps + (TEMPLATE_BINDINGS if error.rule == "LF6033" else 0)
    return steps


def _gated(sink: Sink, places: Places, tree: Tree) -> int:
    """LF6036: prose that is printed, or not, by what a message says; LF6038: what it says is changed. Returns the
    steps that it took."""
    gates = Gates(tree)
    for node, text in gates.prose():
        sink.add("LF6036", places.at(node.lineno), text=" ".join(text.split())[:80])
    for node, what in Edits(gates).found():
        sink.add("LF6038", places.at(node.lineno), what=what)
    return gates.steps


def _growing(sink: Sink, places: Places, tree: Tree) -> int:
    """LF6035 for loops within loops and for texts that double (7.11.10). Returns the steps that it took."""
    numbers, growth = Numbers(tree), Growth(tree)
    for node, times in long_loops(tree, numbers):
        sink.add("LF6035", places.at(node.lineno, "for"), what=f"{times} rounds of loops within loops")
    for node, key in growth.doubling():
        name = key if isinstance(key, str) else key[1]
        sink.add("LF6035", places.at(node.lineno, name), what=f"{name}, which stands in itself more than once")
    return growth.steps


def _names_without_a_tree(sink: Sink, blocks: Sequence[Block]) -> None:
    """What needs no tree to be seen: hidden names, but for variables of one underscore that the template sets."""
    tokens = [token for block in blocks for token in block.tokens if token.kind is TokenKind.NAME]
    own = {after.value for token, after in pairwise(tokens) if token.value == "set"}
    for token in tokens:
        mine = token.value in own and not token.value.startswith("__")
        if _is_hidden(token.value) and token.value.strip("_") and not mine:
            sink.add("LF6001", token.at, found=token.value[:80])


class _Judge:
    """One walk over the nodes, in the order of the text."""

    def __init__(self, sink: Sink, places: Places, tree: Tree) -> None:
        self.sink = sink
        self.places = places
        self.tree = tree
        self.flow = Flow(tree)
        self.numbers = Numbers(tree)
        self.called: set[int] = set()  # attributes that a call follows
        self.refused: set[int] = set()  # calls about which something was said
        self._bindings()
        self._for: dict[type[nodes.Node], Callable[..., None]] = {
            nodes.Name: self._name,
            nodes.Macro: self._macro,
            nodes.Keyword: self._keyword,
            nodes.Getattr: self._attribute,
            nodes.Getitem: self._subscript,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
            nodes.Mul: self._product,
            nodes.Pow: self._power,
            nodes.Mod: self._percent,
            nodes.Const: self._number,
        }

    def run(self) -> None:
        """Judge every node by what it is."""
        for node in self.tree.nodes:
            if judge := self._for.get(type(node)):
                judge(node)

    def _add(self, rule: str, node: nodes.Node, *words: str, **args: Value) -> None:
        self.sink.add(rule, self.places.at(node.lineno, *words), **args)

    # ---- names and what they are bound to

    def _bindings(self) -> None:
        """Variables by what binds them; LF6027 for those that take the name of something that is called."""
        self.assigned: set[str] = set()
        functions = names.FUNCTIONS | self.flow.macros.keys()
        for index, node in enumerate(self.tree.nodes):
            for target in _assigned(node):
                for name in named(target):
                    self.assigned.add(name)
                    if name in functions:
                        self._add("LF6027", target, name, name=name)
            if received := {name for target in _received(node) for name in named(target)}:
                self._called_within(index, received)

    def _called_within(self, index: int, received: set[str]) -> None:
        """LF6029 for calls of ``received`` under the node that binds them."""
        for node in self.tree.below(index):
            if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in received:
                if id(node) not in self.refused:
                    self._add("LF6029", node, node.node.name, name=node.node.name)
                self.refused.add(id(node))

    def _name(self, node: nodes.Name) -> None:
        if "__" in _plain(node.name):
            self._add("LF6001", node, node.name, found=node.name)
        elif node.name in names.FORBIDDEN_NAMES:
            self._add("LF6008", node, node.name, name=node.name)

    def _macro(self, node: nodes.Macro) -> None:
        if _is_hidden(node.name):
            self._add("LF6001", node, node.name, found=node.name)
        elif node.name in names.FORBIDDEN_NAMES:
            self._add("LF6008", node, node.name, name=node.name)

    def _keyword(self, node: nodes.Keyword) -> None:
        if _is_hidden(node.key):
            self._add("LF6001", node, node.key, found=node.key)

    # ---- attributes and subscripts

    def _reached(self, node: nodes.Node, name: str) -> bool:
        """LF6001 or LF6005 if ``name`` is one of those that lead out of a value; says whether it is."""
        if _is_hidden(name):
            self._add("LF6001", node, name, found=name[:80])
        elif name in names.INTROSPECTION:
            self._add("LF6005", node, name, name=name)
        else:
            return False
        return True

    def _attribute(self, node: nodes.Getattr) -> None:
        if self._reached(node, node.attr) or node.attr not in names.FORMAT_NAMES:
            return
        receiver = node.node.value if isinstance(node.node, nodes.Const) else None
        text = receiver if isinstance(receiver, str) else "{0.x}"
        plain = PLAIN_FIELDS.match(text)
        if node.attr != "format" or not plain or id(node) not in self.called:
            self._add("LF6004", node, node.attr, name=node.attr)
        elif any(WIDE.search(field) for field in FIELD.findall(text)):
            self._add("LF6035", node, node.attr, what=f"a text wider than {WIDTH_MAX}")

    def _subscript(self, node: nodes.Getitem) -> None:
        if isinstance(node.arg, nodes.Const):
            key = node.arg.value
            if isinstance(key, str) and not self._reached(node, key) and key in names.FORMAT_NAMES:
                if key != "format":
                    self._add("LF6005", node, key, name=key)
                elif self._only_text(node.node):  # of mappings it is a key like others
                    self._add("LF6004", node, key, name=key)
        elif not isinstance(node.arg, nodes.Slice):
            self._computed(node.arg, of_code=bool(self.flow.of(node.node).own & CODE))

    def _only_text(self, node: nodes.Node) -> bool:
        own = self.flow.of(node).own
        return bool(own & LITERAL) and not own & (INPUT | CONTENT)

    def _computed(self, key: nodes.Node, *, of_code: bool = False) -> None:
        """LF6021 and LF6030: a key that can be a name which nobody reads; of a macro, any that varies."""
        own = self.flow.of(key).own
        word = _word(key)
        if own & (HIDDEN | BUILT) or (of_code and own & TEXT):
            self._add("LF6021", key, word, found=word or "of an expression")
        elif own & CONTENT:
            self._add("LF6030", key, word, found=word or "of an expression")

    # ---- calls

    def _call(self, node: nodes.Call) -> None:
        callee = node.node
        self.called.add(id(callee))
        if isinstance(callee, nodes.Name):
            if id(node) not in self.refused:
                self._function(node, callee.name)
        elif isinstance(callee, nodes.Getattr):
            self._method(node, callee)
        else:
            self._add("LF6007", node, "(", before=_word(callee) or "an expression")

    def _function(self, node: nodes.Call, name: str) -> None:
        if name in self.assigned:
            self._add("LF6028", node, name, name=name)
        elif name not in names.FUNCTIONS | self.flow.macros.keys() | names.FORBIDDEN_NAMES and "__" not in name:
            self._add("LF6019", node, name, name=name)
        if name == "range" and any(self._above(argument, RANGE_MAX) for argument in node.args):
            self._add("LF6035", node, name, what=f"a range beyond {RANGE_MAX}")

    def _method(self, node: nodes.Call, callee: nodes.Getattr) -> None:
        name, receiver = callee.attr, self.flow.of(callee.node)
        if (receiver.own & SPACE and name in self.flow.attributes) or self.flow.part(receiver).inside & CODE:
            self._add("LF6028", node, name, name=name)
        elif name in WIDENING and any(self._above(argument, WIDTH_MAX) for argument in node.args):
            self._add("LF6035", node, name, what=f"a text wider than {WIDTH_MAX}")
        elif name not in names.METHODS | names.FORMAT_NAMES | names.INTROSPECTION and not name.startswith("_"):
            self._add("LF6018", node, name, method=name)

    # ---- filters and tests

    def _filter(self, node: nodes.Filter) -> None:
        self._filter_name(node, node.name)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._add("LF6034", node, node.name, filter=node.name)
        for pair in node.kwargs:
            if pair.key == "attribute":
                self._path(pair.value)
        self._filter_arguments(node, node.name, node.args)

    def _filter_arguments(self, node: nodes.Filter, name: str, args: Sequence[nodes.Node]) -> None:
        """The arguments of a filter, and those of the filter that ``map`` is told to use."""
        while True:
            if (at := ATTRIBUTE_AT.get(name)) is not None and len(args) > at:
                self._path(args[at])
            if name in WIDENING and any(self._above(argument, WIDTH_MAX) for argument in args):
                self._add("LF6035", node, name, what=f"a text wider than {WIDTH_MAX}")
            if (at := NAME_AT.get(name)) is None or len(args) <= at:
                return
            told = args[at]
            if not (isinstance(told, nodes.Const) and isinstance(told.value, str)):
                self._add("LF6034", node, name, filter=name)
                return
            if name != "map":
                self._test_name(told, told.value)
                return
            self._filter_name(told, told.value)
            name, args = told.value, args[at + 1 :]

    def _filter_name(self, node: nodes.Node, name: str) -> None:
        if name in names.FORBIDDEN_FILTERS:
            self._add("LF6003", node, name, filter=name)
        elif name in names.FORMAT_NAMES:
            self._add("LF6004", node, name, name=name)
        elif name not in names.FILTERS:
            self._add("LF6016", node, name, filter=name)

    def _path(self, node: nodes.Node) -> None:
        """A path of attributes that a filter follows."""
        if not isinstance(node, nodes.Const):
            self._computed(node)
        elif isinstance(node.value, str):
            for name in PATH.split(node.value):
                if name in names.FORMAT_NAMES:
                    self._add("LF6004", node, name, name=name)
                if self._reached(node, name):
                    return

    def _test(self, node: nodes.Test) -> None:
        self._test_name(node, node.name)

    def _test_name(self, node: nodes.Node, name: str) -> None:
        if name not in names.TESTS:
            self._add("LF6017", node, name, test=name)

    # ---- work without end

    def _above(self, node: nodes.Node, limit: int) -> bool:
        """Can ``node`` be a number above ``limit``, by what the template alone says?"""
        return _above(node, limit) or self.numbers.largest(node) > limit

    def _product(self, node: nodes.Mul) -> None:
        if self._above(node.left, REPEAT_MAX) or self._above(node.right, REPEAT_MAX):
            self._add("LF6035", node, "*", what=f"a product by more than {REPEAT_MAX}")

    def _power(self, node: nodes.Pow) -> None:
        self._add("LF6035", node, "**", what="a power")

    def _percent(self, node: nodes.Mod) -> None:
        text = node.left.value if isinstance(node.left, nodes.Const) else None
        if isinstance(text, str) and PERCENT_WIDE.search(text):
            self._add("LF6035", node, text, what=f"a text wider than {WIDTH_MAX}")

    def _number(self, node: nodes.Const) -> None:
        if _above(node, NUMBER_MAX):
            self._add("LF6035", node, what=f"a number above {NUMBER_MAX}")


def _assigned(node: nodes.Node) -> Sequence[nodes.Node]:
    """What ``node`` assigns a value to."""
    if isinstance(node, nodes.Assign | nodes.AssignBlock):
        return (node.target,)
    return node.targets if isinstance(node, nodes.With) else ()


def _received(node: nodes.Node) -> Sequence[nodes.Node]:
    """What ``node`` binds to values that others give: items of a list, arguments of a call."""
    if isinstance(node, nodes.For):
        return (node.target,)
    return node.args if isinstance(node, nodes.Macro | nodes.CallBlock) else ()


def _plain(name: str) -> str:
    """``name`` as Python spells it: letters that only look different are the same."""
    return name if name.isascii() else normalize("NFKC", name)


def _is_hidden(name: str) -> bool:
    """Does ``name`` begin with an underscore, or have two together?"""
    return _plain(name).startswith("_") or "__" in _plain(name)


def _above(node: nodes.Node, limit: int) -> bool:
    """Is ``node`` a number above ``limit``?"""
    return isinstance(node, nodes.Const) and isinstance(node.value, int | float) and node.value > limit


def _word(node: nodes.Node) -> str:
    """A word of ``node`` that a reader finds in the text."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Const):
        return str(node.value)[:40]
    if isinstance(node, nodes.Filter):
        return node.name
    return next((word for child in node.iter_child_nodes() if (word := _word(child))), "")
