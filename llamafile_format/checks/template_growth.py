"""What a chat template makes grow without end: numbers, loops in loops, texts that double (spec/1, 7.11.10).

Nothing is evaluated. Of numbers the largest that an expression can be is followed, as far as the template alone decides
it; what a conversation decides counts as 1. Of variables it is followed how often each stands in what another is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import prod

from jinja2 import nodes

from llamafile_format.checks.template_tree import Tree, Unparsed
from llamafile_format.limits import TEMPLATE_BINDINGS

LOOPS_MAX = 1_000_000
"""Rounds that loops within loops make together by the template's own numbers; known templates have none that count."""
TIMES_MAX = 10_000
"""How often one text may stand in another, through all assignments between them."""

_ENDLESS = 1 << 62
_ROUNDS = 8  # times that assignments of numbers are followed: what grows still is endless
_NUMBERS = frozenset({"length", "count", "int", "float", "abs", "round", "wordcount"})

_SAME = frozenset({"int", "float", "abs", "round", "default", "d"})

Key = str | tuple[str, str]
"""A variable, or an attribute of a namespace, whichever."""

Times = dict[Key, int]
"""How often each variable stands in an expression."""


class Numbers:
    """The largest number that an expression of a template can be, by the template alone."""

    def __init__(self, tree: Tree) -> None:
        self._largest: dict[Key, float] = {}
        self._known: dict[int, float] = {}
        given = [pair for node in tree.nodes for pair in _assignments(node)]
        for _ in range(_ROUNDS):
            before = dict(self._largest)
            self._known.clear()
            for key, value in given:
                self._largest[key] = max(self._largest.get(key, 0), self.largest(value))
            if self._largest == before:
                return
        # What still grows counts its own rounds, and a conversation, or a loop that is judged by itself, ends it.
        self._known.clear()
        self._largest = {key: value for key, value in self._largest.items() if value == before.get(key)}

    def largest(self, node: nodes.Node | None) -> float:
        """At most what ``node`` is, 0 where it is no number or a conversation decides it."""
        if node is None:
            return 0
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = min(self._number(node), _ENDLESS)
        return found

    def _number(self, node: nodes.Node) -> float:
        if isinstance(node, nodes.Const):
            number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
            return abs(node.value) if number else 0
        if isinstance(node, nodes.Name | nodes.Getattr):
            return self._largest.get(_key(node) or "", 0)
        if isinstance(node, nodes.CondExpr):
            return max(self.largest(node.expr1), self.largest(node.expr2))
        if isinstance(node, nodes.And | nodes.Or):
            return max(self.largest(node.left), self.largest(node.right))
        if isinstance(node, nodes.Add):
            return self.largest(node.left) + self.largest(node.right)
        if isinstance(node, nodes.Mul):
            return max(1, self.largest(node.left)) * max(1, self.largest(node.right))
        if isinstance(node, nodes.Sub | nodes.FloorDiv | nodes.Div):
            return self.largest(node.left)
        if isinstance(node, nodes.Neg | nodes.Pos):
            return self.largest(node.node)
        if isinstance(node, nodes.Filter) and node.name in _SAME:
            return max(map(self.largest, (node.node, *node.args)), default=0)
        return 0

    def rounds(self, node: nodes.Node) -> float:
        """How often a loop over ``node`` goes round by the template alone, 1 where a conversation decides it."""
        if isinstance(node, nodes.List | nodes.Tuple):
            return max(1, len(node.items))
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            return max(1, len(node.value))
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "range":
            return max(1, max((self.largest(each) for each in node.args[:2]), default=1))
        return 1


def long_loops(tree: Tree, numbers: Numbers) -> Iterator[tuple[nodes.Node, int]]:
    """The outermost loop that, with those around it, goes round more often than LOOPS_MAX, and how often."""
    around: list[tuple[int, float]] = []
    for node, depth in zip(tree.nodes, tree.depths, strict=True):
        while around and around[-1][0] >= depth:
            around.pop()
        if isinstance(node, nodes.For):
            times = prod((rounds for _, rounds in around), start=numbers.rounds(node.iter))
            if times > LOOPS_MAX:
                yield node, int(min(times, _ENDLESS))
                return
            around.append((depth, numbers.rounds(node.iter)))


class Growth:
    """How often variables stand in one another."""

    def __init__(self, tree: Tree) -> None:
        self._macros = {node.name: node for node in tree.nodes if isinstance(node, nodes.Macro)}
        self._within: set[str] = set()
        self._own: frozenset[str] = frozenset()  # namespaces that the macro makes which is looked into
        self.steps = 0
        self.given: dict[Key, dict[Key, int]] = {}
        self.places: dict[Key, nodes.Node] = {}
        for node in tree.nodes:
            for key, value in _assignments(node):
                self._give(key, self.times(value), node)
            if isinstance(node, nodes.AssignBlock) and (block := _key(node.target)):
                self._give(block, self._printed(node.body), node)

    def doubling(self) -> Iterator[tuple[nodes.Node, Key]]:
        """The first variable that stands in itself more than once, through others too, or too often in another."""
        for group in _components(self.given):
            inner = set(group)
            for key in group:
                if any(times > 1 for other, times in self.given.get(key, {}).items() if other in inner):
                    yield self.places[key], key
                    return
        reached: dict[Key, int] = {}
        for group in _components(self.given):  # what is read comes before what reads it
            inner = set(group)
            for key in group:
                outer = [
                    t * reached.get(other, 1) for other, t in self.given.get(key, {}).items() if other not in inner
                ]
                reached[key] = max([1, *outer])
            for key in group:
                reached[key] = max(reached[each] for each in group)
                if reached[key] > TIMES_MAX:
                    yield self.places.get(key, self.places[group[0]]), key
                    return

    def _give(self, key: Key, times: Mapping[Key, int], node: nodes.Node) -> None:
        known = self.given.setdefault(key, {})
        for other, count in times.items():
            known[other] = max(known.get(other, 0), count)
        if key not in self.places or times.get(key, 0) > 1:
            self.places[key] = node

    def times(self, node: nodes.Node | None) -> Times:
        """How often each variable may stand in what ``node`` is: as a text, or as an element."""
        self.steps += 1
        if self.steps > TEMPLATE_BINDINGS:
            raise Unparsed("LF6033", "how its texts grow takes too many steps to follow", getattr(node, "lineno", 1))
        if isinstance(node, nodes.Name) or (isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name)):
            key = _key(node)
            return {key: 1} if key and not self._is_own(node) else {}
        if isinstance(node, nodes.Concat):
            return _sum(map(self.times, node.nodes))
        if isinstance(node, nodes.CondExpr):
            return _most((self.times(node.expr1), self.times(node.expr2)))
        if isinstance(node, nodes.And | nodes.Or):
            return _most((self.times(node.left), self.times(node.right)))
        if isinstance(node, nodes.Add | nodes.Mod):
            return _sum((self.times(node.left), self.times(node.right)))
        if isinstance(node, nodes.Mul):
            return self._repeated(node)
        if isinstance(node, nodes.List | nodes.Tuple):
            return _sum(map(self.times, node.items))
        if isinstance(node, nodes.Dict):
            return _sum(self.times(part) for pair in node.items for part in (pair.key, pair.value))
        if isinstance(node, nodes.Getitem | nodes.Getattr):
            return self.times(node.node)
        if isinstance(node, nodes.Filter):
            given = (node.node, *node.args, *(pair.value for pair in node.kwargs))
            return {} if node.name in _NUMBERS else _sum(map(self.times, given))
        return self._called(node) if isinstance(node, nodes.Call) else {}

    def _is_own(self, node: nodes.Node) -> bool:
        """Is ``node`` an attribute of a namespace that lives as long as one call of its macro?"""
        return isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name in self._own

    def _called(self, node: nodes.Call) -> Times:
        given = [*node.args, *(pair.value for pair in node.kwargs)]
        if isinstance(node.node, nodes.Getattr):
            return _sum(map(self.times, (node.node.node, *given)))
        macro = self._macros.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        if macro is None or macro.name in self._within:
            return _sum(map(self.times, given))
        self._within.add(macro.name)
        outer, self._own = self._own, _spaces(macro)
        inside = self._printed(macro.body)
        self._own = outer
        self._within.discard(macro.name)
        found = {key: count for key, count in inside.items() if key not in {each.name for each in macro.args}}
        by_name = {pair.key: pair.value for pair in node.kwargs}
        for index, parameter in enumerate(macro.args):
            value = node.args[index] if index < len(node.args) else by_name.get(parameter.name)
            for key, count in self.times(value).items():
                found[key] = found.get(key, 0) + count * inside.get(parameter.name, 0)
        return found

    def _repeated(self, node: nodes.Mul) -> Times:
        factor = max(1, *map(_number, (node.left, node.right)))
        both = _sum((self.times(node.left), self.times(node.right)))
        return {key: min(count * factor, _ENDLESS) for key, count in both.items()}

    def _printed(self, body: Iterable[nodes.Node]) -> Times:
        """How often each variable may stand in what ``body`` prints; of branches the one that prints it most."""
        found: list[Times] = []
        for node in body:
            if isinstance(node, nodes.Output):
                found += map(self.times, node.nodes)
            elif isinstance(node, nodes.If):
                branches = (node.body, *(each.body for each in node.elif_), node.else_)
                found.append(_most(map(self._printed, branches)))
            elif isinstance(node, nodes.For | nodes.FilterBlock | nodes.With | nodes.Scope):
                found.append(self._printed(node.body))
        return _sum(found)


def _spaces(macro: nodes.Macro) -> frozenset[str]:
    """Variables of ``macro`` that are namespaces of its own making, whatever happens."""
    bound = Counter(name.name for name in macro.find_all(nodes.Name) if name.ctx in {"store", "param"})
    fresh = Counter(
        key
        for node in macro.find_all(nodes.Assign)
        for key, value in _assignments(node)
        if isinstance(value, nodes.Call) and isinstance(value.node, nodes.Name) and value.node.name == "namespace"
    )
    return frozenset(name for name, count in bound.items() if fresh[name] == count)


def _assignments(node: nodes.Node) -> Iterator[tuple[Key, nodes.Node]]:
    """What ``node`` gives to a variable, or to an attribute of a namespace."""
    if isinstance(node, nodes.Assign):
        pairs: list[tuple[nodes.Node, nodes.Node]] = [(node.target, node.node)]
        if isinstance(node.target, nodes.Tuple) and isinstance(node.node, nodes.Tuple | nodes.List):
            pairs = list(zip(node.target.items, node.node.items, strict=False))
        for target, value in pairs:
            if key := _key(target):
                yield key, value
    elif isinstance(node, nodes.With):
        for target, value in zip(node.targets, node.values, strict=True):
            if key := _key(target):
                yield key, value
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "namespace":
        for pair in node.kwargs:
            yield ("", pair.key), pair.value


def _key(node: nodes.Node) -> Key | None:
    if isinstance(node, nodes.NSRef | nodes.Getattr):
        return "", node.attr
    return node.name if isinstance(node, nodes.Name) else None


def _number(node: nodes.Node) -> int:
    number = isinstance(node, nodes.Const) and isinstance(node.value, int | float)
    return int(min(abs(node.value), _ENDLESS)) if number else 0  # type: ignore[attr-defined]


def _sum(many: Iterable[Times]) -> Times:
    found: Times = {}
    for each in many:
        for key, count in each.items():
            found[key] = min(found.get(key, 0) + count, _ENDLESS)
    return found


def _most(many: Iterable[Times]) -> Times:
    found: Times = {}
    for each in many:
        for key, count in each.items():
            found[key] = max(found.get(key, 0), count)
    return found


def _components(graph: Mapping[Key, Mapping[Key, int]]) -> list[list[Key]]:
    """Variables that stand in one another together, what is read before what reads it (Tarjan, without recursion)."""
    number: dict[Key, int] = {}
    low: dict[Key, int] = {}
    open_: list[Key] = []
    waiting: set[Key] = set()
    found: list[list[Key]] = []
    for start in graph:
        walk = [start] if start not in number else []
        rest: dict[Key, Iterator[Key]] = {}
        while walk:
            key = walk[-1]
            if key not in number:
                number[key] = low[key] = len(number)
                open_.append(key)
                waiting.add(key)
                rest[key] = iter(graph.get(key, {}))
            after = next((each for each in rest[key] if each not in number or each in waiting), None)
            if after is None:
                walk.pop()
                if walk:
                    low[walk[-1]] = min(low[walk[-1]], low[key])
                if low[key] == number[key]:
                    at = open_.index(key)
                    found.append(open_[at:])
                    waiting.difference_update(open_[at:])
                    del open_[at:]
            elif after in number:
                low[key] = min(low[key], number[after])
            else:
                walk.append(after)
    return found
