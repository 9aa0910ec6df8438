"""Tell what a GGUF is for from what it says, never from its file name (spec/1, 7.9.1)."""

from __future__ import annotations

from enum import Enum

from llamafile_format.weights.gguf_model import Gguf


class GgufKind(Enum):
    """What a GGUF holds. The value is the word that reports use."""

    MODEL = "model"
    SHARD = "model shard"
    ADAPTER = "adapter"
    LORA = "LoRA checkpoint"
    CONTROL_VECTOR = "control vector"
    PROJECTOR = "projector"
    IMATRIX = "importance matrix"
    VOCABULARY = "vocabulary only"
    DIFFUSION = "diffusion model"
    DECODER = "image decoder"
    SPEECH = "speech model"
    OTHER = "other"


ROLES = {
    GgufKind.MODEL: "weights",
    GgufKind.SHARD: "weights",
    GgufKind.ADAPTER: "adapter",
    GgufKind.LORA: "asset",  # no engine of language models opens it: it lacks the keys of an adapter
    GgufKind.CONTROL_VECTOR: "adapter",
    GgufKind.PROJECTOR: "projector",
    GgufKind.IMATRIX: "asset",
    GgufKind.VOCABULARY: "tokenizer",
    GgufKind.DIFFUSION: "weights",
    GgufKind.DECODER: "asset",
    GgufKind.SPEECH: "weights",
    GgufKind.OTHER: "asset",
}


DIFFUSION_ARCHITECTURES = frozenset(
    (
        *("aura", "cosmos", "flux", "flux2", "hidream", "hyvid", "lens", "ltxv", "lumina2"),
        *("qwen_image", "sd1", "sd3", "sdxl", "wan", "z_image"),
    )
)
SPEECH_ARCHITECTURES = frozenset({"bark", "dia", "kokoro", "parler-tts", "whisper"})
DECODER_ARCHITECTURES = frozenset({"pig", "vae"})
"""Values of ``general.architecture`` that converters outside of llama.cpp write (clause 7.9.1)."""

_LORA_ENDS = (
    ".lora_a",
    ".lora_b",
    ".lora_A.weight",
    ".lora_B.weight",
    ".lora_down.weight",
    ".lora_up.weight",
)
_DIFFUSION_STARTS = ("model.diffusion_model.", "double_blocks.", "joint_blocks.")
_DECODER_STARTS = ({"encoder", "decoder"}, {"encoder", "decoder", "quant_conv", "post_quant_conv"}, {"decoder"})
_STAGE = "first_stage_model"


def recognise_kind(gguf: Gguf) -> GgufKind:
    """The first of the clauses of 7.9.1 that holds."""
    declared = gguf.text("general.type", 64)
    architecture = gguf.text("general.architecture", 256)
    if declared == "imatrix" or "imatrix.chunk_count" in gguf.entries:
        return GgufKind.IMATRIX
    if architecture == "controlvector":
        return GgufKind.CONTROL_VECTOR
    if declared == "adapter" or "adapter.type" in gguf.entries:
        return GgufKind.ADAPTER
    if declared == "mmproj" or architecture == "clip":
        return GgufKind.PROJECTOR
    if (gguf.integer("split.count") or 0) > 1:
        return GgufKind.SHARD
    if (other := _no_language_model(gguf, architecture)) is not None:
        return other
    if gguf.declared_tensors and architecture is not None:
        return GgufKind.MODEL
    if not gguf.declared_tensors and gguf.array("tokenizer.ggml.tokens") is not None:
        return GgufKind.VOCABULARY
    return GgufKind.OTHER


def _no_language_model(gguf: Gguf, architecture: str | None) -> GgufKind | None:
    """What else uses the format: the field's tools name it as the architecture, or leave the names of the tensors."""
    names = [tensor.name for tensor in gguf.tensors]
    if any(name.endswith(_LORA_ENDS) for name in names):
        return GgufKind.LORA
    if architecture in DIFFUSION_ARCHITECTURES or any(name.startswith(_DIFFUSION_STARTS) for name in names):
        return GgufKind.DIFFUSION
    if architecture in SPEECH_ARCHITECTURES:
        return GgufKind.SPEECH
    starts = {name.partition(".")[0] for name in names}
    if architecture in DECODER_ARCHITECTURES or starts in _DECODER_STARTS or _STAGE in starts:
        return GgufKind.DECODER
    return None


def recognise_role(gguf: Gguf) -> str:
    """The member role for ``gguf``: ``weights``, ``projector``, ``adapter``, ``tokenizer`` or ``asset``."""
    return ROLES[recognise_kind(gguf)]
