"""Read a runtime's trace strictly and within bounds (spec/1, 15.3.4): one JSON object a line, in one order.

A runtime that says anything else is refused with a sentence; nothing is guessed and nothing is repaired.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from llamafile_format.engines.trace import (
    MAX_CONTEXT,
    Identity,
    Likelihood,
    Logit,
    Prompt,
    PromptTrace,
    Request,
    Step,
    Trace,
    logit_value,
)
from llamafile_format.errors import RuntimeFailure

MAX_RENDERED = 1 << 22  # bytes of a rendered prompt: a template may repeat, but not without end
MAX_PIECE = 1 << 12  # bytes of one token; the longest in use has 256
MAX_VOCABULARY = 1 << 24
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BITS = re.compile(r"[0-9a-f]{8}")
_DOUBLE = re.compile(r"[0-9a-f]{16}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+@:/()-]{0,99}")
ENDS = ("length", "end-of-generation", "context")

Event = Mapping[str, Any]


def read_trace(lines: Iterator[bytes], request: Request) -> Trace:
    """The trace that ``lines`` hold. Raises RuntimeFailure at the first thing that is not as it must be."""
    events = _Events(lines)
    identity = _identity(events.next("runtime"), request)
    prompts = tuple(_prompt(events, prompt, identity) for prompt in request.prompts)
    likelihood = None
    if request.likelihood is not None:
        likelihood = _likelihood(events.next("nll"), identity)
    events.next("done")
    events.close()
    return Trace(identity, prompts, likelihood)


class _Events:
    """The lines as events, each of the kind that is due."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._number = 0

    def next(self, *kinds: str) -> Event:
        """The next event, which must be of one of ``kinds``."""
        line = next(self._lines, None)
        self._number += 1
        if line is None:
            raise RuntimeFailure(f"the runtime stopped before it said {' or '.join(kinds)}")
        try:
            event = json.loads(line, parse_constant=self._no_number)
        except (ValueError, RecursionError) as error:
            raise RuntimeFailure(f"line {self._number} of the runtime's answer is not JSON: {_start(line)}") from error
        if not isinstance(event, dict):
            raise RuntimeFailure(f"line {self._number} of the runtime's answer is not an object: {_start(line)}")
        kind = event.get("event")
        if kind == "error" and isinstance(event.get("message"), str):
            raise RuntimeFailure(f"the runtime says: {event['message'][:400]}")
        if kind not in kinds:
            raise RuntimeFailure(
                f"line {self._number} of the runtime's answer is {str(kind)[:40]!r} where {' or '.join(kinds)} was due"
            )
        return event

    def close(self) -> None:
        """Nothing may follow."""
        line = next(self._lines, None)
        if line is not None:
            raise RuntimeFailure(f"the runtime went on after it was done: {_start(line)}")

    @staticmethod
    def _no_number(word: str) -> NoReturn:
        raise ValueError(word)


CPU = "cpu"
"""The only device of a trace (14.6.5); builds that do not name one know no other."""


def _identity(event: Event, request: Request) -> Identity:
    """Who answers, and whether it took the settings that were asked for."""
    identity = Identity(
        engine=_match(event, "engine", _WORD),
        version=_match(event, "version", _WORD),
        target=_match(event, "target", _WORD),
        flavour=_match(event, "flavour", _WORD),
        cpu=_match(event, "cpu", _WORD),
        vocabulary=_integer(event, "vocabulary", 1, MAX_VOCABULARY),
        context=_integer(event, "context", 1, MAX_CONTEXT),
        threads=_integer(event, "threads", 1, request.threads),
        batch=_integer(event, "batch", 1, MAX_CONTEXT),
    )
    device = event.get("device", CPU)
    if device != CPU:
        raise RuntimeFailure(f"the runtime computed on {str(device)[:80]!r}: what is recorded is computed on the CPU")
    for name in ("context", "batch"):
        wanted, found = getattr(request, name), getattr(identity, name)
        if wanted != found:
            raise RuntimeFailure(f"the runtime used a {name} of {found} tokens where {wanted} were asked for")
    return identity


def _prompt(events: _Events, prompt: Prompt, identity: Identity) -> PromptTrace:
    event = events.next("prompt")
    _same_prompt(event, prompt)
    rendered = _bytes(event, "rendered", MAX_RENDERED)
    tokens = _tokens(event, identity)
    steps: list[Step] = []
    while True:
        event = events.next("step", "end")
        _same_prompt(event, prompt)
        if event["event"] == "end":
            break
        if _integer(event, "step", 0, prompt.max_tokens - 1) != len(steps):
            raise RuntimeFailure(f"step {len(steps)} of prompt {prompt.id} is numbered {event['step']}")
        steps.append(_step(event, prompt, identity))
    end = event.get("reason")
    if end not in ENDS:
        raise RuntimeFailure(f"prompt {prompt.id} ended for no known reason: {str(end)[:40]!r}")
    if end == "length" and len(steps) != prompt.max_tokens:
        raise RuntimeFailure(f"prompt {prompt.id} ended after {len(steps)} of {prompt.max_tokens} tokens, for length")
    return PromptTrace(prompt.id, rendered, tokens, tuple(steps), end)


def _same_prompt(event: Event, prompt: Prompt) -> None:
    if event.get("id") != prompt.id:
        raise RuntimeFailure(f"the runtime speaks of prompt {str(event.get('id'))[:40]!r} where {prompt.id} was due")


def _step(event: Event, prompt: Prompt, identity: Identity) -> Step:
    token = _integer(event, "token", 0, identity.vocabulary - 1)
    top = event.get("top")
    due = min(prompt.top, identity.vocabulary)
    if not isinstance(top, list) or len(top) != due:
        raise RuntimeFailure(f"a step of prompt {prompt.id} does not have its {due} highest logits")
    logits = tuple(_logit(item, identity) for item in top)
    _ordered(logits, prompt)
    if logits and logits[0][0] != token:
        raise RuntimeFailure(f"prompt {prompt.id}: token {token} was chosen, but {logits[0][0]} has the highest logit")
    return Step(token, _bytes(event, "piece", MAX_PIECE), _match(event, "logits", _DIGEST), logits)


def _logit(item: Any, identity: Identity) -> Logit:
    if not (
        isinstance(item, list)
        and len(item) == 2
        and type(item[0]) is int
        and 0 <= item[0] < identity.vocabulary
        and isinstance(item[1], str)
        and _BITS.fullmatch(item[1])
    ):
        raise RuntimeFailure(f"{str(item)[:60]} is not a token and its logit")
    bits = int(item[1], 16)
    if math.isnan(logit_value(bits)):
        raise RuntimeFailure(f"the logit of token {item[0]} is not a number")
    return item[0], bits


def _ordered(logits: tuple[Logit, ...], prompt: Prompt) -> None:
    """Highest first, of equal ones the lowest id first, none twice."""
    keys = [(-logit_value(bits), token) for token, bits in logits]
    if keys != sorted(keys) or len({token for token, _ in logits}) != len(logits):
        raise RuntimeFailure(f"the highest logits of a step of prompt {prompt.id} are out of order")


def _likelihood(event: Event, identity: Identity) -> Likelihood:
    tokens = _tokens(event, identity)
    found = Likelihood(
        tokens=tokens,
        count=_integer(event, "count", 1, max(1, len(tokens))),
        bits=int(_match(event, "bits", _DOUBLE), 16),
        logits=_match(event, "logits", _DIGEST),
    )
    if not math.isfinite(found.value) or found.value < 0:
        raise RuntimeFailure(f"the negative log-likelihood is {found.value}, which no text has")
    return found


def _tokens(event: Event, identity: Identity) -> tuple[int, ...]:
    value = event.get("tokens")
    if not isinstance(value, list) or len(value) > MAX_CONTEXT:
        raise RuntimeFailure(f"the runtime gave no list of at most {MAX_CONTEXT} tokens")
    for item in value:
        if type(item) is not int or not 0 <= item < identity.vocabulary:
            raise RuntimeFailure(f"{str(item)[:40]} is not one of {identity.vocabulary} tokens")
    return tuple(value)


def _integer(event: Event, name: str, least: int, most: int) -> int:
    value = event.get(name)
    if type(value) is not int or not least <= value <= most:
        raise RuntimeFailure(f"the runtime's {name} is {str(value)[:40]!r}, not a number from {least} to {most}")
    return value


def _match(event: Event, name: str, pattern: re.Pattern[str]) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RuntimeFailure(f"the runtime's {name} is {str(value)[:40]!r}, which has not the form due")
    return value


def _bytes(event: Event, name: str, most: int) -> bytes:
    value = event.get(name)
    if not isinstance(value, str) or len(value) > 2 * most or not _HEX.fullmatch(value):
        raise RuntimeFailure(f"the runtime's {name} is not at most {most} bytes in hexadecimal")
    return bytes.fromhex(value)


def _start(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "backslashreplace"))
