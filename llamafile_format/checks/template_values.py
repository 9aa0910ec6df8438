"""Where the texts of a chat template come from: what may reach a subscript (spec/1, 7.11.8).

Nothing is evaluated. Each expression gets the *traits* of the texts that it may be, followed through variables, loops,
macros and lists until nothing changes. Names that an attacker puts together from pieces end as ``BUILT``, whatever the
pieces were: that takes no list of tricks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jinja2 import nodes

from llamafile_format.checks import template_names as names
from llamafile_format.checks.template_tree import Tree, Unparsed
from llamafile_format.limits import TEMPLATE_BINDINGS

ROUNDS_MAX = 12
"""Times that all assignments are followed; known templates need at most 4."""

PLAIN = 1  # a text of the template without an underscore
JOINED = 2  # one with underscores inside: harmless whole, not in pieces
HIDDEN = 4  # one that begins with an underscore, or names insides of an interpreter, or that the model's maker chose
BUILT = 8  # put together, cut, or formatted
INPUT = 16  # from a message, a tool, a setting
CONTENT = 32  # what a message says
CODE = 64  # a macro or a function itself
SPACE = 128  # a namespace, whose attributes are followed one by one
LIST = 256  # a list or mapping, which methods can put something into
LITERAL = PLAIN | JOINED | HIDDEN | BUILT
TEXT = PLAIN | JOINED | HIDDEN | BUILT | INPUT | CONTENT

CONTENT_KEYS = frozenset({"content", "reasoning_content"})


class Value(NamedTuple):
    """Traits of a text, and of the texts inside a list or mapping, however deep."""

    own: int = 0
    inside: int = 0

    def __or__(self, other: Value) -> Value:
        return Value(self[0] | other[0], self[1] | other[1])


NOTHING = Value()
SOMETHING_BUILT = Value(BUILT, BUILT)
GIVEN = Value(INPUT, INPUT)
OPEN = LIST | INPUT | CONTENT | BUILT  # what a method may have put something into


def of_text(text: str) -> int:
    """The trait of a literal."""
    if text.startswith("_") or text in names.INTROSPECTION | names.FORMAT_NAMES:
        return HIDDEN
    return JOINED if "_" in text else PLAIN


def pieces(own: int) -> int:
    """The traits of characters or parts of a text."""
    return (own & (PLAIN | INPUT | CONTENT)) | (BUILT if own & (JOINED | HIDDEN | BUILT) else 0)


def turned(own: int) -> int:
    """The traits of a text that is cut or turned around: a literal of the template is another name then."""
    return (own & (INPUT | CONTENT)) | (BUILT if own & LITERAL else 0)


def named(target: nodes.Node) -> Iterator[str]:
    """The variables that ``target`` binds."""
    if isinstance(target, nodes.Name):
        yield target.name
    elif isinstance(target, nodes.Tuple | nodes.List):
        for item in target.items:
            yield from named(item)


class Flow:
    """The traits of every variable of a template, and of any of its expressions."""

    def __init__(self, tree: Tree) -> None:
        self.macros: dict[str, list[nodes.Macro]] = {}
        for node in tree.nodes:
            if isinstance(node, nodes.Macro):
                self.macros.setdefault(node.name, []).append(node)
        self.variables: dict[str, Value] = {}
        self.attributes: dict[str, Value] = {}  # of namespaces, whichever
        self._spaces = NOTHING  # all of them together, as what is inside
        self._loops = NOTHING
        self._poured = NOTHING  # what methods put into lists and mappings, under whichever name
        self._known: dict[int, Value] = {}
        self.steps = 0
        self._changed = True
        self._settle(tree)

    def of(self, node: nodes.Node | None) -> Value:
        """What ``node`` may be."""
        if node is None:
            return NOTHING
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = self._value(node)
        return found

    def part(self, value: Value) -> Value:
        """An element of a list, a character of a text, a value of a mapping, an attribute of a namespace."""
        inside = value.inside
        if (value.own | inside) & OPEN:
            inside |= self._poured.inside
        if (value.own | inside) & SPACE:
            inside |= self._spaces.inside
        told = BUILT if inside & CODE else 0  # the name of a macro, or of what it takes
        return Value(inside | told | pieces(value.own), inside)

    # ---- following assignments

    def _settle(self, tree: Tree) -> None:
        acting = [node for node in tree.nodes if isinstance(node, _ACTING)]
        self._blocks = [node for node in acting if isinstance(node, nodes.CallBlock)]
        for _ in range(ROUNDS_MAX):
            self._known.clear()
            self._changed = False
            for node in acting:
                self._act(node)
            if not self._changed:
                self._known.clear()
                return
        raise Unparsed("LF6033", "its variables depend on each other in too many steps", 1)

    def _act(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Assign):
            self._assign(node.target, node.node)
        elif isinstance(node, nodes.AssignBlock):
            self._bind(node.target, SOMETHING_BUILT)
        elif isinstance(node, nodes.For):
            items = self.part(self.of(node.iter))
            self._loops |= items
            self._bind(node.target, items | Value(items.inside, items.inside))
        elif isinstance(node, nodes.With):
            for target, value in zip(node.targets, node.values, strict=True):
                self._assign(target, value)
        elif isinstance(node, nodes.Macro | nodes.CallBlock):
            for target, value in zip(reversed(node.args), reversed(node.defaults), strict=False):
                self._bind(target, self.of(value))
        elif isinstance(node, nodes.Call):
            self._call(node)

    def _assign(self, target: nodes.Node, value: nodes.Node) -> None:
        both = isinstance(target, nodes.Tuple) and isinstance(value, nodes.Tuple | nodes.List)
        if both and len(target.items) == len(value.items):  # type: ignore[attr-defined]
            for one, other in zip(target.items, value.items, strict=True):  # type: ignore[attr-defined]
                self._assign(one, other)
            return
        found = self.of(value)
        self._bind(target, self.part(found) if isinstance(target, nodes.Tuple) else found)

    def _bind(self, target: nodes.Node, value: Value) -> None:
        self._step()
        if isinstance(target, nodes.NSRef):
            self._keep(target.attr, value)
        else:
            for name in named(target):
                self._join(self.variables, name, value)

    def _step(self) -> None:
        """Count one more: a macro that is told a thousand times and called as often has a million bindings."""
        self.steps += 1
        if self.steps > TEMPLATE_BINDINGS:
            raise Unparsed("LF6033", f"its variables are bound in more than {TEMPLATE_BINDINGS} ways", 1)

    def _keep(self, attribute: str, value: Value) -> None:
        """``attribute`` of a namespace may be ``value``."""
        self._join(self.attributes, attribute, value)
        self._spaces |= Value(0, value.own | value.inside)

    def _join(self, table: dict[str, Value], name: str, value: Value) -> None:
        before = table.get(name)
        after = value if before is None else before | value
        if after != before:
            table[name] = after
            self._changed = True

    def _call(self, node: nodes.Call) -> None:
        """What a call does: arguments reach a macro's parameters, or get into the list that a method changes."""
        given = self._arguments(node)
        if isinstance(node.node, nodes.Name):
            if node.node.name == "caller":
                for block in self._blocks:
                    self._step()
                    for target in block.args:
                        self._bind(target, given)
            elif node.node.name == "loop":
                self._loops |= self.part(given)
            elif node.node.name == "namespace":
                for pair in node.kwargs:
                    self._keep(pair.key, self.of(pair.value))
            elif node.node.name in self.macros:
                for macro in self.macros[node.node.name]:
                    self._enter(macro, node)
                for name in ("varargs", "kwargs"):
                    self._join(self.variables, name, Value(0, given.own | given.inside))
        elif isinstance(node.node, nodes.Getattr) and node.node.attr not in names.READING:
            poured = self._poured | Value(0, given.own | given.inside)
            self._changed |= poured != self._poured
            self._poured = poured

    def _enter(self, macro: nodes.Macro, node: nodes.Call) -> None:
        """Arguments become parameters: by place, by name, and from a list or mapping that is unpacked any of them."""
        self._step()
        unpacked = self.part(self.any(extra for extra in (node.dyn_args, node.dyn_kwargs) if extra is not None))
        by_name = {pair.key: self.of(pair.value) for pair in node.kwargs}
        for index, target in enumerate(macro.args):
            placed = self.of(node.args[index]) if index < len(node.args) else NOTHING
            self._bind(target, placed | by_name.get(target.name, NOTHING) | unpacked)

    def _arguments(self, node: nodes.Call | nodes.Filter) -> Value:
        """All arguments together."""
        given = self.any(node.args) | self.any(pair.value for pair in node.kwargs)
        dynamic = self.any(extra for extra in (node.dyn_args, node.dyn_kwargs) if extra is not None)
        return given | self.part(dynamic)

    def any(self, expressions: Iterable[nodes.Node]) -> Value:
        """One of ``expressions``, whichever."""
        found = NOTHING
        for expression in expressions:
            found |= self.of(expression)
        return found

    # ---- what an expression may be

    def _value(self, node: nodes.Node) -> Value:
        if isinstance(node, nodes.Const):
            return Value(of_text(node.value)) if isinstance(node.value, str) else NOTHING
        if isinstance(node, nodes.Name):
            return self._name(node.name)
        if isinstance(node, nodes.Getattr):
            return self._attribute(node.node, node.attr)
        if isinstance(node, nodes.Getitem):
            if isinstance(node.arg, nodes.Slice):
                value = self.of(node.node)
                return Value(value.inside | (value.own & LIST) | turned(value.own), value.inside)
            named_key = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
            return self._attribute(node.node, node.arg.value) if named_key else self.part(self.of(node.node))  # type: ignore[attr-defined]
        if isinstance(node, nodes.Call):
            return self._called(node)
        if isinstance(node, nodes.Filter):
            return self._filtered(node.name, self.of(node.node), node)
        if isinstance(node, nodes.Tuple | nodes.List):
            found = self.any(node.items)
            return Value(LIST, found.own | found.inside)
        if isinstance(node, nodes.Dict):
            found = self.any(pair.key for pair in node.items) | self.any(pair.value for pair in node.items)
            return Value(LIST, found.own | found.inside)
        return self._operation(node)

    def _operation(self, node: nodes.Node) -> Value:
        if isinstance(node, nodes.Concat):
            return Value(BUILT)
        if isinstance(node, nodes.And | nodes.Or):
            return self.of(node.left) | self.of(node.right)
        if isinstance(node, nodes.CondExpr):
            return self.of(node.expr1) | self.of(node.expr2)
        if isinstance(node, nodes.Add):
            left, right = self.of(node.left), self.of(node.right)
            text = (left.own | right.own) & LITERAL or (left.own & TEXT and right.own & TEXT)
            return Value(((left.own | right.own) & LIST) | (BUILT if text else 0), left.inside | right.inside)
        if isinstance(node, nodes.Mul):
            both = self.of(node.left) | self.of(node.right)
            return Value((both.own & LIST) | (BUILT if both.own & TEXT else 0), both.inside)
        if isinstance(node, nodes.Mod):
            return Value(BUILT if self.of(node.left).own & TEXT else 0)
        if isinstance(node, nodes.Sub):  # of numbers, and of the keys of mappings
            both = self.of(node.left) | self.of(node.right)
            return Value(LIST if both.own & LIST else 0, both.own | both.inside)
        if isinstance(node, _NUMERIC):
            return NOTHING
        return SOMETHING_BUILT  # nothing that the grammar makes of a template's text, so nothing to be trusted

    def _name(self, name: str) -> Value:
        found = self.variables.get(name)
        if name.endswith(("_token", "_tokens")):  # texts of the model's maker, who made the template too
            return (found or NOTHING) | Value(HIDDEN | INPUT, HIDDEN | INPUT)
        if name in self.macros or name in names.FUNCTIONS:
            return (found or NOTHING) | Value(CODE)
        return GIVEN if found is None else found

    def _attribute(self, receiver: nodes.Node, key: str) -> Value:
        if isinstance(receiver, nodes.Name) and receiver.name == "loop" and "loop" not in self.variables:
            return NOTHING if key in names.LOOP_FACTS else self._loops
        value = self.of(receiver)
        own = value.inside | (value.own & (INPUT | CONTENT))
        if value.own & CODE and key not in names.LOOP_FACTS:  # macros have no such attributes, other loops have
            own |= BUILT | self._loops.own
        if value.own & OPEN:
            own |= self._poured.inside
        if key in names.FORMAT_NAMES and value.own & LITERAL:
            own |= CODE
        if key in CONTENT_KEYS:
            own |= CONTENT
        found = Value(own, own)
        return found | self.attributes[key] if value.own & SPACE and key in self.attributes else found

    def _called(self, node: nodes.Call) -> Value:
        given = self._arguments(node)
        if isinstance(node.node, nodes.Getattr):
            found = self._method(node.node.attr, self.of(node.node.node), given)
            asked = node.args[0] if node.args else None
            content = isinstance(asked, nodes.Const) and asked.value in CONTENT_KEYS
            return found | Value(CONTENT, CONTENT) if content and node.node.attr in names.TAKING else found
        if not isinstance(node.node, nodes.Name):
            return SOMETHING_BUILT
        name = node.node.name  # of a function even if something else has it too: to call that is a fault of its own
        if name in {"range", "raise_exception"}:
            return NOTHING
        if name == "namespace":  # what it is given by name is kept by attribute
            start = self.any(node.args) | (self.of(node.dyn_kwargs) if node.dyn_kwargs else NOTHING)
            return Value(SPACE, start.inside)
        if name == "dict":
            keys = 0
            for pair in node.kwargs:
                keys |= of_text(pair.key)
            return Value(LIST, given.own | given.inside | keys)
        return GIVEN | SOMETHING_BUILT

    def _method(self, name: str, receiver: Value, given: Value) -> Value:
        if name in names.ASKING:
            return NOTHING
        if name in names.SAME:
            return receiver
        if name in names.CUTTING:
            return Value(pieces(receiver.own) | LIST, receiver.inside | pieces(receiver.own))
        if name in names.TAKING:
            own = self.part(receiver).inside | (receiver.own & (LIST | INPUT | CONTENT)) | given.own
            return Value(own, own | given.inside)
        return SOMETHING_BUILT

    def _filtered(self, name: str, value: Value, node: nodes.Filter) -> Value:
        given = self._arguments(node)  # many filters give back an argument where they find nothing
        if name in names.COUNTING:
            return given
        if name in names.KEEPING:
            written = BUILT if value.own & LIST and name not in {"default", "d", "safe"} else 0  # a list, as text
            return value | given | Value(written)
        items = self.part(value) | given
        if name in names.PICKING:
            return items
        if name in names.LISTING or (name == "map" and not node.args):
            own = turned(value.own) if name == "reverse" else pieces(value.own)
            content = CONTENT if any(_names_content(argument) for argument in _all_arguments(node)) else 0
            return Value(own | LIST, items.own | items.inside | content)
        if name == "trim":
            return Value(pieces(value.own), value.inside)
        return SOMETHING_BUILT


def _all_arguments(node: nodes.Filter) -> list[nodes.Expr]:
    return [*node.args, *(pair.value for pair in node.kwargs)]


def _names_content(node: nodes.Expr) -> bool:
    """Is ``node`` a path of attributes through what a message says?"""
    return (
        isinstance(node, nodes.Const) and isinstance(node.value, str) and bool(CONTENT_KEYS & {*node.value.split(".")})
    )


_ACTING = (nodes.Assign, nodes.AssignBlock, nodes.For, nodes.With, nodes.Macro, nodes.CallBlock, nodes.Call)
_NUMERIC = (
    nodes.Div,
    nodes.FloorDiv,
    nodes.Pow,
    nodes.Neg,
    nodes.Pos,
    nodes.Not,
    nodes.Compare,
    nodes.Test,
    nodes.Slice,
)
