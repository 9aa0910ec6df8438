"""What a chat template takes out of a message, or puts into its place (spec/1, 7.11.12).

Templates cut contents at marks of reasoning and take out commands such as ``/no_think``. One that changes words, or
keeps only the first part of what somebody wrote, answers another question than was asked.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from llamafile_format.checks.template_gates import Gates

MARK_MAX = 64
"""Characters of a mark, as in 7.11.11: what is cut off behind more of them is no mark."""
MARK = re.compile(r"\s*(?:<[^<>]{1,64}>|\[[^\[\]]{1,64}\]|/\w{1,32})\s*\Z")
WORD = re.compile("[A-Za-z]{2}")

CHANGING = frozenset({"replace", "split", "rsplit", "partition", "rpartition", "removeprefix", "removesuffix"})
"""Filters and methods whose first argument is looked for in a text, and is gone afterwards."""
SHOWN = 60


@dataclass(slots=True)
class Edits:
    """Changes of contents in the template that ``gates`` has followed. Raises Unparsed past its bounds."""

    gates: Gates
    _bound: dict[str, list[nodes.Node]] = field(default_factory=dict)
    _joined: dict[int, str | None] = field(default_factory=dict)  # by node, which the tree keeps alive
    _wordings: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.gates.tree.nodes:
            for name, value in _bindings(node, self.gates.macros):
                self._bound.setdefault(name, []).append(value)

    def found(self) -> Iterator[tuple[nodes.Node, str]]:
        """Each change, in words, with the node that makes it."""
        for node in self.gates.tree.nodes:
            what = self._told(node)
            if what:
                yield node, what

    def _told(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            return self._edit(node.node.attr, [node.node.node], node.args, node)
        if isinstance(node, nodes.Filter):
            below = [node.node] if node.node is not None else []
            if node.name == "map" and node.args and isinstance(node.args[0], nodes.Const):
                return self._edit(str(node.args[0].value), below, node.args[1:], node)
            return self._edit(node.name, below, node.args, node)
        if isinstance(node, nodes.FilterBlock | nodes.AssignBlock) and node.filter is not None:
            return self._block(node.filter, node.body)
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return self._slice(node.node, node.arg)
        return ""

    def _block(self, chain: nodes.Node | None, body: Sequence[nodes.Node]) -> str:
        """What the filters of a block do to all that is in it."""
        while isinstance(chain, nodes.Filter):
            if told := self._edit(chain.name, body, chain.args, chain):
                return told
            chain = chain.node
        return ""

    def _edit(self, name: str, below: Sequence[nodes.Node], args: Sequence[nodes.Expr], node: nodes.Node) -> str:
        """What the filter or method ``name`` does to ``below``; empty if that changes no words of a message."""
        if name not in CHANGING and name != "truncate":
            return ""
        if not any(self.gates.reads(part) for part in below):
            return ""
        if name == "truncate":
            return "it is cut to a length"
        given = [*args, *(pair.value for pair in getattr(node, "kwargs", ()))]
        looked_for = next((text for text in self._texts(args[:1] or given) if self._is_wording(text)), "")
        if not looked_for:
            return ""
        if name != "replace":
            return f"it is cut at {_quoted(looked_for)}"
        instead = next(self._texts(given[1:2]), "")
        return f"{_quoted(looked_for)} in it is replaced by {_quoted(instead)}"

    def _slice(self, below: nodes.Node, piece: nodes.Slice) -> str:
        ends = [end for end in (piece.start, piece.stop) if end is not None]
        numbers = [
            part.value for end in ends for part in (end, getattr(end, "node", None)) if isinstance(part, nodes.Const)
        ]
        far = next((value for value in numbers if isinstance(value, int) and abs(value) > MARK_MAX), None)
        return f"it is cut {far} characters on" if far is not None and self.gates.reads(below) else ""

    def _texts(self, given: Sequence[nodes.Node]) -> Iterator[str]:
        """The texts that ``given`` may be: literals in it, and in what its variables are bound to."""
        waiting, seen = deque(given), set[str]()
        while waiting:
            node = waiting.popleft()
            self.gates.step(node)
            joined = self._literal(node)
            if joined is not None:
                yield joined
                continue
            for found in self.gates.under(node):
                if isinstance(found, nodes.Const) and isinstance(found.value, str):
                    yield found.value
                elif isinstance(found, nodes.TemplateData):
                    yield found.data
                elif isinstance(found, nodes.Name | nodes.Getattr):
                    name = found.name if isinstance(found, nodes.Name) else f".{found.attr}"
                    if name not in seen:
                        seen.add(name)
                        waiting += self._bound.get(name, ())

    def _literal(self, node: nodes.Node) -> str | None:
        """The text that ``node`` joins from literals alone; None if it is not made of them. Asked once of each."""
        if id(node) not in self._joined:
            self._joined[id(node)] = _joined(node)
        return self._joined[id(node)]

    def _is_wording(self, text: str) -> bool:
        if text not in self._wordings:
            self._wordings[text] = is_wording(text)
        return self._wordings[text]


def is_wording(text: str) -> bool:
    """True for a text with a word in it that is no mark and no command of a template."""
    foreign = any(each.isalpha() and not each.isascii() for each in text)
    return bool(foreign or WORD.search(text)) and not MARK.match(text)


def _joined(node: nodes.Node) -> str | None:
    waiting, parts = [node], list[str]()
    while waiting:
        part = waiting.pop()
        if isinstance(part, nodes.Concat):
            waiting += reversed(part.nodes)
        elif isinstance(part, nodes.Add):
            waiting += (part.right, part.left)
        elif isinstance(part, nodes.Const) and isinstance(part.value, str):
            parts.append(part.value)
        else:
            return None
    return "".join(parts)


def _bindings(node: nodes.Node, macros: dict[str, nodes.Macro]) -> Iterator[tuple[str, nodes.Node]]:
    """The variables that ``node`` binds, and attributes of namespaces behind a dot, each with what it may be."""
    if isinstance(node, nodes.Assign | nodes.For):
        value = node.node if isinstance(node, nodes.Assign) else node.iter
        yield from ((name, value) for name in _names(node.target))
    elif isinstance(node, nodes.AssignBlock):
        yield from ((name, part) for name in _names(node.target) for part in node.body)
    elif isinstance(node, nodes.With):
        for target, value in zip(node.targets, node.values, strict=True):
            yield from ((name, value) for name in _names(target))
    elif isinstance(node, nodes.Macro):
        yield from ((arg.name, value) for arg, value in zip(reversed(node.args), reversed(node.defaults), strict=False))
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "namespace":
        yield from ((f".{pair.key}", pair.value) for pair in node.kwargs)
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in macros:
        yield from ((arg.name, value) for arg, value in zip(macros[node.node.name].args, node.args, strict=False))
        yield from ((pair.key, pair.value) for pair in node.kwargs)


def _names(target: nodes.Node) -> Iterator[str]:
    for found in (target, *target.find_all((nodes.Name, nodes.NSRef))):
        if isinstance(found, nodes.Name):
            yield found.name
        elif isinstance(found, nodes.NSRef):
            yield f".{found.attr}"


def _quoted(text: str) -> str:
    return repr(" ".join(text.split())[:SHOWN])
