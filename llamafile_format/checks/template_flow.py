"""Judge what a chat template's statements do to each other: nesting, recursion, hidden triggers (spec/1, 7.11.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from llamafile_format.checks.template_lexer import Block, BlockKind, Token, TokenKind
from llamafile_format.findings import Value

NESTING_MAX = 64
GATED_PROSE_MAX = 300
"""Characters of literal text in a branch taken only for certain messages, above which a person should look."""

OPENERS = {"if": "endif", "for": "endfor", "macro": "endmacro", "call": "endcall", "filter": "endfilter"}
GUARDS = {"if", "for"}
COMPARISONS = {"<", ">", "<=", ">=", "==", "!=", "in"}
CONTENT_WORDS = {"content", "text"}
INSPECTING_METHODS = {"startswith", "endswith", "find", "index", "count"}


class Sink(Protocol):
    """Takes findings; see ``templates.Verdicts``."""

    def add(self, rule: str, at: int, /, **args: Value) -> None:
        """Record ``rule`` at character ``at``."""


@dataclass(slots=True)
class _Frame:
    """An open statement. ``gate`` is where a condition on a message's content starts, or -1."""

    word: str
    name: str = ""
    gate: int = -1
    prose: int = 0


@dataclass(slots=True)
class _State:
    """What has been seen so far."""

    frames: list[_Frame] = field(default_factory=list)
    calls: dict[str, set[str]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    dated: set[str] = field(default_factory=set)


def check_flow(sink: Sink, blocks: list[Block]) -> None:
    """Walk the statements of a template once, in order; stop where they are nested too deeply to be followed."""
    state = _State()
    for block in blocks:
        if block.kind is BlockKind.TEXT:
            _count(state, len(block.text.strip()))
            continue
        _count(state, max((len(token.value) for token in block.tokens if token.kind is TokenKind.STRING), default=0))
        if block.kind is BlockKind.STATEMENT and block.tokens:
            _statement(sink, state, block)
            if len(state.frames) > NESTING_MAX:
                sink.add("LF6012", block.at, limit=NESTING_MAX)
                return
        _calls(state, block.tokens)
    circular = _circular(state.calls)
    for name in state.calls:
        if name in circular:
            sink.add("LF6013", state.places[name], macro=name)


def _count(state: _State, length: int) -> None:
    if state.frames:
        state.frames[-1].prose += length


def _statement(sink: Sink, state: _State, block: Block) -> None:
    """Open, switch or close a frame."""
    word = block.tokens[0].value
    if word in {"elif", "else"} and state.frames:
        _close(sink, state.frames[-1])
        state.frames[-1].gate, state.frames[-1].prose = -1, 0
    elif word in OPENERS:
        name = block.tokens[1].value if word == "macro" and len(block.tokens) > 1 else ""
        state.frames.append(_Frame(word, name))
        if name:
            state.calls.setdefault(name, set())
            state.places.setdefault(name, block.at)
    elif word in OPENERS.values() and state.frames:
        _close(sink, state.frames.pop())
    if word in {"if", "elif"} and state.frames:
        _condition(sink, state, block)
    if word == "set" and len(block.tokens) > 1 and _calls_name(block.tokens, "strftime_now"):
        state.dated.add(block.tokens[1].value)


def _condition(sink: Sink, state: _State, block: Block) -> None:
    """LF6025 for a condition on the date; mark the frame if the condition is on what a message says."""
    tokens = block.tokens
    words = {token.value for token in tokens if token.kind is not TokenKind.STRING}
    if _calls_name(tokens, "strftime_now") or (words & state.dated and words & COMPARISONS):
        sink.add("LF6025", block.at)
    if _inspects_content(tokens):
        state.frames[-1].gate = block.at


def _inspects_content(tokens: tuple[Token, ...]) -> bool:
    """True if the condition looks for a string inside a message's content."""
    values = [token.value for token in tokens]
    if not CONTENT_WORDS & set(values):
        return False
    searched = any(token.kind is TokenKind.STRING and token.value not in CONTENT_WORDS for token in tokens)
    return searched and ("in" in values or "==" in values or bool(INSPECTING_METHODS & set(values)))


def _close(sink: Sink, frame: _Frame) -> None:
    """LF6022 for a branch that inserts prose only when a message says something."""
    if frame.gate >= 0 and frame.prose > GATED_PROSE_MAX:
        sink.add("LF6022", frame.gate, length=frame.prose, limit=GATED_PROSE_MAX)


def _calls_name(tokens: tuple[Token, ...], name: str) -> bool:
    pairs = pairwise(tokens)
    return any(token.kind is TokenKind.NAME and token.value == name and after.value == "(" for token, after in pairs)


def _calls(state: _State, tokens: tuple[Token, ...]) -> None:
    """Note which macro is called from the body of which, unless an ``if`` or ``for`` in that body guards the call.

    A guarded call can end, and real templates walk nested JSON schemas that way; an unguarded one never returns.
    """
    inside = next((i for i in range(len(state.frames) - 1, -1, -1) if state.frames[i].word == "macro"), None)
    if inside is None or any(frame.word in GUARDS for frame in state.frames[inside + 1 :]):
        return
    if tokens and tokens[0].value == "macro":
        return
    caller = state.frames[inside].name
    for token, after in pairwise(tokens):
        if token.kind is TokenKind.NAME and after.value == "(":
            state.calls.setdefault(caller, set()).add(token.value)


def _circular(calls: dict[str, set[str]]) -> set[str]:
    """The macros that are called, directly or through others, from their own bodies: in time linear in the calls.

    Tarjan's strongly connected components, without recursion.
    """
    found: set[str] = set()
    low: dict[str, int] = {}  # the lowest number that is reached; a macro's own is the size of this when it is met
    number: dict[str, int] = {}
    open_: list[str] = []  # met, and in no component that is complete
    waiting: set[str] = set()  # the same, to ask
    for start, called in calls.items():
        walk = [start] if start not in number else []
        rest = {start: iter(called)}
        while walk:
            name = walk[-1]
            if name not in number:
                number[name] = low[name] = len(number)
                open_.append(name)
                waiting.add(name)
            after = next((other for other in rest[name] if other not in number or other in waiting), None)
            if after is None:
                walk.pop()
                if walk:
                    low[walk[-1]] = min(low[walk[-1]], low[name])
                if low[name] == number[name]:
                    found |= _component(open_, waiting, name, calls)
            elif after in number:
                low[name] = min(low[name], number[after])
            else:
                walk.append(after)
                rest[after] = iter(calls.get(after, ()))
    return found


def _component(open_: list[str], waiting: set[str], root: str, calls: dict[str, set[str]]) -> set[str]:
    """Take the component of ``root`` off the end of ``open_``; empty if it is one macro that does not call itself."""
    members: set[str] = set()
    while root not in members:
        members.add(open_.pop())
    waiting -= members
    return members if len(members) > 1 or root in calls.get(root, ()) else set()
