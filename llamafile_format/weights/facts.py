"""What a GGUF says about its model, gathered for people (spec/1, 7.9). Nothing is inferred from names.

Parameters, bytes and bits are counted from the tensor table; the rest is quoted from the metadata as it stands there,
unverified, and may contain anything: escape it on output. The records are named tuples: nine dataclasses would take
longer to define than the largest vocabulary takes to read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.gguf_model import INTEGER_TYPES, Gguf, TextValue
from llamafile_format.weights.purpose import GgufKind, recognise_kind, recognise_role
from llamafile_format.weights.tensor_types import type_name

__all__ = ["ModelFacts", "describe", "per_layer", "recognise_role"]

SHORT = 4096
"""Longest text quoted, in bytes."""

PER_LAYER_MAX = 4096
"""Longest per-layer array that is read."""


class TypeShare(NamedTuple):
    """One tensor type of the mix: ``size`` bytes in ``tensors`` tensors of ``elements`` numbers; ``share`` of bytes."""

    type: str
    tensors: int
    elements: int
    size: int
    share: float


class TemplateFacts(NamedTuple):
    """A chat template: ``name`` is ``""`` for the default one, ``sha256`` of its bytes, ``size`` in bytes."""

    name: str
    sha256: str
    size: int


class SplitFacts(NamedTuple):
    """This shard is ``number`` (from 0) of ``shards``; ``tensors`` counts those of all shards."""

    number: int | None
    shards: int | None
    tensors: int | None


class AdapterFacts(NamedTuple):
    """``rank`` is the largest inner dimension found, ``targets`` how many tensors are adapted."""

    type: str
    alpha: float | None
    rank: int | None
    targets: int
    task: str | None
    prompt_prefix: str | None
    invocation_tokens: int


class ProjectorFacts(NamedTuple):
    """A multimodal projector; sizes in pixels."""

    type: str | None
    vision: bool
    audio: bool
    image_size: int | None
    patch_size: int | None
    projection: int | None


class ImatrixFacts(NamedTuple):
    """What the quantiser says about the importance matrix that it used."""

    file: str | None
    dataset: str | None
    entries: int | None
    chunks: int | None


class BaseModel(NamedTuple):
    """A model that this one says it was made from."""

    name: str | None
    organization: str | None
    version: str | None
    url: str | None


class ModelFacts(NamedTuple):
    """Everything that ``inspect`` says about one GGUF. None where the file does not say."""

    kind: GgufKind
    gguf_version: int
    byte_order: str
    architecture: str | None
    name: str | None
    parameters: int
    tensors: int
    tensor_bytes: int
    bits_per_weight: float | None
    mix: tuple[TypeShare, ...]
    file_type: str | None
    context_length: int | None
    layers: int | None
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    embedding: int | None
    feed_forward: tuple[int, ...]
    experts: int | None
    experts_used: int | None
    sliding_window: int | None
    vocabulary: int | None
    tokenizer_model: str | None
    tokenizer_pre: str | None
    templates: tuple[TemplateFacts, ...]
    licence: str | None
    licence_name: str | None
    licence_link: str | None
    author: str | None
    organization: str | None
    description: str | None
    url: str | None
    quantised_by: str | None
    size_label: str | None
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    base_models: tuple[BaseModel, ...]
    datasets: tuple[str, ...]
    split: SplitFacts | None
    adapter: AdapterFacts | None
    projector: ProjectorFacts | None
    imatrix: ImatrixFacts | None


def per_layer(gguf: Gguf, key: str) -> tuple[int, ...]:
    """The integers under ``key``: one number, or one a layer; empty if absent, no integers, or absurdly many."""
    number = gguf.integer(key)
    if number is not None:
        return (number,)
    array = gguf.array(key)
    if array is None or array.element_type not in INTEGER_TYPES or array.count > PER_LAYER_MAX:
        return ()
    return tuple(value for value in array if isinstance(value, int))


def describe(gguf: Gguf) -> ModelFacts:
    """Gather the facts. Reads short arrays and chat templates from the source; raises SourceError only."""
    kind = recognise_kind(gguf)
    architecture = gguf.text("general.architecture", SHORT)
    mix = _mix(gguf)
    parameters = sum(share.elements for share in mix)
    size = sum(share.size for share in mix)

    def text(key: str) -> str | None:
        """The text at ``key``, if it is there and short."""
        return gguf.text(key, SHORT)

    def of_model(key: str) -> str:
        """``key`` as this architecture names it."""
        return f"{architecture}.{key}"

    return ModelFacts(
        kind=kind,
        gguf_version=gguf.version,
        byte_order=gguf.byte_order,
        architecture=architecture,
        name=text("general.name"),
        parameters=parameters,
        tensors=len(gguf.tensors),
        tensor_bytes=size,
        bits_per_weight=size * 8 / parameters if parameters else None,
        mix=mix,
        file_type=_file_type(gguf),
        context_length=gguf.integer(of_model("context_length")),
        layers=gguf.integer(of_model("block_count")),
        heads=per_layer(gguf, of_model("attention.head_count")),
        kv_heads=per_layer(gguf, of_model("attention.head_count_kv")),
        embedding=gguf.integer(of_model("embedding_length")),
        feed_forward=per_layer(gguf, of_model("feed_forward_length")),
        experts=gguf.integer(of_model("expert_count")) or None,
        experts_used=gguf.integer(of_model("expert_used_count")) or None,
        sliding_window=gguf.integer(of_model("attention.sliding_window")) or None,
        vocabulary=_vocabulary(gguf, architecture),
        tokenizer_model=text("tokenizer.ggml.model"),
        tokenizer_pre=text("tokenizer.ggml.pre"),
        templates=_templates(gguf),
        licence=text("general.license"),
        licence_name=text("general.license.name"),
        licence_link=text("general.license.link"),
        author=text("general.author"),
        organization=text("general.organization"),
        description=text("general.description"),
        url=text("general.url") or text("general.repo_url") or text("general.source.url"),
        quantised_by=text("general.quantized_by"),
        size_label=text("general.size_label"),
        languages=_strings(gguf, "general.languages"),
        tags=_strings(gguf, "general.tags"),
        base_models=_base_models(gguf),
        datasets=_strings(gguf, "general.datasets"),
        split=_split(gguf),
        adapter=_adapter(gguf) if kind in {GgufKind.ADAPTER, GgufKind.CONTROL_VECTOR} else None,
        projector=_projector(gguf) if kind is GgufKind.PROJECTOR else None,
        imatrix=_imatrix(gguf),
    )


def _mix(gguf: Gguf) -> tuple[TypeShare, ...]:
    """Tensor types by bytes, largest first. Tensors of unknown size count with 0 bytes."""
    tensors: Counter[int] = Counter()
    elements: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for tensor in gguf.tensors:
        tensors[tensor.type_id] += 1
        elements[tensor.type_id] += tensor.elements
        sizes[tensor.type_id] += tensor.size_bytes or 0
    total = sum(sizes.values())
    order = sorted(tensors, key=lambda ident: (-sizes[ident], ident))
    return tuple(
        TypeShare(type_name(i), tensors[i], elements[i], sizes[i], sizes[i] / total if total else 0.0) for i in order
    )


def _file_type(gguf: Gguf) -> str | None:
    """The quantiser's own label, such as ``Q4_K_M``."""
    number = gguf.integer("general.file_type")
    if number is None:
        return None
    return str(spec_yaml("registry/gguf-file-types.yaml")["file_types"].get(number, f"file type {number}"))


def _vocabulary(gguf: Gguf, architecture: str | None) -> int | None:
    """Number of tokens: of the token array, else as the model says."""
    tokens = gguf.array("tokenizer.ggml.tokens")
    return tokens.count if tokens is not None else gguf.integer(f"{architecture}.vocab_size")


def _templates(gguf: Gguf) -> tuple[TemplateFacts, ...]:
    """Digest of every chat template, the default one first."""
    found = []
    for key, entry in gguf.entries.items():
        if key != "tokenizer.chat_template" and not key.startswith("tokenizer.chat_template."):
            continue
        name = key.removeprefix("tokenizer.chat_template").removeprefix(".")
        if isinstance(entry.value, TextValue):
            digest = hashlib.sha256()
            for piece in entry.value.windows():
                digest.update(piece)
            found.append(TemplateFacts(name, digest.hexdigest(), entry.value.length))
        elif isinstance(entry.value, str):
            raw = entry.value.encode()
            found.append(TemplateFacts(name, hashlib.sha256(raw).hexdigest(), len(raw)))
    return tuple(sorted(found, key=lambda template: template.name))


def _strings(gguf: Gguf, key: str, limit: int = 32) -> tuple[str, ...]:
    """The first ``limit`` strings of an array, each cut to a line's length; a lone string counts as one."""
    array = gguf.array(key)
    if array is None:
        alone = gguf.text(key, SHORT)
        return () if alone is None else (alone,)
    return tuple(value[:200] for value in array.first(limit) if isinstance(value, str))


def _base_models(gguf: Gguf) -> tuple[BaseModel, ...]:
    count = min(gguf.integer("general.base_model.count") or 0, 32)
    stems = [f"general.base_model.{index}." for index in range(count)]
    return tuple(
        BaseModel(
            gguf.text(stem + "name", SHORT),
            gguf.text(stem + "organization", SHORT),
            gguf.text(stem + "version", SHORT),
            gguf.text(stem + "repo_url", SHORT) or gguf.text(stem + "url", SHORT),
        )
        for stem in stems
    )


def _split(gguf: Gguf) -> SplitFacts | None:
    number, count = gguf.integer("split.no"), gguf.integer("split.count")
    if count is None and number is None:
        return None
    return SplitFacts(number, count, gguf.integer("split.tensors.count"))


def _adapter(gguf: Gguf) -> AdapterFacts:
    low = [tensor for tensor in gguf.tensors if tensor.name.endswith(".lora_a") and len(tensor.dims) > 1]
    alpha = gguf.number("adapter.lora.alpha")
    tokens = gguf.array("adapter.alora.invocation_tokens")
    architecture = gguf.text("general.architecture", SHORT)
    return AdapterFacts(
        type=gguf.text("adapter.type", 64) or ("control vector" if architecture == "controlvector" else "unknown"),
        alpha=None if alpha is None else float(alpha),
        rank=max((tensor.dims[1] for tensor in low), default=None),
        targets=len(low) or len(gguf.tensors),
        task=gguf.text("adapter.lora.task_name", SHORT),
        prompt_prefix=gguf.text("adapter.lora.prompt_prefix", SHORT),
        invocation_tokens=0 if tokens is None else tokens.count,
    )


def _projector(gguf: Gguf) -> ProjectorFacts:
    vision, audio = "clip.has_vision_encoder", "clip.has_audio_encoder"
    metadata = gguf.entries
    kind = next(
        (
            found
            for key in ("clip.projector_type", "clip.vision.projector_type", "clip.audio.projector_type")
            if (found := gguf.text(key, 64)) is not None
        ),
        None,
    )
    return ProjectorFacts(
        type=kind,
        vision=vision in metadata and metadata[vision].value is True,
        audio=audio in metadata and metadata[audio].value is True,
        image_size=gguf.integer("clip.vision.image_size"),
        patch_size=gguf.integer("clip.vision.patch_size"),
        projection=gguf.integer("clip.vision.projection_dim") or gguf.integer("clip.audio.projection_dim"),
    )


def _imatrix(gguf: Gguf) -> ImatrixFacts | None:
    if not any(key.startswith("quantize.imatrix.") for key in gguf.entries):
        return None
    return ImatrixFacts(
        gguf.text("quantize.imatrix.file", SHORT),
        gguf.text("quantize.imatrix.dataset", SHORT),
        gguf.integer("quantize.imatrix.entries_count"),
        gguf.integer("quantize.imatrix.chunks_count"),
    )
