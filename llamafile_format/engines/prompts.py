"""What to ask a model for a record: a prompts file, or the questions that are asked by default (spec/1, 15.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from llamafile_format.engines.behaviour import Tolerance, texts
from llamafile_format.engines.behaviour_reader import MAX_TOLERANCE, read_question
from llamafile_format.engines.trace import (
    MAX_CONTEXT,
    MAX_PROMPTS,
    MAX_STEPS,
    MAX_THREADS,
    MAX_TOP,
    Message,
    Prompt,
)
from llamafile_format.errors import UsageError
from llamafile_format.strict_yaml import Faults, Fields, parse, place_of

FORMAT = "llamafile-prompts/1"
MAX_FILE = 1 << 20
TEXT = "alice-1865"


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts and the settings of a record. ``likelihood`` is the id of a registered text, or empty for none."""

    prompts: tuple[Prompt, ...]
    context: int = 512
    batch: int = 512
    threads: int = 1
    likelihood: str = TEXT
    tolerance: Tolerance = field(default_factory=Tolerance)


def default_prompts(*, chat: bool) -> Prompts:
    """The questions that are asked where nobody named any; one goes through the chat template if there is one."""
    asked = [
        Prompt("story", text="Once upon a time", max_tokens=48),
        Prompt("fact", text="The capital of France is", max_tokens=16),
    ]
    if chat:
        question = Message("user", "Tell me about the clock.")
        asked.append(Prompt("chat", messages=(question,), max_tokens=48))
    return Prompts(tuple(asked))


def read_prompts(path: Path) -> Prompts:
    """The prompts file ``path``. Raises UsageError that names the first fault, or SourceError."""
    from llamafile_format.source import FileSource

    source = FileSource(path)
    try:
        data = source.read_at(0, min(source.size, MAX_FILE + 1))
    finally:
        source.close()
    value, reason = parse(data, MAX_FILE)
    if not reason and (not isinstance(value, dict) or value.get("format") != FORMAT):
        raise UsageError(f"{path} is not a prompts file", hint=f"its first line should be `format: {FORMAT}`")
    if reason:
        raise UsageError(f"{path}: {reason}", hint="their form: llamafile-format rule 15.7")
    faults = Faults()
    prompts = _prompts(Fields(value, "", faults))
    misspelt = [(name, f"there is no such field; did you mean {meant}?") for name, meant in faults.meant.items()]
    wrong = [*misspelt, *faults.found, *((name, "there is no such field") for name in faults.unknown)]
    if wrong:
        name, fault = wrong[0]
        place = place_of(data, name, key=name in faults.unknown)
        where = f"{place}: {name}" if place else name
        raise UsageError(f"{path}: {where}: {fault}", hint="their form: llamafile-format rule 15.7")
    return prompts


def _prompts(top: Fields) -> Prompts:
    top.take("format")
    steps = top.integer("max_tokens", 1, MAX_STEPS) if top.has("max_tokens") else 24
    highest = top.integer("top", 1, MAX_TOP) if top.has("top") else 5
    found = []
    for at in top.children("prompts", 1, MAX_PROMPTS):
        own_steps = at.integer("max_tokens", 1, MAX_STEPS) if at.has("max_tokens") else steps
        own_top = at.integer("top", 1, MAX_TOP) if at.has("top") else highest
        found.append(read_question(at, own_steps, own_top))
        at.close()
    ids = [prompt.id for prompt in found]
    if len(set(ids)) < len(ids):
        top.wrong("prompts", "two of them have one id")
    result = Prompts(
        prompts=tuple(found),
        context=_context(top),
        batch=top.integer("batch", 1, MAX_CONTEXT) if top.has("batch") else 512,
        threads=top.integer("threads", 1, MAX_THREADS) if top.has("threads") else 1,
        likelihood=top.choice("likelihood", ("none", *texts())).replace("none", "") if top.has("likelihood") else TEXT,
        tolerance=_tolerance(top),
    )
    top.close()
    return result


def _context(top: Fields) -> int:
    context = top.integer("context", 256, MAX_CONTEXT) if top.has("context") else 512
    if context % 256:  # engines round it up, and padding is part of what they compute
        top.wrong("context", "it is not a multiple of 256")
    return context


def _tolerance(top: Fields) -> Tolerance:
    if not top.has("tolerance"):
        return Tolerance()
    at = top.child("tolerance")
    found = Tolerance(at.number("logit", MAX_TOLERANCE), at.number("likelihood", MAX_TOLERANCE))
    at.close()
    return found
