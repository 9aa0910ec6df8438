"""Tell what a GGUF is for from what it says, never from its file name (spec/1.0, 7.9.1)."""

from __future__ import annotations

from enum import Enum

from llamafile_format.weights.gguf_model import Gguf


class GgufKind(Enum):
    """What a GGUF holds. The value is the word that reports use."""

    MODEL = "model"
    SHARD = "model shard"
    ADAPTER = "adapter"
    CONTROL_VECTOR = "control vector"
    PROJECTOR = "projector"
    IMATRIX = "importance matrix"
    VOCABULARY = "vocabulary only"
    OTHER = "other"


ROLES = {
    GgufKind.MODEL: "weights",
    GgufKind.SHARD: "weights",
    GgufKind.ADAPTER: "adapter",
    GgufKind.CONTROL_VECTOR: "adapter",
    GgufKind.PROJECTOR: "projector",
    GgufKind.IMATRIX: "asset",
    GgufKind.VOCABULARY: "tokenizer",
    GgufKind.OTHER: "asset",
}


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
    if gguf.declared_tensors and architecture is not None:
        return GgufKind.MODEL
    if not gguf.declared_tensors and gguf.array("tokenizer.ggml.tokens") is not None:
        return GgufKind.VOCABULARY
    return GgufKind.OTHER


def recognise_role(gguf: Gguf) -> str:
    """The member role for ``gguf``: ``weights``, ``projector``, ``adapter``, ``tokenizer`` or ``asset``."""
    return ROLES[recognise_kind(gguf)]
