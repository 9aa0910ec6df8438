"""Packing what does not go together: refused before anything is written, with the rule that verify would name."""

from __future__ import annotations

import pytest

from llamafile_format.checks.together import Piece, check_taken, check_together, models_of
from llamafile_format.engines.store import find_pin
from llamafile_format.errors import FormatError
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.fitting import misfits, refuse_lacking
from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from spec.vectors.generate import fit
from spec.vectors.generate.gguf_builder import U16, V3, model_entries


def piece(role: str, data: bytes, path: str = "") -> Piece:
    """``data`` as a member that may have to fit."""
    return Piece(path or f"{role}.gguf", role, read_gguf(BytesSource(data)))


MODEL = piece("weights", fit.model(), "model.gguf")


@pytest.mark.parametrize(
    ("role", "data", "rules"),
    [
        ("adapter", fit.lora(), []),
        ("adapter", fit.lora(architecture="qwen3"), ["LF5077"]),
        ("adapter", fit.lora(*fit.pair("blk.9.attn_q.weight")), ["LF5078"]),
        ("adapter", fit.lora(*fit.pair(low=(64, 4))), ["LF5079"]),
        ("adapter", fit.direction(32), []),
        ("adapter", fit.direction(33), ["LF5083"]),
        ("projector", fit.projector(), []),
        ("projector", fit.projector(128), ["LF5080"]),
        ("projector", fit.projector(128, "holographic"), []),
        ("draft", fit.draft(), []),
        ("draft", fit.draft("gpt2"), ["LF5081"]),
        ("tokenizer", fit.words(200), ["LF5082"]),
    ],
)
def test_what_goes_with_a_model(role: str, data: bytes, rules: list[str]) -> None:
    assert [found.rule for found in check_together([MODEL, piece(role, data)])] == rules
    assert check_together([piece(role, data)]) == []


def test_only_what_is_loaded_must_fit_the_default_model() -> None:
    wide = piece("weights", fit.model(embedding_length=64), "wide.gguf")
    first, second = (piece("projector", fit.projector(width), f"{width}.gguf") for width in (32, 64))
    pieces = [MODEL, wide, first, second]
    assert check_together(pieces, default="model.gguf", runs=True) == []
    assert [f.rule for f in check_together(pieces, default="wide.gguf", runs=True)] == ["LF5080"]
    assert check_together(pieces, default="wide.gguf") == []


def test_deep_stacking_widens_what_a_model_takes() -> None:
    deep = model_entries(architecture="qwen3vl", n_deepstack_layers=2)
    stacked = piece("weights", fit.gguf(deep, ("token_embd.weight", (32, 6))), "model.gguf")
    assert check_together([stacked, piece("projector", fit.projector(96))]) == []
    other = model_entries(architecture="granite", deepstack_mapping=2)
    unknown = piece("weights", fit.gguf(other, ("token_embd.weight", (32, 6))), "model.gguf")
    assert check_together([unknown, piece("projector", fit.projector(99))]) == []


def test_shards_are_one_model() -> None:
    def shard(number: int, *shapes: fit.Shape) -> Piece:
        keys = [V3.entry("split.no", U16, number), V3.entry("split.count", U16, 2)]
        entries = [*(model_entries() if number == 0 else []), *keys]
        return piece("weights", fit.gguf(entries, *shapes), f"model-0000{number + 1}-of-00002.gguf")

    first, second = shard(0, ("token_embd.weight", (32, 6))), shard(1, ("blk.0.attn_q.weight", (32, 16)))
    (model,) = models_of([second, first])
    assert (model.whole, model.first, len(model.tensors)) == (True, first, 2)
    assert check_together([first, second, piece("adapter", fit.lora())]) == []
    assert check_together([first, piece("adapter", fit.lora())]) == []  # who knows what the missing shard has


def test_what_an_unknown_engine_takes_is_not_judged() -> None:
    strange = piece("projector", fit.projector(kind="holographic"))
    assert [found.rule for found in check_taken(strange, ["llama.cpp@0.3.36"])] == ["LF3308"]
    assert check_taken(strange, ["llama.cpp@9.9"]) == []
    assert check_taken(strange, ["llama.cpp@0.3.36", "llama.cpp@9.9"]) == []


def test_half_a_pair_is_not_taken() -> None:
    half = piece("adapter", fit.lora(*fit.pair()[:1]))
    (found,) = check_taken(half, ["llama.cpp@0.3.36"])
    assert found.args["reason"] == "the tensor blk.0.attn_q.weight.lora_a has no partner"


@pytest.mark.parametrize(
    ("role", "data", "rules"),
    [
        ("adapter", fit.lora(), []),
        ("adapter", fit.lora(*fit.pair(low=(64, 4))), ["LF5079"]),
        ("adapter", fit.lora(kind="ia3"), ["LF3308"]),
        ("projector", fit.projector(), []),
        ("projector", fit.projector(128), ["LF5080"]),
        ("projector", fit.projector(kind="holographic"), ["LF3308"]),
        ("draft", fit.draft("gpt2"), []),  # the engine goes on without it: verify warns
    ],
)
def test_packing_with_a_runtime_asks_first(role: str, data: bytes, rules: list[str]) -> None:
    members = (("model.gguf", "weights", fit.model()), (f"{role}.gguf", role, data))
    contents = [Content(path, kind, "application/x-gguf", BytesSource(source), 65536) for path, kind, source in members]
    assert [found.rule for found in misfits([find_pin("llama.cpp")], contents, "model.gguf")] == rules


def test_packing_asks_whether_the_engine_parses_the_template() -> None:
    for template, rules in (("{% do x %}", ["LF3309"]), ("{% generation %}x", [])):
        content = Content("m.gguf", "weights", "application/x-gguf", BytesSource(fit.spoken(template)), 65536)
        assert [found.rule for found in misfits([find_pin("llama.cpp")], [content], "m.gguf")] == rules


@pytest.mark.parametrize(("folder", "named"), [("", ""), ("m/", "=m/config.json")])
def test_packing_asks_for_the_texts_that_a_runner_opens(folder: str, named: str) -> None:
    def beside(*names: str) -> list[Content]:
        return [Content(folder + name, "document", "text/plain", BytesSource(b"{}"), 1) for name in names]

    path = f"{folder}model.safetensors"
    model = Content(path, "weights", "application/x-safetensors", BytesSource(b"w"), 65536)
    pins = [find_pin("mlx")]
    refuse_lacking(pins, [model, *beside("config.json", "tokenizer.json")], path)
    refuse_lacking([find_pin("onnxruntime")], [model], path)
    with pytest.raises(FormatError, match=r"config\.json is not in the file") as both:
        refuse_lacking(pins, [model], path)
    assert f"--include DIR/config.json{named} --include DIR/tokenizer.json" in both.value.hint
    with pytest.raises(FormatError, match=r"tokenizer\.json is not in the file") as one:
        refuse_lacking(pins, [model, *beside("config.json")], path)
    assert "config.json" not in one.value.hint
