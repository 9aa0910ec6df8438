"""Whether an engine will start a model, told from the header alone: its own refusals, as rules (spec/1, 14.1.12).

Each demand was tried on the pinned builds. What no row of the registry says is not judged: an engine may refuse more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamafile_format.checks.shards import shard_of
from llamafile_format.engines.loaders import ARCHITECTURE, Loader, loader_of
from llamafile_format.engines.pin import Pin
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.weights.gguf_model import Gguf, ValueType, decode_text

TOKENS = "tokenizer.ggml.tokens"
TOKENS_MAX = 1 << 20
"""Most tokens that are compared with each other: four times the largest vocabulary in use."""


@dataclass(frozen=True, slots=True)
class Model:
    """A GGUF that engines are to open: ``base`` is where its data starts, ``whole`` that it is a model by itself."""

    gguf: Gguf
    path: str
    base: int
    whole: bool


def check_loading(model: Model, pins: Sequence[Pin]) -> Iterator[Finding]:
    """LF3310 to LF3318: why none of ``pins`` that read GGUF starts ``model``; nothing if one does, or nobody tried one.

    An engine beside it that reads something else has nothing to say.
    """
    refusals = [_refusals(model, pin) for pin in pins if pin.reads_gguf]
    if refusals and all(refusals):
        yield from min(refusals, key=len)


def check_obsolete(path: str, format_name: str, pins: Sequence[Pin], where: Where) -> Iterator[Finding]:
    """LF3312: weights of a time before GGUF, which every loader of the registry refuses."""
    if pins and all(loader_of(pin.name, pin.version) for pin in pins if pin.reads_gguf):
        yield Finding("LF3312", where, {"path": path, "format": format_name, "runtimes": _names(pins)})


def _names(pins: Sequence[Pin]) -> str:
    return ", ".join(pin.key for pin in pins)


def _refusals(model: Model, pin: Pin) -> list[Finding]:
    loader = loader_of(pin.name, pin.version)
    if loader is None:
        return []
    reader = _Reader(model, loader, pin.key)
    return [*reader.form(), *(reader.contents() if model.whole else ())]


@dataclass(frozen=True, slots=True)
class _Reader:
    """One loader before one model."""

    model: Model
    loader: Loader
    runtime: str

    def form(self) -> Iterator[Finding]:
        """What holds of every GGUF."""
        gguf, loader = self.model.gguf, self.loader
        if gguf.version not in loader.gguf_versions:
            yield self._at("LF3310", "version", 4, version=gguf.version)
        if gguf.byte_order != loader.byte_order:
            yield self._at("LF3311", "version", 4, order=gguf.byte_order, wanted=loader.byte_order)
        for tensor in gguf.tensors:
            if (gguf.data_offset + tensor.offset) % loader.tensor_alignment:
                at, wanted = gguf.data_offset + tensor.offset, loader.tensor_alignment
                yield self._at("LF3318", tensor.name, tensor.info_offset, name=tensor.name, at=at, alignment=wanted)
                break

    def contents(self) -> Iterator[Finding]:
        """What holds of a model, and of the first of its shards, which has the keys of all."""
        shard = shard_of(self.model.gguf)
        if shard is not None and shard[0]:
            return
        yield from self._needed()
        yield from self._types()
        yield from self._epsilons()
        yield from self._tokenizer()
        if self.loader.distinct_tokens:
            yield from self._tokens()

    def _needed(self) -> Iterator[Finding]:
        entries = self.model.gguf.entries
        if "general.architecture" not in entries:  # a fault by itself (7.8.1), and the names of keys follow from it
            return
        for key in map(self._key, self.loader.needed):
            if key not in entries:
                yield self._at("LF3315", key)

    def _types(self) -> Iterator[Finding]:
        loader, gguf = self.loader, self.model.gguf
        for wanted, arrays in ((loader.types, False), (loader.layer_types, True)):
            for name, kind in wanted.items():
                entry = gguf.entries.get(self._key(name))
                if entry is not None and entry.type is not kind and not (arrays and entry.type is ValueType.ARRAY):
                    yield self._at("LF3313", entry.key, found=entry.type.name, wanted=kind.name)
        for name, kind in loader.array_types.items():
            array = gguf.array(self._key(name))
            if array is not None and array.element_type is not kind:
                yield self._at(
                    "LF3313", name, found=f"array of {array.element_type.name}", wanted=f"array of {kind.name}"
                )

    def _epsilons(self) -> Iterator[Finding]:
        """Which of them an architecture uses only its code says; with one alone there is no doubt."""
        there = {key: self.model.gguf.number(key) for key in map(self._key, self.loader.epsilons)}
        values = {key: value for key, value in there.items() if value is not None}
        if values and all(value < 0 or math.isnan(value) for value in values.values()):
            for key, value in values.items():
                yield self._at("LF3316", key, found=f"{value:g}")

    def _tokenizer(self) -> Iterator[Finding]:
        gguf = self.model.gguf
        name = gguf.text("tokenizer.ggml.model", 64) or ""
        tokens = gguf.array(TOKENS)
        for key, usual in self.loader.tokenizers.get(name, {}).items():
            number = gguf.integer(key)
            said = number if number is not None and tokens is not None and 0 <= number < tokens.count else usual
            if tokens is not None and not 0 <= said < tokens.count:
                found = "not there" if number is None else str(number)
                yield self._at("LF3317", key, tokenizer=name, found=found, tokens=tokens.count)

    def _tokens(self) -> Iterator[Finding]:
        """Two equal tokens: engines count them by their texts. Empty ones get names of their own before that."""
        tokens = self.model.gguf.array(TOKENS)
        if tokens is None or tokens.element_type is not ValueType.STRING:
            return
        if tokens.count > TOKENS_MAX:
            reason = f"its {tokens.count} tokens were not compared with each other"
            yield Finding("LF9003", Where(member=self.model.path), {"path": self.model.path, "reason": reason})
            return
        seen: dict[bytes, int] = {}
        for index, token in enumerate(tokens.strings(longest=1024)):
            first = seen.setdefault(token, index)
            if token and first != index and len(token) < 1024:
                yield self._at("LF3314", TOKENS, text=decode_text(token[:64]), first=first, second=index)
                return

    def _key(self, name: str) -> str:
        return name.replace(ARCHITECTURE, self.model.gguf.text("general.architecture", 64) or "")

    def _at(self, rule: str, key: str, place: int | None = None, /, **args: Value) -> Finding:
        entry = self.model.gguf.entries.get(key)
        at = place if place is not None else entry.offset if entry is not None else 0
        where = Where(self.model.base + at, entry.length if entry is not None else None, self.model.path, key)
        return Finding(rule, where, {"path": self.model.path, "key": key, "runtimes": self.runtime, **args})
