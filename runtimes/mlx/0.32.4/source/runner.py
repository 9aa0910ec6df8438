#!/bin/sh
"""true"
echo "${LFF_CONTAINER:-this file}: its engine is Python code of others, which no file starts by itself" >&2
echo "to start it shut in: llamafile-format complete FILE -p TEXT" >&2
exit 1
"""

# The runner of MLX models (spec/1, 14.10). A shell that is given this file says the lines above; the command
# llamafile-format starts `main` with Python, after the sandbox is closed around it. It reads no directory and no path:
# the command, which has verified the file, says where in it the model, its configuration and its tokenizer lie.

from __future__ import annotations

import ast
import hashlib
import heapq
import importlib
import importlib.util
import io
import json
import math
import os
import random
import re
import struct
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ENGINE, VERSION, TARGET, FLAVOUR = "mlx", "0.32.4", "linux-x86_64", "native"
MOST_TEXT = 16 << 20  # bytes of a request or a prompt
MOST_CONTEXT = 1 << 20
HELP = """Usage: llamafile-format complete FILE -p PROMPT [-- options]
  -p TEXT, -f FILE   the prompt (- is standard input)
  -n N               at most N tokens
  -c N               context size in tokens
  --temp T, --seed S  0 (the likeliest token, always the same) unless given
  --trace            answer a request on standard input with tokens and digests of logits
"""


class Refused(Exception):
    """What cannot be done, in a sentence for the user."""


class Window(io.RawIOBase):
    """``size`` bytes of the container from ``offset`` on, as a file that the engine reads."""

    def __init__(self, container: int, offset: int, size: int) -> None:
        self._container, self._offset, self._size, self._at = container, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._container, min(len(view), self._size - self._at), self._offset + self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


class Words:
    """The tokenizer of the model: ``tokenizer.json``, cut by the library that this form of it comes from."""

    def __init__(self, text: str, ends: frozenset[int]) -> None:
        from tokenizers import Tokenizer

        self._inner, self.ends = Tokenizer.from_str(text), ends
        self._letters = _letters() if '"ByteLevel"' in text else None

    def cut(self, text: str, *, add_special: bool, parse_special: bool = False) -> list[int]:
        self._inner.encode_special_tokens = not parse_special
        ids: list[int] = self._inner.encode(text, add_special_tokens=add_special).ids
        return ids

    def piece(self, token: int) -> bytes:
        """The bytes of a token, names of special ones included."""
        text = self._inner.id_to_token(token) or ""
        if self._letters is not None:
            if all(letter in self._letters for letter in text):
                return bytes(self._letters[letter] for letter in text)
            return text.encode()
        if match := re.fullmatch("<0x([0-9A-F]{2})>", text):
            return bytes([int(match[1], 16)])
        return text.replace("\u2581", " ").encode()


def _letters() -> dict[str, int]:
    """The letters that stand for bytes in byte-level vocabularies."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + index): byte for index, byte in enumerate(others)}


class Model:
    """The model in memory: what stands behind a row of tokens is computed in :meth:`feed`."""

    def __init__(self, container: int, plan: dict[str, Any], config: dict[str, Any], module: Any) -> None:
        import mlx.core as mx

        self._mx, self.config = mx, config
        weights: dict[str, Any] = {}
        for offset, size in plan["weights"]:
            weights.update(mx.load(io.BufferedReader(Window(container, offset, size), 1 << 20), format="safetensors"))
        self._model = module.Model(module.ModelArgs.from_dict(config))
        if hasattr(self._model, "sanitize"):
            weights = self._model.sanitize(weights)
        self._quantize(config.get("quantization"), weights)
        self._model.eval()
        self._model.load_weights(list(weights.items()), strict=True)
        mx.eval(self._model.parameters())
        self._cache: Any = None
        self.used = 0

    def _quantize(self, how: dict[str, Any] | None, weights: dict[str, Any]) -> None:
        if how is None:
            if "quantization_config" in self.config:
                raise Refused("its weights are quantised in a form that is not MLX's own")
            return
        from mlx import nn

        def of_layer(path: str, layer: Any) -> Any:
            """How the layer at ``path`` is quantised."""
            return how[path] if path in how else hasattr(layer, "to_quantized") and f"{path}.scales" in weights

        mode = how.get("mode", "affine")
        nn.quantize(self._model, group_size=how["group_size"], bits=how["bits"], mode=mode, class_predicate=of_layer)

    def forget(self) -> None:
        """Begin with an empty memory."""
        from mlx_lm.models.cache import make_prompt_cache

        self._cache, self.used = make_prompt_cache(self._model), 0

    def feed(self, tokens: Sequence[int]) -> list[memoryview]:
        """A row of logits (float32) behind each of ``tokens``."""
        logits = self._model(self._mx.array([list(tokens)]), cache=self._cache)[0].astype(self._mx.float32)
        self._mx.eval(logits)
        self.used += len(tokens)
        data, width = memoryview(logits).cast("B"), 4 * logits.shape[1]
        return [data[at : at + width].cast("f") for at in range(0, len(data), width)]


def highest(row: memoryview, count: int) -> list[int]:
    """The tokens with the highest logits, of equal ones the lowest first."""
    return heapq.nsmallest(count, range(len(row)), key=lambda token: (-row[token], token))


def fed(model: Model, tokens: Sequence[int], batch: int) -> Iterator[memoryview]:
    """The rows behind ``tokens``, computed in batches."""
    for at in range(0, len(tokens), batch):
        yield from model.feed(tokens[at : at + batch])


# ---- trace (14.6.5)


def say(**event: Any) -> None:
    sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def trace(model: Model, words: Words, request: dict[str, Any]) -> None:
    context, batch = request.get("context", 512), request.get("batch", 512)
    model.forget()
    vocabulary = len(model.feed([0])[0])
    identity = {"engine": ENGINE, "version": VERSION, "target": TARGET, "flavour": FLAVOUR, "cpu": "generic"}
    say(event="runtime", **identity, device="cpu", vocabulary=vocabulary, context=context, threads=1, batch=batch)
    for prompt in request["prompts"]:
        trace_prompt(model, words, prompt, context, batch)
    if "nll" in request:
        trace_likelihood(model, words, request["nll"]["text"], context, batch)
    say(event="done")


def trace_prompt(model: Model, words: Words, prompt: dict[str, Any], context: int, batch: int) -> None:
    if "messages" in prompt:
        raise Refused("messages are not laid out by this engine: ask with texts")
    text, name, limit = prompt["text"], prompt["id"], prompt["max_tokens"]
    add, parse = prompt.get("add_special", True), prompt.get("parse_special", False)
    tokens = words.cut(text, add_special=add, parse_special=parse)
    say(event="prompt", id=name, rendered=text.encode().hex(), tokens=tokens)
    model.forget()
    if not 0 < len(tokens) <= context:
        say(event="end", id=name, reason="context")
        return
    row = list(fed(model, tokens, batch))[-1]
    reason = "length"
    for step in range(limit):
        top = highest(row, max(1, prompt.get("top", 5)))
        bits = [[token, struct.pack(">f", row[token]).hex()] for token in top[: prompt.get("top", 5)]]
        digest = hashlib.sha256(row.cast("B")).hexdigest()
        say(event="step", id=name, step=step, token=top[0], piece=words.piece(top[0]).hex(), logits=digest, top=bits)
        if top[0] in words.ends:
            reason = "end-of-generation"
            break
        if step + 1 < limit:
            if model.used >= context:
                reason = "context"
                break
            row = model.feed([top[0]])[-1]
    say(event="end", id=name, reason=reason)


def trace_likelihood(model: Model, words: Words, text: str, context: int, batch: int) -> None:
    tokens = words.cut(text, add_special=True)[:context]
    model.forget()
    digest, total = hashlib.sha256(), 0.0
    for index, row in enumerate(fed(model, tokens, batch)):
        digest.update(row.cast("B"))
        if index + 1 < len(tokens):
            total += surprise(row, tokens[index + 1])
    bits = struct.pack(">d", total).hex()
    say(event="nll", count=len(tokens) - 1, tokens=tokens, bits=bits, value=total, logits=digest.hexdigest())


def surprise(row: memoryview, token: int) -> float:
    most, total = max(row), 0.0
    for logit in row:
        total += math.exp(logit - most)
    return math.log(total) - (row[token] - most)


# ---- completion


def complete(model: Model, words: Words, given: dict[str, str], prompt: str) -> None:
    context = min(int(given.get("-c", model.config.get("max_position_embeddings", 4096))), MOST_CONTEXT)
    limit = int(given.get("-n", -1))
    tokens = words.cut(prompt, add_special=True)
    if not 0 < len(tokens) <= context:
        raise Refused(f"the prompt has {len(tokens)} tokens, and the context is one of {context}")
    heat, chance = float(given.get("--temp", 0)), random.Random(int(given.get("--seed", 0)))
    model.forget()
    row = list(fed(model, tokens, 512))[-1]
    done = 0
    while done != limit:
        token = drawn(row, heat, chance)
        if token in words.ends:
            break
        sys.stdout.buffer.write(words.piece(token))
        sys.stdout.buffer.flush()
        done += 1
        if model.used >= context:
            break
        row = model.feed([token])[-1]
    sys.stdout.buffer.write(b"\n")


def drawn(row: memoryview, heat: float, chance: random.Random) -> int:
    """The likeliest token; with ``heat`` one of the forty likeliest, by chance."""
    if heat <= 0:
        return highest(row, 1)[0]
    best = highest(row, 40)
    shares = [math.exp((row[token] - row[best[0]]) / heat) for token in best]
    return chance.choices(best, shares)[0]


# ---- what is started


def member(container: int, place: Sequence[int]) -> str:
    """The text at ``place``, an offset and a size in bytes."""
    with Window(container, *place) as window:
        return window.readall().decode("utf-8")


def architecture(config: dict[str, Any]) -> Any:
    """The engine's code for the model. The package itself is not imported: it wants libraries that compute nothing."""
    home = importlib.util.find_spec("mlx_lm")
    assert home is not None
    assert home.submodule_search_locations
    package = types.ModuleType("mlx_lm")
    package.__path__ = list(home.submodule_search_locations)
    sys.modules["mlx_lm"] = package
    name, folder = str(config.get("model_type", "")), Path(package.__path__[0])
    name = renamed(folder / "utils.py").get(name, name)
    if "model_file" in config or "auto_map" in config:
        raise Refused("it wants code of its own, which is not run")
    if not re.fullmatch("[A-Za-z0-9_]{1,64}", name) or not (folder / "models" / f"{name}.py").is_file():
        raise Refused(f"the engine knows no models of the type {name[:64]!r}")
    return importlib.import_module(f"mlx_lm.models.{name}")


def renamed(source: Path) -> dict[str, str]:
    """The engine's table of types that are another by name only, read as data."""
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MODEL_REMAPPING":
            found: dict[str, str] = ast.literal_eval(node.value)
            return found
    return {}


def options(words: Sequence[str]) -> dict[str, str]:
    """What was asked for. Raises Refused for what this engine does not have."""
    same = {"--prompt": "-p", "--file": "-f", "--predict": "-n", "--ctx-size": "-c", "--threads": "-t"}
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = same.get(word, word)
        if name in ("--trace", "--complete", "--help", "--version"):
            found[name] = ""
        elif name in ("-p", "-f", "-n", "-c", "-t", "--temp", "--seed") and rest:
            found[name] = rest.pop(0)
        else:
            raise Refused(f"{word[:64]} is nothing that this engine knows")
    return found


def asked(given: dict[str, str]) -> str:
    """The request or prompt, whatever it comes by."""
    if "--trace" in given or given.get("-f") == "-":
        data = sys.stdin.buffer.read(MOST_TEXT + 1)
        if len(data) > MOST_TEXT:
            raise Refused(f"what is asked is longer than {MOST_TEXT} bytes")
        return data.decode("utf-8")
    if "-f" in given:
        raise Refused("a prompt comes by -p, or by standard input with -f -: no file can be opened here")
    return given.get("-p", "")


def work(container: int, plan: dict[str, Any], seal: Callable[[], None], given: dict[str, str]) -> None:
    if "--trace" not in given and "-p" not in given and "-f" not in given:
        raise Refused("this engine has no server: llamafile-format complete FILE -p TEXT")
    text = asked(given)
    config = json.loads(member(container, plan["config"]))
    if not isinstance(config, dict):
        raise Refused("config.json is no object")
    import mlx.core as mx

    importlib.import_module("tokenizers")  # its library is opened while libraries can be
    mx.disable_compile()  # by a compiler of the system
    mx.set_default_device(mx.cpu)
    module = architecture(config)
    importlib.import_module("mlx_lm.models.cache")
    seal()
    ends = config.get("eos_token_id", [])
    words = Words(member(container, plan["tokenizer"]), frozenset([ends] if isinstance(ends, int) else ends or []))
    model = Model(container, plan, config, module)
    if "--trace" in given:
        trace(model, words, json.loads(text))
    else:
        complete(model, words, given, text)


def main(container: int, plan: dict[str, Any], seal: Callable[[], None], words: Sequence[str]) -> int:
    """Do what ``words`` say with the model at ``plan`` in ``container``; ``seal`` closes what only loading needs."""
    tracing = "--trace" in words
    try:
        given = options(words)
        if "--help" in given or "--version" in given:
            sys.stdout.write(f"{ENGINE} {VERSION} {TARGET} {FLAVOUR}\n" if "--version" in given else HELP)
            return 0
        work(container, plan, seal, given)
    except (Refused, ValueError, KeyError, TypeError, AttributeError, ImportError, OSError, RuntimeError) as error:
        reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        line = "".join(letter if letter.isprintable() else "?" for letter in reason)[:400]
        if tracing:
            say(event="error", message=line)
        sys.stderr.write(f"llamafile: {line}\n")
        return 1
    return 0
