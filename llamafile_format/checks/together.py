"""Whether the members of a container fit together: adapters, projectors and drafts with their model (spec/1, 7.12).

Everything is told from metadata and tensor tables; the rules are those by which engines refuse to load, not stricter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import Gguf, TensorInfo
from llamafile_format.weights.projectors import known_to, projector_types, projector_width
from llamafile_format.weights.purpose import GgufKind, recognise_kind

if TYPE_CHECKING:
    from llamafile_format.container import Container

VOCABULARY_DIFFERENCE = 128
"""Tokens by which the vocabularies of a model and its draft may differ."""
FIRST_COMPARED = 5  # token from which on their texts are the same
OWN_VOCABULARY = frozenset({"eagle3", "dflash", "dspark", "gemma4-assistant"})
"""Architectures of drafts that take what they need from the model."""
VOCABULARY_KINDS = {"llama": "SPM", "gpt2": "BPE", "gemma4": "BPE", "bert": "WPM", "t5": "UGM", "rwkv": "RWKV"}
LOW, HIGH = ".lora_a", ".lora_b"


@dataclass(frozen=True, slots=True)
class Piece:
    """A GGUF of a container: its path and role, what it says, and where its data starts (0 before it is written)."""

    path: str
    role: str
    gguf: Gguf
    base: int = 0

    @property
    def kind(self) -> GgufKind:
        """What the GGUF is for."""
        return recognise_kind(self.gguf)


@dataclass(frozen=True, slots=True)
class Model:
    """A model of one file, or of all its shards: the first file speaks for it, tensors are those of all."""

    first: Piece
    tensors: Mapping[str, TensorInfo]
    whole: bool

    @property
    def architecture(self) -> str | None:
        """``general.architecture``."""
        return self.first.gguf.text("general.architecture", 256)

    @property
    def width(self) -> int | None:
        """Numbers in one embedding."""
        return self.first.gguf.integer(f"{self.architecture}.embedding_length")

    @property
    def input_width(self) -> int | None:
        """Numbers in what a projector hands over for one token; None where the formula is not known."""
        keys = [
            key for key in self.first.gguf.entries if key.startswith(f"{self.architecture}.") and "deepstack" in key
        ]
        extra = self.first.gguf.integer(f"{self.architecture}.n_deepstack_layers") or 0
        known = self.architecture not in OWN_VOCABULARY and keys in ([], [f"{self.architecture}.n_deepstack_layers"])
        return self.width * (1 + extra) if known and self.width is not None else None


def pieces_of(container: Container, *, budget: int | None = None) -> Iterator[Piece]:
    """The GGUFs of ``container`` that may have to fit together; ``budget`` bounds the header bytes read of each."""
    for member in container.members:
        usable = member.role in _ROLES and member.stored and member.offset >= 0 and member.size >= 4
        if usable and container.source.read_at(member.offset, 4) == b"GGUF":
            yield Piece(member.path, member.role, container.gguf(member, budget=budget), member.offset)


def check_members_together(container: Container, *, budget: int | None = None) -> list[Finding]:
    """:func:`check_together` for ``container``."""
    manifest = container.manifest
    if manifest is None or not any(member.role in _CHECKS for member in container.members):
        return []
    runs = bool(manifest.with_role("runtime"))
    return check_together(list(pieces_of(container, budget=budget)), default=manifest.default, runs=runs)


def check_together(pieces: Sequence[Piece], *, default: str = "", runs: bool = False) -> list[Finding]:
    """LF5077 to LF5083: what among ``pieces`` fits no model beside it.

    With a runtime inside (``runs``), what it will load goes with the model ``default``; otherwise any model will do.
    Pieces whose headers could not be read whole are left out: that is said elsewhere.
    """
    pieces = [piece for piece in pieces if piece.gguf.complete]
    models = models_of(pieces)
    chosen = [model for model in models if runs and model.first.path == default]
    found: list[Finding] = []
    loaded: set[str] = set()
    for piece in pieces:
        check = _CHECKS.get(piece.role)
        used = piece.role == "adapter" or piece.role not in loaded
        loaded.add(piece.role)
        if check is None or not models:
            continue
        found += _best(check(piece, model) for model in (chosen if chosen and used else models))
    return found


def models_of(pieces: Iterable[Piece]) -> list[Model]:
    """The models among ``pieces``; shards are joined by the name of their set."""
    sets: dict[str, list[Piece]] = {}
    for piece in pieces:
        if piece.role == "weights" and piece.kind in (GgufKind.MODEL, GgufKind.SHARD):
            sets.setdefault(_set_of(piece), []).append(piece)
    found = []
    for shards in sets.values():
        first = min(shards, key=lambda piece: piece.gguf.integer("split.no") or 0)
        count = max(first.gguf.integer("split.count") or 1, 1)
        tensors = {tensor.name: tensor for piece in shards for tensor in piece.gguf.tensors}
        if (first.gguf.integer("split.no") or 0) == 0:
            found.append(Model(first, tensors, len(shards) == count))
    return found


def _set_of(piece: Piece) -> str:
    """What all shards of a model have in common: their name without number, and how many tensors they have together."""
    if (piece.gguf.integer("split.count") or 1) < 2:
        return piece.path
    stem, _, _ = piece.path.rpartition("-of-")
    return f"{stem[:-6]} {piece.gguf.integer('split.tensors.count')} {piece.gguf.integer('split.count')}"


def _best(answers: Iterable[list[Finding]]) -> list[Finding]:
    """What the model has to say that fits best."""
    return min(answers, key=len)


# ---- adapters


def check_adapter(piece: Piece, model: Model) -> list[Finding]:
    """LF5077 to LF5079 for a LoRA, LF5083 for a control vector: the engine's own conditions."""
    if piece.kind is GgufKind.CONTROL_VECTOR:
        return list(_control_vector(piece, model))
    if piece.kind is not GgufKind.ADAPTER:
        return []
    mine, wanted = piece.gguf.text("general.architecture", 256), model.architecture
    if mine != wanted:
        args: dict[str, Value] = {"found": mine or "none", "model": model.first.path, "wanted": wanted or "none"}
        return [_at(piece, "LF5077", "general.architecture", **args)]
    return list(_low_rank(piece, model)) if model.whole else []


def _low_rank(piece: Piece, model: Model) -> Iterator[Finding]:
    """Pairs of factors against the tensors that they change."""
    factors = {tensor.name: tensor for tensor in piece.gguf.tensors}
    said: dict[str, int] = {}
    for name, low in factors.items():
        if not name.endswith(LOW):
            continue
        target = name.removesuffix(LOW)
        high, tensor = factors.get(target + HIGH), model.tensors.get(target)
        if tensor is None:
            rule, args = "LF5078", {"tensor": target, "model": model.first.path}
        elif high is not None and not _changes(target, low, high, tensor):
            rule = "LF5079"
            args = {"tensor": target, "found": f"{_shape(low)} and {_shape(high)}", "wanted": _shape(tensor)}
        else:
            continue
        said[rule] = said.get(rule, 0) + 1
        if said[rule] <= FINDINGS_PER_RULE:
            yield Finding(
                rule, Where(piece.base + low.info_offset, None, piece.path, name), {"path": piece.path, **args}
            )


def _changes(target: str, low: TensorInfo, high: TensorInfo, tensor: TensorInfo) -> bool:
    """True if the product of the factors has the shape of the tensor; for the token embedding, turned around."""
    if target.endswith("token_embd.weight"):
        return (_dim(tensor, 0), _dim(tensor, 1)) == (_dim(high, 1), _dim(low, 1))
    fits = (_dim(tensor, 0), _dim(tensor, 1)) == (_dim(low, 0), _dim(high, 1))
    return fits and _dim(low, 1) == _dim(high, 0)


def _control_vector(piece: Piece, model: Model) -> Iterator[Finding]:
    width = model.width
    for tensor in piece.gguf.tensors:
        if tensor.name.startswith("direction.") and width is not None and tensor.elements != width:
            where = Where(piece.base + tensor.info_offset, None, piece.path, tensor.name)
            args: dict[str, Value] = {"path": piece.path, "found": tensor.elements, "wanted": width}
            yield Finding("LF5083", where, {**args, "model": model.first.path})
            return


# ---- projectors


def check_projector(piece: Piece, model: Model) -> list[Finding]:
    """LF5080: what the projector hands over is as wide as what the model takes."""
    found, wanted = projector_width(piece.gguf), model.input_width
    if found is None or wanted is None or found == wanted:
        return []
    return [_at(piece, "LF5080", "clip.projector_type", found=found, wanted=wanted, model=model.first.path)]


# ---- vocabularies


def check_draft(piece: Piece, model: Model) -> list[Finding]:
    """LF5081: a draft has the model's vocabulary, or the engine does without it."""
    if piece.gguf.text("general.architecture", 256) in OWN_VOCABULARY:
        return []
    reason = _vocabulary(piece.gguf, model.first.gguf)
    return [_at(piece, "LF5081", "tokenizer.ggml.tokens", reason=reason, model=model.first.path)] if reason else []


def check_tokenizer(piece: Piece, model: Model) -> list[Finding]:
    """LF5082: a vocabulary by itself is that of the model."""
    reason = _vocabulary(piece.gguf, model.first.gguf)
    return [_at(piece, "LF5082", "tokenizer.ggml.tokens", reason=reason, model=model.first.path)] if reason else []


def _vocabulary(one: Gguf, other: Gguf) -> str:
    """How two vocabularies differ, as the engine compares them; empty if they do not."""
    kinds = [VOCABULARY_KINDS.get(gguf.text("tokenizer.ggml.model", 64) or "", "") for gguf in (one, other)]
    if all(kinds) and kinds[0] != kinds[1]:
        return f"its vocabulary is of the kind {kinds[0]}, the model's {kinds[1]}"
    for which in ("bos", "eos"):
        flags = [gguf.entries.get(f"tokenizer.ggml.add_{which}_token") for gguf in (one, other)]
        ids = [gguf.integer(f"tokenizer.ggml.{which}_token_id") for gguf in (one, other)]
        adds = [flag is not None and flag.value is True for flag in flags]
        if None not in flags and (adds[0] != adds[1] or (all(adds) and None not in ids and ids[0] != ids[1])):
            return f"it begins or ends texts with another token ({which})"
    tokens = [gguf.array("tokenizer.ggml.tokens") for gguf in (one, other)]
    mine, wanted = tokens
    if mine is None or wanted is None:
        return ""
    if abs(mine.count - wanted.count) > VOCABULARY_DIFFERENCE:
        return f"it has {mine.count} tokens, the model {wanted.count}"
    return ""


_CHECKS = {
    "adapter": check_adapter,
    "projector": check_projector,
    "draft": check_draft,
    "tokenizer": check_tokenizer,
}
_ROLES = frozenset({"weights", *_CHECKS})


# ---- what a runtime takes


def check_taken(piece: Piece, runtimes: Sequence[str]) -> list[Finding]:
    """LF3308: what ``runtimes`` (as NAME@VERSION) refuse whatever the model is; nothing if one is unknown here."""
    if not piece.gguf.complete or not known_to().issuperset(runtimes):
        return []
    reasons: Iterable[str] = ()
    if piece.role == "adapter":
        reasons = _adapter_reasons(piece.gguf)
    elif piece.role == "projector":
        reasons = _projector_reasons(piece.gguf)
    return [_at(piece, "LF3308", "general.type", reason=reason, runtimes=", ".join(runtimes)) for reason in reasons]


def check_template_taken(piece: Piece, runtimes: Sequence[str]) -> list[Finding]:
    """LF3309: the model's chat template, in words that the engine of ``runtimes`` does not parse."""
    from llamafile_format.checks.template_dialect import ENGINES, not_taken
    from llamafile_format.checks.weights import TEMPLATE_KEY, templates_of

    if piece.role != "weights" or not ENGINES.issuperset(runtimes):
        return []
    for key, offset, data in templates_of(piece.gguf):
        if key == TEMPLATE_KEY and (found := not_taken(data)) is not None:
            where = Where(piece.base + offset + found[0], None, piece.path, key)
            args: dict[str, Value] = {"path": piece.path, "what": found[1], "runtimes": ", ".join(runtimes)}
            return [Finding("LF3309", where, args)]
    return []


def _adapter_reasons(gguf: Gguf) -> Iterator[str]:
    declared, kind = gguf.text("general.type", 64), gguf.text("adapter.type", 64)
    if declared != "adapter":
        yield f"its general.type is {declared or 'missing'}, not adapter"
    elif kind != "lora":
        yield f"its adapter.type is {kind or 'missing'}, not lora"
    else:
        names = {tensor.name for tensor in gguf.tensors}
        for name in sorted(names):
            stem, suffix = name[: -len(LOW)], name[-len(LOW) :]
            if suffix not in (LOW, HIGH):
                if not name.endswith("_norm.weight"):
                    yield f"the tensor {name} ends neither in {LOW} nor in {HIGH}"
                    return
            elif stem + (HIGH if suffix == LOW else LOW) not in names:
                yield f"the tensor {name} has no partner"
                return


def _projector_reasons(gguf: Gguf) -> Iterator[str]:
    types = projector_types(gguf)
    if not types:
        yield "it has neither an encoder for images nor one for sound"
    for name, known in types.items():
        if not known:
            yield f"its projector type is {name or 'missing'}"


def _at(piece: Piece, rule: str, key: str, /, **args: Value) -> Finding:
    entry = piece.gguf.entries.get(key)
    offset, length = (piece.base, None) if entry is None else (piece.base + entry.offset, entry.length)
    return Finding(rule, Where(offset, length, piece.path, key), {"path": piece.path, **args})


def _dim(tensor: TensorInfo, index: int) -> int:
    return tensor.dims[index] if index < len(tensor.dims) else 1


def _shape(tensor: TensorInfo) -> str:
    return " x ".join(map(str, tensor.dims))
