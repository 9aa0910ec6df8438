"""Members that go together (7.12, 14.1.9): adapters, projectors, drafts and vocabularies beside a model of width 32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, license_, readme
from spec.vectors.generate.gguf_builder import BOOL, F32, STRING, U32, V3, model_entries, vocabulary
from spec.vectors.generate.runtimes import PIN, PROGRAM, UNKNOWN, built

ORDER = ("readme", "document", "license", "tokenizer", "runtime", "weights", "projector", "adapter", "draft")
WORDS = ("<unk>", "<s>", "</s>", "<0x0A>", "hello", "world")
PINNED = "runtimes/llama.cpp/0.3.36/"

Shape = tuple[str, Sequence[int]]


def gguf(entries: Sequence[bytes], *shapes: Shape) -> bytes:
    """A GGUF with tensors of zeros, F32."""
    rows, at = [], 0
    for name, dims in shapes:
        rows.append(V3.tensor(name, dims, 0, at))
        size = 4
        for length in dims:
            size *= length
        at += -(-size // 32) * 32
    return V3.build(entries, rows, bytes(at))


def blocks(width: int) -> list[tuple[str, tuple[int, ...]]]:
    """What stands between the embedding and the end of a model of two blocks."""
    return [
        ("blk.0.attn_q.weight", (width, 16)),
        ("blk.1.attn_q.weight", (width, 16)),
        ("output_norm.weight", (width,)),
    ]


def model(*more: bytes, **sizes: int) -> bytes:
    """The model: a vocabulary of six tokens, width 32."""
    entries = [*model_entries(**sizes), *vocabulary(WORDS), *more]
    return gguf(entries, ("token_embd.weight", (32, 6)), *blocks(32))


def lora(*shapes: Shape, architecture: str = "llama", general: str = "adapter", kind: str = "lora") -> bytes:
    """A low-rank adapter of rank 4."""
    entries = [
        V3.entry("general.architecture", STRING, architecture),
        V3.entry("general.type", STRING, general),
        V3.entry("adapter.type", STRING, kind),
        V3.entry("adapter.lora.alpha", F32, 8.0),
    ]
    return gguf(entries, *(shapes or pair()))


def pair(
    name: str = "blk.0.attn_q.weight", low: tuple[int, int] = (32, 4), high: tuple[int, int] = (4, 16)
) -> list[Shape]:
    """The two factors for the tensor ``name``."""
    return [(f"{name}.lora_a", low), (f"{name}.lora_b", high)]


def direction(width: int) -> bytes:
    """A control vector."""
    return gguf([V3.entry("general.architecture", STRING, "controlvector")], ("direction.1", (width,)))


def projector(width: int = 32, kind: str = "gemma3", vision: int = 1) -> bytes:
    """A projector that hands over ``width`` numbers."""
    entries = [
        V3.entry("general.architecture", STRING, "clip"),
        V3.entry("clip.has_vision_encoder", BOOL, vision),
        V3.entry("clip.projector_type", STRING, kind),
        V3.entry("clip.vision.image_size", U32, 16),
        V3.entry("clip.vision.patch_size", U32, 8),
    ]
    return gguf(entries, ("mm.input_projection.weight", (width, 8)))


def draft(kind: str = "llama", extra: int = 0, *more: bytes) -> bytes:
    """A smaller model for the same texts, with ``extra`` tokens of its own."""
    words = [*WORDS, *(f"w{index}" for index in range(extra))]
    entries = [*model_entries(embedding_length=16), *vocabulary(words, [1] * len(words), kind), *more]
    return gguf(entries, ("token_embd.weight", (16, len(words))))


def words(extra: int = 0) -> bytes:
    """A vocabulary by itself."""
    tokens = [*WORDS, *(f"w{index}" for index in range(extra))]
    return gguf([V3.entry("general.architecture", STRING, "llama"), *vocabulary(tokens, [1] * len(tokens))])


def beside(role: str, data: bytes) -> Part:
    """A member of ``role`` beside the model."""
    mapped = role != "tokenizer"
    return Part(f"{role}.gguf", data, role, "application/x-gguf", 32 if mapped else 1)


def put(*more: Part, model_data: bytes | None = None, default: str = "model.gguf") -> bytes:
    """The model and what goes with it."""
    weights = Part("model.gguf", model() if model_data is None else model_data, "weights", "application/x-gguf", 32)
    parts = sorted((readme(), license_(), weights, *more), key=lambda part: (ORDER.index(part.role), part.path))
    return container(Spec(parts, labels={"default": default}))


def pinned() -> tuple[Part, Part]:
    """A pin under the name of an engine that the registry of projectors knows, and its build."""
    text = PIN.replace("name: tiny\n", "name: llama.cpp\n", 1).replace('version: "1.0"\n', 'version: "0.3.36"\n', 1)
    text = text.replace("[llama]", "[llama, clip, controlvector]")
    return (
        Part(PINNED + "runtime.yaml", text.encode(), "document", "application/yaml"),
        Part(PINNED + "native/linux-x86_64", PROGRAM, "runtime", "application/octet-stream", 32, 0o100755),
    )


_NEAR = "LF3308 LF5077 LF5078 LF5079 LF5080 LF5081 LF5082 LF5083"


@built("good", near=_NEAR, comment="Everything that goes with a model, and an engine that takes it.")
def good() -> bytes:
    embedding = [("token_embd.weight.lora_a", (4, 6)), ("token_embd.weight.lora_b", (4, 32))]
    return put(
        beside("projector", projector()),
        beside("adapter", lora(*pair(), *embedding)),
        beside("draft", draft(extra=128)),
        beside("tokenizer", words(128)),
        *pinned(),
    )


@vector("good-of-two", near=_NEAR, comment="Two models of different width, and what belongs to the second.")
def good_of_two() -> bytes:
    wide = gguf([*model_entries(embedding_length=64), *vocabulary(WORDS)], ("token_embd.weight", (64, 6)))
    other = Part("wide.gguf", wide, "weights", "application/x-gguf", 32)
    return put(other, beside("projector", projector(64)), beside("adapter", direction(64)))


@vector("good-without-model", near=_NEAR, comment="An adapter by itself: nothing to compare it with.")
def good_without_model() -> bytes:
    parts = sorted((readme(), license_(), beside("adapter", lora())), key=lambda part: ORDER.index(part.role))
    return container(Spec(parts))


def _bad(name: str, rules: str, comment: str, maker: Callable[[], bytes]) -> None:
    vector(name, rules=rules, layer="content", comment=comment)(maker)


def _doubtful(name: str, rules: str, comment: str, maker: Callable[[], bytes]) -> None:
    vector(name, rules=rules, comment=comment)(maker)


_bad(
    "adapter-of-another-architecture",
    "LF5077",
    "A LoRA for another architecture.",
    lambda: put(beside("adapter", lora(architecture="qwen3"))),
)
_bad(
    "adapter-for-a-tensor-that-is-not-there",
    "LF5078",
    "A LoRA for a third layer.",
    lambda: put(beside("adapter", lora(*pair("blk.2.attn_q.weight")))),
)
_bad(
    "adapter-of-another-width",
    "LF5079",
    "A LoRA for a model of twice the width.",
    lambda: put(beside("adapter", lora(*pair(low=(64, 4))))),
)
_bad(
    "adapter-turned-around",
    "LF5079",
    "A first factor that is not transposed.",
    lambda: put(beside("adapter", lora(*pair(low=(32, 4), high=(8, 16))))),
)
_bad(
    "adapter-for-the-other-model",
    f"LF5079 {UNKNOWN}",
    "It fits the second model, and will be loaded with the first.",
    lambda: put(
        Part(
            "wide.gguf",
            gguf(
                [*model_entries(embedding_length=64), V3.entry("tokenizer.ggml.model", STRING, "none")],
                ("token_embd.weight", (64, 6)),
                *blocks(64),
            ),
            "weights",
            "application/x-gguf",
            32,
        ),
        beside("adapter", lora(*pair(low=(64, 4)))),
        *pinned(),
    ),
)
_bad(
    "projector-of-another-width",
    "LF5080",
    "128 numbers for a model that takes 32.",
    lambda: put(beside("projector", projector(128))),
)
_bad(
    "control-vector-of-another-width",
    "LF5083",
    "Directions of 64 numbers.",
    lambda: put(beside("adapter", direction(64))),
)
_doubtful(
    "draft-of-another-kind",
    "LF5081",
    "A draft with a vocabulary of another kind.",
    lambda: put(beside("draft", draft("gpt2", 0, V3.array("tokenizer.ggml.merges", STRING, ["h e"])))),
)
_doubtful(
    "draft-with-more-tokens", "LF5081", "A draft with 129 more tokens.", lambda: put(beside("draft", draft(extra=129)))
)
_doubtful(
    "vocabulary-of-another",
    "LF5082",
    "A vocabulary with 129 more tokens.",
    lambda: put(beside("tokenizer", words(129))),
)
_bad(
    "projector-type-unknown",
    f"LF3308 {UNKNOWN}",
    "A type of projector that the engine does not know.",
    lambda: put(beside("projector", projector(kind="holographic")), *pinned()),
)
_bad(
    "projector-without-encoder",
    f"LF3308 {UNKNOWN}",
    "A projector that sees and hears nothing.",
    lambda: put(beside("projector", projector(vision=0)), *pinned()),
)
_bad(
    "adapter-of-a-kind-that-is-not-taken",
    f"LF3308 {UNKNOWN}",
    "An adapter, but no LoRA.",
    lambda: put(beside("adapter", lora(kind="ia3")), *pinned()),
)
_bad(
    "control-vector-as-adapter",
    f"LF3308 {UNKNOWN}",
    "The engine takes it for a LoRA, and refuses it.",
    lambda: put(beside("adapter", direction(32)), *pinned()),
)


def spoken(template: str) -> bytes:
    """The model with a chat template."""
    return model(V3.entry("tokenizer.chat_template", STRING, template))


_bad(
    "template-that-is-not-parsed",
    f"LF3309 {UNKNOWN}",
    "A tag of Jinja that the engine does not have.",
    lambda: put(*pinned(), model_data=spoken("{% with a = 1 %}{{ a }}{% endwith %}")),
)
_bad(
    "template-with-an-escape",
    f"LF3309 {UNKNOWN}",
    "An escape that the engine does not have.",
    lambda: put(*pinned(), model_data=spoken("{{ messages[0].content|replace('\\x0c', '') }}")),
)


@built("good-template", near="LF3309", comment="Marks that the engine passes over, escapes that it has, and text.")
def good_template() -> bytes:
    return put(*pinned(), model_data=spoken("{% generation %}{{ 'a\\n' }}{% endgeneration %}\\x ** // with"))


@vector("good-template-elsewhere", near="LF3309", comment="Nothing inside would parse it.")
def good_template_elsewhere() -> bytes:
    return put(model_data=spoken("{% with a = 1 %}{{ a }}{% endwith %}"))


@built(
    "good-type-of-later", near="LF3308", comment="An unknown type, and an engine of which the registry knows nothing."
)
def good_type_of_later() -> bytes:
    folder = "runtimes/tiny/1.0/"
    pin = PIN.replace("[llama]", "[llama, clip]").encode()
    return put(
        beside("projector", projector(kind="holographic")),
        Part(folder + "runtime.yaml", pin, "document", "application/yaml"),
        Part(folder + "native/linux-x86_64", PROGRAM, "runtime", "application/octet-stream", 32, 0o100755),
    )
