"""Text that a chat template prints because of what a message says (spec/1, 7.11.9).

A template that adds an instruction to some questions looks like any other until it is asked the right one. So
conditions are followed from what a message says, through variables, namespaces, loops, parameters, filters and
tests, to the text behind them. Nothing is evaluated; every walk counts its steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from llamafile_format.checks.template_tree import Tree, Unparsed
from llamafile_format.limits import TEMPLATE_BINDINGS

WORDS_MIN = 5
"""Words from which a literal is prose: with fewer it is markup."""

ROUNDS_MAX = 12
CONTENT_KEYS = frozenset({"content", "text", "reasoning_content"})
SEARCHING = frozenset({"startswith", "endswith", "find", "rfind", "count", "index", "rindex"})
MARK = re.compile(r"\s*[<\[({]\S*[>\])}]\s*\Z")
"""A literal that only marks something: ``<think>``, ``[INST]``. Templates look for these to take them out."""

Key = str | tuple[str, str]
"""A variable, or an attribute of a namespace."""


@dataclass(slots=True)
class Gates:
    """What depends on contents: ``tainted`` variables hold some of one, ``flags`` a decision about one."""

    tree: Tree
    tainted: set[Key] = field(default_factory=set)
    flags: set[Key] = field(default_factory=set)
    steps: int = 0
    macros: dict[str, nodes.Macro] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Follow assignments until nothing changes. Raises Unparsed past the bounds of 12.4."""
        self.macros.update({node.name: node for node in self.tree.nodes if isinstance(node, nodes.Macro)})
        for _ in range(ROUNDS_MAX):
            before = len(self.tainted), len(self.flags)
            for node in self.tree.nodes:
                self._follow(node)
            if (len(self.tainted), len(self.flags)) == before:
                return
        raise Unparsed("LF6033", "its variables depend on each other in too many steps", 1)

    def step(self, node: nodes.Node) -> None:
        """Count one more. Raises Unparsed past the bound."""
        self.steps += 1
        if self.steps > TEMPLATE_BINDINGS:
            raise Unparsed("LF6033", "what depends on its messages takes too many steps to follow", node.lineno)

    def under(self, node: nodes.Node) -> Iterator[nodes.Node]:
        """``node`` and all below it, each of them a step."""
        waiting = [node]
        while waiting:
            found = waiting.pop()
            self.step(node)
            yield found
            waiting += found.iter_child_nodes()

    def _follow(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Assign):
            self._bind(node.target, node.node)
        elif isinstance(node, nodes.With):
            for target, value in zip(node.targets, node.values, strict=True):
                self._bind(target, value)
        elif isinstance(node, nodes.For):
            self._bind(node.target, node.iter)
        elif isinstance(node, nodes.AssignBlock):
            if any(self.reads(part) for part in node.body):
                self.tainted.update(_keys(node.target))
        elif isinstance(node, nodes.If) and self.asks(node.test):
            for inner in self.under(node):
                if isinstance(inner, nodes.Assign) and isinstance(inner.node, nodes.Const):
                    self.flags.update(_keys(inner.target))
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            self._call(node, node.node.name)

    def _bind(self, target: nodes.Node, value: nodes.Node) -> None:
        keys = list(_keys(target))
        if self.reads(value):
            self.tainted.update(keys)
        if self.asks(value):
            self.flags.update(keys)

    def _call(self, node: nodes.Call, name: str) -> None:
        if name == "namespace":
            for pair in node.kwargs:
                self._argument(pair.value, [("", pair.key)])
        elif (macro := self.macros.get(name)) is not None:
            for target, value in zip(macro.args, node.args, strict=False):
                self._argument(value, [target.name])
            for pair in node.kwargs:
                self._argument(pair.value, [pair.key])

    def _argument(self, value: nodes.Node, keys: Sequence[Key]) -> None:
        if self.reads(value):
            self.tainted.update(keys)
        if self.asks(value):
            self.flags.update(keys)

    def reads(self, node: nodes.Node) -> bool:
        """May ``node`` hold some of what a message says?"""
        return any(self._is_content(found) for found in self.under(node))

    def _is_content(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Getitem):
            return isinstance(node.arg, nodes.Const) and node.arg.value in CONTENT_KEYS
        if isinstance(node, nodes.Getattr):
            return node.attr in CONTENT_KEYS or ("", node.attr) in self.tainted
        if isinstance(node, nodes.Name):
            return node.name in self.tainted
        if isinstance(node, nodes.Filter):
            given = [*node.args, *(pair.value for pair in node.kwargs)]
            return any(isinstance(value, nodes.Const) and value.value in CONTENT_KEYS for value in given)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr == "get":
            return any(isinstance(value, nodes.Const) and value.value in CONTENT_KEYS for value in node.args)
        return False

    def asks(self, node: nodes.Node) -> bool:
        """Does ``node`` decide by what a message says: by a text in it, or by its length?"""
        return any(self._decides(found) for found in self.under(node))

    def _decides(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Name):
            return node.name in self.flags
        if isinstance(node, nodes.Getattr):
            return ("", node.attr) in self.flags
        if isinstance(node, nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
            return any(_constant(side) for side in sides) and self.reads(node)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            return node.node.attr in SEARCHING and self.reads(node.node.node)
        if isinstance(node, nodes.Filter) and node.name in {"selectattr", "rejectattr", "select", "reject"}:
            return len(node.args) > 1 and self.reads(node)
        return isinstance(node, nodes.Test) and bool(node.args) and self.reads(node.node)

    def prose(self) -> Iterator[tuple[nodes.Node, str]]:
        """The first prose behind each condition on contents, with the node of the condition."""
        for node in self.tree.nodes:
            if isinstance(node, nodes.If) and self.asks(node.test):
                text = self._prose([*node.body, *node.else_])
            elif isinstance(node, nodes.CondExpr) and self.asks(node.test):
                text = self._prose([part for part in (node.expr1, node.expr2) if part is not None])
            elif isinstance(node, nodes.And | nodes.Or | nodes.Getitem) and self.asks(node):
                text = self._prose([node])
            else:
                continue
            if text:
                yield node, text

    def _prose(self, parts: Iterable[nodes.Node]) -> str:
        """The first literal of WORDS_MIN words or more that ``parts`` print; what is only raised is told to nobody."""
        for part in parts:
            raised = {id(inner) for found in self.under(part) if _raises(found) for inner in self.under(found)}
            for found in self.under(part):
                text = found.data if isinstance(found, nodes.TemplateData) else getattr(found, "value", "")
                if isinstance(text, str) and id(found) not in raised and len(text.split()) >= WORDS_MIN:
                    return text
        return ""


def _keys(target: nodes.Node) -> Iterator[Key]:
    if isinstance(target, nodes.NSRef):
        yield "", target.attr
    elif isinstance(target, nodes.Name):
        yield target.name
    elif isinstance(target, nodes.Tuple | nodes.List):
        for item in target.items:
            yield from _keys(item)


def _constant(node: nodes.Node) -> bool:
    """A text that is no mark, or a length above 1: what templates have no need to ask of contents."""
    value = getattr(node, "value", None) if isinstance(node, nodes.Const) else None
    if isinstance(value, str):
        return bool(value) and not MARK.match(value)
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _raises(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "raise_exception"
