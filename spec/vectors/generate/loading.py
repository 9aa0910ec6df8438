"""What pinned engines refuse to start (14.1.12): models that are fine by chapter 7, beside a build of llama.cpp."""

from __future__ import annotations

from collections.abc import Callable

from spec.vectors.generate import vector
from spec.vectors.generate.contents import GGJT
from spec.vectors.generate.forge import Part, Spec, container, parts, weights
from spec.vectors.generate.gguf_builder import (
    BIG,
    F32,
    I32,
    STRING,
    U32,
    V1,
    V2,
    V3,
    Dialect,
    model,
    model_entries,
    vocabulary,
)
from spec.vectors.generate.runtimes import PIN, PROGRAM

FOLDER = "runtimes/llama.cpp/0.3.36/"
REAL = PIN.replace('name: tiny\nversion: "1.0"', 'name: llama.cpp\nversion: "0.3.36"')
IDS = "tokenizer.ggml."


def started(data: bytes, path: str = "tiny.gguf", media: str = "application/x-gguf") -> bytes:
    """A container whose default model is ``data``, with a build that is called llama.cpp."""
    pin = Part(f"{FOLDER}runtime.yaml", REAL.encode(), "document", "application/yaml")
    build = Part(f"{FOLDER}native/linux-x86_64", PROGRAM, "runtime", "application/octet-stream", 32, 0o100755)
    given = [part for part in parts(pin, build) if part.role != "weights"]
    return container(Spec([*given, Part(path, data, "weights", media, 32)], labels={"default": path}))


def speaker(*extra: bytes, dialect: Dialect = V3, **sizes: int | None) -> bytes:
    """A model with everything that the engine needs."""
    return model(dialect.entry(f"{IDS}model", STRING, "none"), *extra, dialect=dialect, **sizes)


def bert(*extra: bytes, tokens: int = 6) -> bytes:
    """A model with a vocabulary for ``bert``."""
    names = [f"t{number}" for number in range(tokens)]
    return model(*vocabulary(names, [1] * tokens, "bert"), *extra)


_ALL = " ".join(f"LF33{number}" for number in range(10, 19))
_ROWS: list[tuple[str, str, str, Callable[[], bytes]]] = [
    ("version-1", "LF3310 LF5005", "GGUF of version 1.", lambda: speaker(dialect=V1)),
    ("big-endian", "LF3311 LF5004 LF5094", "Numbers big end first.", lambda: speaker(dialect=BIG)),
    (
        "id-as-array",
        "LF3313",
        "The id of the end token is an array.",
        lambda: speaker(V3.array(f"{IDS}eos_token_id", U32, [2])),
    ),
    (
        "id-signed",
        "LF3313",
        "The id of a token is signed.",
        lambda: speaker(V3.entry(f"{IDS}eos_token_id", I32, 2)),
    ),
    ("flag-as-number", "LF3313", "A flag is a number.", lambda: speaker(V3.entry(f"{IDS}add_bos_token", U32, 1))),
    (
        "types-unsigned",
        "LF3313",
        "Types of tokens are unsigned.",
        lambda: model(*vocabulary()[:3], V3.array(f"{IDS}token_type", U32, [2, 3, 3, 6, 1, 1])),
    ),
    (
        "tokens-equal",
        "LF3314",
        "A token is there twice.",
        lambda: model(*vocabulary(("<unk>", "<s>", "</s>", "<0x0A>", "hello", "hello"))),
    ),
    ("without-blocks", "LF3315", "Nobody says how many layers.", lambda: speaker(block_count=None)),
    ("without-tokenizer", "LF3315", "Nobody says which tokenizer.", model),
    (
        "epsilon-negative",
        "LF3316",
        "The one epsilon is below 0.",
        lambda: speaker(V3.entry("llama.attention.layer_norm_rms_epsilon", F32, -1e-5)),
    ),
    (
        "epsilon-nan",
        "LF3316",
        "The one epsilon is no number.",
        lambda: speaker(V3.entry("llama.attention.layer_norm_rms_epsilon", F32, float("nan"))),
    ),
    ("bert-without-ids", "LF3317", "Nobody names the tokens around a text.", bert),
    (
        "alignment-8",
        "LF3318",
        "Tensor data starts where vectors of 32 bytes do not.",
        lambda: _aligned(8),
    ),
]


def _aligned(alignment: int) -> bytes:
    """A model whose data section starts at an odd multiple of ``alignment``."""
    entries = [*model_entries(), V3.entry(f"{IDS}model", STRING, "none"), V3.entry("general.alignment", U32, alignment)]
    rows = [V3.tensor("a", (8,), 0, 0)]
    for count in range(64):
        padded = [*entries, V3.entry("x", STRING, "y" * count)]
        data = V3.build(padded, rows, bytes(32), alignment=alignment)
        if (len(data) - 32) % 32 == alignment % 32:
            return data
    raise AssertionError("no padding leads there")


for _name, _rules, _comment, _maker in _ROWS:
    vector(_name, rules=f"{_rules} LF3330", layer="content", comment=_comment)(lambda maker=_maker: started(maker()))


@vector("obsolete", rules="LF3312 LF3330 LF5087", layer="content", comment="GGJT beside an engine of today.")
def obsolete() -> bytes:
    return started(GGJT, "tiny.bin", "application/x-ggml")


@vector("good", rules="LF3330", near=_ALL, comment="A model with everything that the engine needs.")
def good() -> bytes:
    return started(speaker(V3.entry("llama.attention.layer_norm_rms_epsilon", F32, 0.0)))


@vector("good-version-2", rules="LF3330", near="LF3310", comment="GGUF of version 2.")
def good_version_2() -> bytes:
    return started(speaker(dialect=V2))


@vector("good-bert", rules="LF3330", near="LF3317", comment="The tokens around a text are named.")
def good_bert() -> bytes:
    ids = (V3.entry(f"{IDS}{key}_token_id", U32, number) for key, number in (("bos", 1), ("seperator", 2)))
    return started(bert(*ids))


@vector(
    "good-bert-by-default",
    rules="LF3330",
    near="LF3317",
    comment="Nobody names them; the usual numbers are in the vocabulary.",
)
def good_bert_by_default() -> bytes:
    return started(bert(tokens=103))


@vector("good-empty-tokens", rules="LF3330", near="LF3314", comment="Two tokens are empty; the engine names them.")
def good_empty_tokens() -> bytes:
    return started(model(*vocabulary(("<unk>", "<s>", "</s>", "<0x0A>", "", ""))))


@vector("good-alignment-32", rules="LF3330", near="LF3318", comment="Tensor data where the engine wants it.")
def good_alignment() -> bytes:
    return started(_aligned(32))


@vector(
    "epsilon-of-two",
    rules="LF3330",
    near="LF3316",
    comment="Two epsilons, one below 0: which counts only the engine knows.",
)
def epsilon_of_two() -> bytes:
    rms, norm = "llama.attention.layer_norm_rms_epsilon", "llama.attention.layer_norm_epsilon"
    return started(speaker(V3.entry(rms, F32, 1e-5), V3.entry(norm, F32, -1.0)))


@vector("data-only", near="LF3310", rules="LF5005", comment="The same version 1 without a build.")
def data_only() -> bytes:
    return container(Spec(parts(weights(data=speaker(dialect=V1))), labels={"default": "tiny.gguf"}))
