"""Read a behaviour record strictly (spec/1, 15.2): every fault is told, and nothing is believed that is not checked.

A digest that stands beside what it is the digest of is compared with it, so a record that was edited is found out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llamafile_format.engines.behaviour import (
    FORMAT,
    MAX_RECORD,
    Agreement,
    Environment,
    Part,
    Record,
    Recorded,
    RecordedText,
    Run,
    Runtime,
    Subject,
    Tolerance,
    prompt_bytes,
    sha256,
    texts,
    tokens_digest,
)
from llamafile_format.engines.behaviour_yaml import decimal
from llamafile_format.engines.trace import (
    MAX_CONTEXT,
    MAX_PROMPTS,
    MAX_STEPS,
    MAX_TEXT,
    MAX_THREADS,
    MAX_TOP,
    Likelihood,
    Logit,
    Message,
    Prompt,
    PromptTrace,
    Step,
    logit_value,
)
from llamafile_format.engines.trace_reader import ENDS, MAX_PIECE, MAX_RENDERED, MAX_VOCABULARY
from llamafile_format.strict_yaml import Faults, Fields, parse

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+@:/()-]{0,99}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_BITS = re.compile(r"[0-9a-f]{8}")
_DOUBLE = re.compile(r"[0-9a-f]{16}")
_CLASSES = ("E", "T", "N")
MAX_PARTS = 1000
MAX_TOLERANCE = 1000.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a record. ``record`` is None if ``reason`` is set or there are ``faults``.

    ``faults`` and ``contradictions`` are (field, reason); ``unknown`` are fields that this version does not know.
    """

    record: Record | None
    reason: str = ""
    faults: tuple[tuple[str, str], ...] = ()
    contradictions: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


def read_record(data: bytes) -> Reading:
    """Read the data of a member of role ``behaviour``. Never raises for bad data."""
    value, reason = parse(data, MAX_RECORD)
    if not reason and (not isinstance(value, dict) or value.get("format") != FORMAT):
        reason = f"it does not say format: {FORMAT}"
    if reason:
        return Reading(None, reason)
    faults, contradictions = Faults(), Faults()
    record = _Reader(Fields(value, "", faults), contradictions).record()
    if faults.found:
        return Reading(None, faults=tuple(faults.found), unknown=tuple(faults.unknown))
    return Reading(record, contradictions=tuple(contradictions.found), unknown=tuple(faults.unknown))


class _Reader:
    """One reading: fields in the order in which they are written."""

    def __init__(self, top: Fields, contradictions: Faults) -> None:
        self.top = top
        self.contradictions = contradictions
        self.vocabulary = MAX_VOCABULARY
        self.context = MAX_CONTEXT

    def record(self) -> Record:
        """The record, strictly read; what contradicts itself is noted. FormatError that names the field."""
        top = self.top
        top.take("format")
        agreement = Agreement(top.choice("class", _CLASSES))
        subject = _subject(top.child("subject"))
        environment = _environment(top.child("environment"))
        decoding = top.child("decoding")
        decoding.choice("sampling", ("greedy",))
        self.context = decoding.integer("context", 256, MAX_CONTEXT)
        batch = decoding.integer("batch", 1, MAX_CONTEXT)
        threads = decoding.integer("threads", 1, MAX_THREADS)
        if decoding.flag("flash_attention"):
            decoding.wrong("flash_attention", "it is not false")
        self.vocabulary = decoding.integer("vocabulary", 1, MAX_VOCABULARY)
        decoding.close()
        near = top.child("tolerance")
        tolerance = Tolerance(near.number("logit", MAX_TOLERANCE), near.number("likelihood", MAX_TOLERANCE))
        near.close()
        runs = tuple(_run(fields) for fields in top.children("runs", 1, 16))
        prompts = tuple(self._prompt(fields) for fields in top.children("prompts", 1, MAX_PROMPTS))
        likelihood = self._likelihood(top.child("likelihood")) if top.has("likelihood") else None
        top.close()
        self._consistent(agreement, runs, prompts)
        return Record(
            subject=subject,
            environment=environment,
            agreement=agreement,
            runs=runs,
            tolerance=tolerance,
            vocabulary=self.vocabulary,
            context=self.context,
            batch=batch,
            threads=threads,
            prompts=prompts,
            likelihood=likelihood,
        )

    def _consistent(self, agreement: Agreement, runs: Sequence[Run], prompts: Sequence[Recorded]) -> None:
        ids = [item.prompt.id for item in prompts]
        for name in sorted({name for name in ids if ids.count(name) > 1}):
            self.contradictions.add("prompts", f"two prompts have the id {name}")
        for index, run in enumerate(runs):
            if not run.agreement.meets(agreement):
                self.contradictions.add(
                    f"runs[{index}].class", f"it is worse than the record's class {agreement.value}"
                )

    def _prompt(self, fields: Fields) -> Recorded:
        prompt = read_question(fields, fields.integer("max_tokens", 1, MAX_STEPS), fields.integer("top", 1, MAX_TOP))
        self._same(fields, "sha256", sha256(prompt_bytes(prompt)), "the prompt")
        at = fields.child("rendered")
        rendered = _bytes(at, MAX_RENDERED)
        self._same(at, "sha256", sha256(rendered), "the rendered bytes")
        at.close()
        tokens = self._tokens(fields.child("tokens"))
        at = fields.child("output")
        end = at.choice("end", ENDS)
        output = _bytes(at, MAX_STEPS * MAX_PIECE)
        steps = tuple(self._step(item, prompt) for item in fields.children("steps", 0, prompt.max_tokens))
        said = PromptTrace(prompt.id, rendered, tokens, steps, end)
        self._same(at, "sha256", sha256(output), "the output")
        self._same(at, "tokens_sha256", tokens_digest(said.generated), "the generated tokens")
        if output != said.output:
            self.contradictions.add(f"{at.path}", "it is not what its steps say")
        if end == "length" and len(steps) != prompt.max_tokens:
            self.contradictions.add(f"{at.path}.end", f"there are {len(steps)} steps of {prompt.max_tokens}")
        at.close()
        fields.close()
        return Recorded(prompt, said)

    def _step(self, fields: Fields, prompt: Prompt) -> Step:
        token = fields.integer("token", 0, self.vocabulary - 1)
        piece = _bytes(fields, MAX_PIECE)
        logits = fields.digest("logits")
        due = min(prompt.top, self.vocabulary)
        top = tuple(self._logit(fields, item) for item in fields.items("top", due, due))
        fields.close()
        keys = [(-logit_value(bits), found) for found, bits in top]
        if top and (keys != sorted(keys) or len(set(keys)) < len(keys) or top[0][0] != token):
            self.contradictions.add(f"{fields.path}.top", "it is not in order, or does not begin with the token")
        return Step(token, piece, logits, top)

    def _logit(self, fields: Fields, item: Any) -> Logit:
        if (
            isinstance(item, list)
            and len(item) == 2
            and type(item[0]) is int
            and 0 <= item[0] < self.vocabulary
            and isinstance(item[1], str)
            and _BITS.fullmatch(item[1])
            and not math.isnan(logit_value(int(item[1], 16)))
        ):
            return item[0], int(item[1], 16)
        fields.wrong("top", "an item is not a token and the eight digits of its logit")
        return 0, 0

    def _tokens(self, fields: Fields) -> tuple[int, ...]:
        items = fields.items("ids", 0, self.context)
        if any(type(item) is not int or not 0 <= item < self.vocabulary for item in items):
            fields.wrong("ids", f"an item is not one of {self.vocabulary} tokens")
            items = []
        self._same(fields, "sha256", tokens_digest(items), "the token ids")
        fields.close()
        return tuple(items)

    def _likelihood(self, fields: Fields) -> RecordedText:
        name = fields.text("text", 64, NAME)
        digest = fields.digest("sha256")
        known = texts().get(name)  # of a text that a later version knows there is nothing to compare
        if known is not None and digest != sha256(known.encode()):
            self.contradictions.add(f"{fields.path}.sha256", f"it is not the SHA-256 of the text {name}")
        tokens = self._tokens(fields.child("tokens"))
        count = fields.integer("count", 1, self.context)
        nats = fields.number("nats", 1e12)
        bits = fields.text("bits", 16, _DOUBLE) or "0" * 16
        found = Likelihood(tokens, count, int(bits, 16), fields.digest("logits"))
        fields.close()
        if not math.isfinite(found.value) or decimal(found.value) != decimal(nats):
            self.contradictions.add(f"{fields.path}.nats", "it is not the number of its bits")
        return RecordedText(name, digest, found)

    def _same(self, fields: Fields, name: str, digest: str, what: str) -> None:
        """The recorded digest must be that of what was recorded."""
        found = fields.digest(name)
        if fields.has(name) and found != digest:
            self.contradictions.add(f"{fields.path}.{name}", f"it is not the SHA-256 of {what}")


def _subject(fields: Fields) -> Subject:
    parts = []
    for at in fields.children("weights", 1, MAX_PARTS):
        parts.append(Part(at.text("path", 4096), at.digest("sha256"), at.integer("size", 0, 1 << 62)))
        at.close()
    at = fields.child("runtime")
    runtime = Runtime(
        engine=at.text("engine", 100, WORD),
        version=at.text("version", 100, WORD),
        flavour=at.text("flavour", 100, WORD),
        target=at.text("target", 100, WORD),
        sha256=at.digest("sha256"),
    )
    at.close()
    subject = Subject(tuple(parts), fields.digest("tokenizer"), fields.digest("template", empty=True), runtime)
    fields.close()
    return subject


def _environment(fields: Fields) -> Environment:
    found = Environment(fields.text("host", 100), fields.text("via", 100), fields.text("cpu", 100))
    fields.close()
    return found


def _run(fields: Fields) -> Run:
    run = Run(fields.integer("threads", 1, MAX_THREADS), Agreement(fields.choice("class", _CLASSES)))
    fields.close()
    return run


def _bytes(fields: Fields, most: int) -> bytes:
    """Bytes from their field ``text`` or ``hex``."""
    if fields.has("hex") and not fields.has("text"):
        return bytes.fromhex(fields.text("hex", 2 * most, _HEX))
    return fields.text("text", most).encode("utf-8")


def read_question(fields: Fields, max_tokens: int, top: int) -> Prompt:
    """Id and words of a prompt, as in a record and in a prompts file."""
    name = fields.text("id", 64, NAME)
    if fields.has("messages"):
        if fields.has("text"):
            fields.wrong("messages", "there is a text already")
            fields.take("text")
        messages = []
        for at in fields.children("messages", 1, 64):
            messages.append(Message(at.text("role", 64), at.text("content", MAX_TEXT)))
            at.close()
        return Prompt(name, None, tuple(messages), max_tokens=max_tokens, top=top)
    special = fields.flag("add_special") if fields.has("add_special") else True
    parse_special = fields.flag("parse_special") if fields.has("parse_special") else False
    return Prompt(name, fields.text("text", MAX_TEXT), (), special, parse_special, max_tokens, top)
