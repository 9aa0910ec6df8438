"""Facts, kinds, roles and the memory estimate, on built and on real files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from llamafile_format.checks.weights import check_gguf
from llamafile_format.checks.weights_member import ROLES_OF
from llamafile_format.rules import Severity, rule
from llamafile_format.source import BytesSource, FileSource
from llamafile_format.weights.facts import SplitFacts, describe, recognise_role
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.memory import estimate_memory
from llamafile_format.weights.purpose import GgufKind
from llamafile_format.weights.tensor_types import type_name
from spec.vectors.generate.gguf_builder import BOOL, F32, I32, STRING, U16, U32, V3, model, model_entries, vocabulary
from spec.vectors.generate.weights_content import adapter, projector, split

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gguf"


def read(data: bytes) -> Gguf:
    gguf = read_gguf(BytesSource(data))
    assert gguf.complete
    return gguf


def real(name: str) -> tuple[Gguf, list[str]]:
    """A real file, and the rules found in it that are more than a note."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not there (../shared/data/gguf)")
    gguf, findings = check_gguf(FileSource(path), deep=True)
    return gguf, [f.rule for f in findings if rule(f.rule).severity is not Severity.INFO]


def named(architecture: str, *tensors: str) -> bytes:
    """A GGUF of which only the architecture and the names of its tensors matter."""
    entries = [V3.entry("general.architecture", STRING, architecture)] if architecture else []
    rows = [V3.tensor(name, (8,), 0, 32 * index) for index, name in enumerate(tensors)]
    return V3.build(entries, rows, bytes(32 * len(tensors)))


@pytest.mark.parametrize(
    ("data", "kind", "role"),
    [
        (model(), GgufKind.MODEL, "weights"),
        (V3.build([*model_entries(), *vocabulary()]), GgufKind.VOCABULARY, "tokenizer"),
        (projector(224, 14), GgufKind.PROJECTOR, "projector"),
        (adapter("blk.0.attn_q.weight.lora_b"), GgufKind.ADAPTER, "adapter"),
        (V3.build(split(1, 3, 9)), GgufKind.SHARD, "weights"),
        (V3.build([V3.entry("general.type", STRING, "imatrix")]), GgufKind.IMATRIX, "asset"),
        (V3.build([V3.entry("general.architecture", STRING, "controlvector")]), GgufKind.CONTROL_VECTOR, "adapter"),
        (V3.build([]), GgufKind.OTHER, "asset"),
        (named("whisper", "decoder.token_embedding.weight"), GgufKind.SPEECH, "weights"),
        (named("flux", "img_in.weight"), GgufKind.DIFFUSION, "weights"),
        (named("", "model.diffusion_model.out.2.weight"), GgufKind.DIFFUSION, "weights"),
        (named("pig", "decoder.conv_in.weight", "encoder.conv_in.weight"), GgufKind.DECODER, "asset"),
        (named("", "first_stage_model.decoder.conv_in.weight"), GgufKind.DECODER, "asset"),
        (named("llama", "blocks.0.attn.lora_down.weight", "blocks.0.attn.lora_up.weight"), GgufKind.LORA, "asset"),
        (named("llama", "token_embd.weight", "decoder.conv_in.weight"), GgufKind.MODEL, "weights"),
    ],
)
def test_kind_and_role(data: bytes, kind: GgufKind, role: str) -> None:
    gguf = read(data)
    assert (describe(gguf).kind, recognise_role(gguf)) == (kind, role)
    assert role in ROLES_OF[kind]


def test_every_kind_has_roles() -> None:
    assert ROLES_OF.keys() == set(GgufKind)


def test_facts_of_a_model() -> None:
    template = "{{ messages }}" + " " * 5000
    facts = describe(
        read(
            model(
                *vocabulary(),
                V3.entry("general.license", STRING, "cc0-1.0"),
                V3.entry("general.file_type", U32, 15),
                V3.entry("general.quantized_by", STRING, "somebody"),
                V3.array("general.languages", STRING, ["de", "en"]),
                V3.entry("general.base_model.count", U32, 1),
                V3.entry("general.base_model.0.name", STRING, "Ur"),
                V3.entry("tokenizer.chat_template", STRING, template),
                V3.entry("quantize.imatrix.dataset", STRING, "calibration.txt"),
            )
        )
    )
    assert (facts.parameters, facts.tensor_bytes, facts.bits_per_weight) == (24, 96, 32.0)
    assert (facts.layers, facts.context_length, facts.embedding, facts.heads, facts.kv_heads) == (2, 64, 32, (4,), (2,))
    assert (facts.vocabulary, facts.tokenizer_model, facts.file_type) == (6, "llama", "Q4_K_M")
    assert (facts.licence, facts.quantised_by, facts.languages) == ("cc0-1.0", "somebody", ("de", "en"))
    assert [base.name for base in facts.base_models] == ["Ur"]
    assert [(t.name, t.sha256) for t in facts.templates] == [("", hashlib.sha256(template.encode()).hexdigest())]
    assert facts.imatrix is not None
    assert facts.imatrix.dataset == "calibration.txt"
    assert [(share.type, share.tensors, share.share) for share in facts.mix] == [("F32", 2, 1.0)]


def test_facts_of_an_adapter_and_a_projector() -> None:
    low = describe(read(adapter("blk.0.attn_q.weight.lora_b"))).adapter
    assert low is not None
    assert (low.type, low.alpha, low.rank, low.targets) == ("lora", 16.0, 2, 1)
    eyes = describe(read(projector(224, 14))).projector
    assert eyes is not None
    assert (eyes.type, eyes.image_size, eyes.patch_size) == ("mlp", 224, 14)


def test_memory_formula() -> None:
    gguf = read(model(*vocabulary(), V3.entry("llama.feed_forward_length", U32, 100), context_length=40_000))
    estimate = estimate_memory(gguf)
    per_token = 2 * 2 * (8 + 8) * 2  # layers x KV heads x (key + value) x F16
    scratch = 512 * (6 + 4 * 32 + 3 * 100) * 4
    assert estimate.scratch == scratch
    assert [(row.context, row.cache, row.total) for row in estimate.rows] == [
        (context, context * per_token, 96 + context * per_token + scratch) for context in (4096, 32_768, 40_000)
    ]
    assert "512 tokens" in estimate.formula


def test_memory_per_layer_heads_and_key_lengths() -> None:
    gguf = read(
        model(
            *vocabulary(),
            V3.array("llama.attention.head_count_kv", I32, [0, 4]),
            V3.entry("llama.attention.key_length", U32, 10),
            V3.entry("llama.attention.value_length", U32, 6),
            V3.entry("llama.attention.sliding_window", U32, 16),
            attention__head_count_kv=None,
        )
    )
    estimate = estimate_memory(gguf)
    assert [row.cache for row in estimate.rows] == [64 * 4 * 16 * 2]
    assert any("sliding window" in note for note in estimate.notes)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (model(), "vocabulary"),
        (model(*vocabulary(), context_length=None), "context"),
        (model(*vocabulary(), block_count=None), "layers"),
        (model(*vocabulary(), V3.entry("llama.ssm.state_size", U32, 1)), "recurrent"),
        (projector(224, 14), "projector"),
    ],
)
def test_memory_gives_a_reason(data: bytes, reason: str) -> None:
    estimate = estimate_memory(read(data))
    assert estimate.rows == ()
    assert reason in estimate.reason


def test_an_encoder_has_no_cache() -> None:
    estimate = estimate_memory(read(model(*vocabulary(), V3.entry("llama.attention.causal", BOOL, 0))))
    assert [row.cache for row in estimate.rows] == [0]


def test_lazy_arrays() -> None:
    gguf = read(model(V3.array("x.t", STRING, ["a", "b" * 5000, "c"]), V3.array("x.f", F32, [0.5, 1.0])))
    texts, floats = gguf.array("x.t"), gguf.array("x.f")
    assert texts is not None
    assert floats is not None
    assert list(texts) == [b"a", b"b" * 5000, b"c"]
    assert texts.first(2, longest=3) == ("a", "bbb")
    assert (texts.count, list(floats), floats.first(1), floats.first(0)) == (3, [0.5, 1.0], (0.5,), ())


def test_strings_across_windows() -> None:
    words = [f"{number}" * (number % 70) for number in range(40_000)]
    gguf = read(model(V3.array("x.t", STRING, words), V3.entry("x.after", U16, 7)))
    array = gguf.array("x.t")
    assert array is not None
    assert [word.decode() for word in array.strings()] == words
    assert gguf.integer("x.after") == 7


def test_type_names() -> None:
    assert [type_name(number) for number in (12, 36, 139, 4, 9999)] == [
        "Q4_K",
        "I2_S (bitnet)",
        "IQ4_K (ik_llama)",
        "Q4_2 (removed)",
        "type 9999",
    ]


def test_real_stories() -> None:
    gguf, rules = real("stories260K.gguf")
    facts = describe(gguf)
    assert rules == []
    assert (facts.architecture, facts.parameters, facts.vocabulary, facts.context_length) == (
        "llama",
        292_800,
        512,
        2048,
    )
    older, rules = real("stories260K-gguf-v1.gguf")
    assert rules == []
    assert {(t.name, t.dims, t.type_id) for t in older.tensors} == {(t.name, t.dims, t.type_id) for t in gguf.tensors}


def test_real_vocabulary_and_random_model() -> None:
    gguf, rules = real("vocab-falcon-gguf-v2.gguf")
    assert (gguf.version, rules, describe(gguf).kind) == (2, [], GgufKind.VOCABULARY)
    gguf, rules = real("llama-2-tiny-random-f16.gguf")
    assert (rules, describe(gguf).file_type) == ([], "F16")


def test_real_split() -> None:
    first, rules = real("split-00001-of-00002.gguf")
    assert (rules, describe(first).split, first.tensors) == ([], SplitFacts(0, 2, 10), ())
    second, rules = real("split-00002-of-00002.gguf")
    assert (rules, describe(second).split, len(second.tensors)) == ([], SplitFacts(1, 2, 10), 10)
    _, rules = real("split-unsplit.gguf")
    assert rules == ["LF5054"]  # a test file of a loader: it says no architecture, so no engine can run it


def test_faults_of_layout_are_told_apart() -> None:
    rows = [V3.tensor("a", (8, 2), 0, 0), V3.tensor("b", (8,), 0, 36)]
    gguf = read_gguf(BytesSource(V3.build(model_entries(), rows, bytes(96))))
    assert [finding.rule for finding in gguf.findings] == ["LF5046", "LF5047"]
