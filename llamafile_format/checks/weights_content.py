"""Check that the numbers in a GGUF's metadata can be meant: the faults that crash engines later (spec/1, 7.8).

Each rule stands for a defect that engines had: a count used as an index, a divisor of zero, an array shorter than the
loop over it. Keys that are not there are no fault here; an engine says itself what it misses.
"""

from __future__ import annotations

import re

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.weights.facts import PER_LAYER_MAX, per_layer
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import INTEGER_TYPES, ArrayValue, Gguf, ValueType
from llamafile_format.weights.purpose import GgufKind, recognise_kind

ARCHITECTURE = re.compile(r"[a-z0-9_.-]{1,64}\Z")
BLOCKS_MAX = 512
SIZE_MAX = (1 << 31) - 1
PATCHES_MAX = 1024

INTEGER_KEYS = (
    "block_count",
    "context_length",
    "embedding_length",
    "vocab_size",
    "expert_count",
    "expert_used_count",
    "leading_dense_block_count",
    "rope.dimension_count",
    "attention.key_length",
    "attention.value_length",
    "posnet.block_count",
    "convnext.block_count",
)
LAYER_KEYS = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
TEXT_KEYS = ("general.name", "general.type", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template")
SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")


class Notes:
    """Findings about the entries of one GGUF, placed at the entry's value. Bounded for each rule."""

    def __init__(self, gguf: Gguf, base: int, member: str) -> None:
        self.gguf = gguf
        self.base = base
        self.member = member
        self.findings: list[Finding] = []
        self._seen: dict[str, int] = {}

    def add(self, rule: str, key: str, /, **args: Value) -> None:
        """Record ``rule`` at the entry ``key``, or at no place if the file has no such entry."""
        self._seen[rule] = self._seen.get(rule, 0) + 1
        if self._seen[rule] > FINDINGS_PER_RULE:
            return
        entry = self.gguf.entries.get(key)
        offset, length = (None, None) if entry is None else (self.base + entry.offset, entry.length)
        self.findings.append(Finding(rule, Where(offset, length, self.member, key), {"key": key, **args}))


def check_content(gguf: Gguf, base: int, member: str) -> list[Finding]:
    """Findings about architecture, sizes, heads, experts, projector, split and adapter keys."""
    notes = Notes(gguf, base, member)
    _key_types(notes, [*TEXT_KEYS], ValueType.STRING)
    _split(notes)
    _adapter(notes)
    architecture = _architecture(notes)
    if architecture is not None:
        _sizes(notes, architecture)
        _heads(notes, architecture)
        _projector(notes)
    return notes.findings


def _architecture(notes: Notes) -> str | None:
    """The architecture, or None where the file has none that is usable (a finding says so)."""
    gguf, key = notes.gguf, "general.architecture"
    entry = gguf.entries.get(key)
    if entry is None:
        # a later shard, an importance matrix and a bare vocabulary are complete without one
        if recognise_kind(gguf) not in {GgufKind.SHARD, GgufKind.IMATRIX}:
            notes.add("LF5054", key)
        return None
    if not isinstance(entry.value, str) or not ARCHITECTURE.match(entry.value):
        found = entry.value if isinstance(entry.value, str) else entry.type.name
        notes.add("LF5055", key, found=found)
        return None
    return entry.value


def _key_types(notes: Notes, keys: list[str], *allowed: ValueType) -> None:
    """LF5056 for every one of ``keys`` that is stored with another type."""
    for key in keys:
        entry = notes.gguf.entries.get(key)
        if entry is not None and entry.type not in allowed:
            wanted = "an integer" if ValueType.UINT32 in allowed else allowed[0].name
            notes.add("LF5056", key, found=entry.type.name, wanted=wanted)


def _sizes(notes: Notes, arch: str) -> None:
    """Types and ranges of the sizes that engines allocate and loop by."""
    gguf = notes.gguf
    integers = tuple(INTEGER_TYPES)
    _key_types(notes, [f"{arch}.{key}" for key in INTEGER_KEYS], *integers)
    for key in (f"{arch}.{name}" for name in LAYER_KEYS):
        entry = gguf.entries.get(key)
        if entry is None or entry.type in INTEGER_TYPES:
            continue
        value = entry.value
        if not isinstance(value, ArrayValue) or value.element_type not in INTEGER_TYPES:
            notes.add("LF5056", key, found=entry.type.name, wanted="an integer, or one for each layer")
    blocks = gguf.integer(f"{arch}.block_count")
    if blocks is not None and not 1 <= blocks <= BLOCKS_MAX:
        notes.add("LF5057", f"{arch}.block_count", found=blocks, limit=BLOCKS_MAX)
    for part in ("posnet", "convnext"):
        key = f"{arch}.{part}.block_count"
        count = gguf.integer(key)
        if count is not None and blocks is not None and count > blocks:
            notes.add("LF5058", key, found=count, blocks=blocks)
    for name in ("context_length", "embedding_length"):
        size = gguf.integer(f"{arch}.{name}")
        if size is not None and not 1 <= size <= SIZE_MAX:
            notes.add("LF5059", f"{arch}.{name}", found=size)
    experts, used = gguf.integer(f"{arch}.expert_count"), gguf.integer(f"{arch}.expert_used_count")
    if experts is not None and used is not None and used > experts:
        notes.add("LF5071", f"{arch}.expert_used_count", found=used, experts=experts)


def _heads(notes: Notes, arch: str) -> None:
    """Attention heads: divisible where engines divide; per-layer arrays as long as there are layers."""
    gguf = notes.gguf
    blocks = gguf.integer(f"{arch}.block_count")
    for name in LAYER_KEYS:
        key = f"{arch}.{name}"
        array = gguf.array(key)
        if array is not None and blocks is not None and (array.count != blocks or array.count > PER_LAYER_MAX):
            notes.add("LF5062", key, found=array.count, blocks=blocks)
    heads = per_layer(gguf, f"{arch}.attention.head_count")
    kv_heads = per_layer(gguf, f"{arch}.attention.head_count_kv")
    layers = max(len(heads), len(kv_heads))
    if heads and kv_heads and {len(heads), len(kv_heads)} <= {1, layers}:
        pairs = zip(_spread(heads, layers), _spread(kv_heads, layers), strict=True)
        wrong = next(((head, kv) for head, kv in pairs if kv < 0 or (head and kv and head % kv)), None)
        if wrong:  # 0 is legal: a layer without attention
            notes.add("LF5060", f"{arch}.attention.head_count_kv", heads=wrong[0], kv_heads=wrong[1])
    embedding = gguf.integer(f"{arch}.embedding_length")
    if f"{arch}.attention.key_length" not in gguf.entries and embedding:
        odd = next((head for head in heads if head < 0 or (head and embedding % head)), None)
        if odd is not None:
            notes.add("LF5061", f"{arch}.attention.head_count", heads=odd, embedding=embedding)


def _spread(values: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """One value for each layer."""
    return values * layers if len(values) == 1 else values


def _projector(notes: Notes) -> None:
    """LF5069: an image of at most 1024 x 1024 patches; engines size tables on the stack by that."""
    image, patch = notes.gguf.integer("clip.vision.image_size"), notes.gguf.integer("clip.vision.patch_size")
    if image is not None and patch is not None and not (patch > 0 and 0 < image <= patch * PATCHES_MAX):
        notes.add("LF5069", "clip.vision.patch_size", image=image, patch=patch, limit=PATCHES_MAX)


def _split(notes: Notes) -> None:
    """LF5070: the three split keys agree with each other and with this shard."""
    gguf = notes.gguf
    _key_types(notes, list(SPLIT_KEYS), *INTEGER_TYPES)
    number, count, tensors = (gguf.integer(key) for key in SPLIT_KEYS)
    if number is None and count is None:
        return
    if number is None or count is None or not 0 <= number < count:
        notes.add("LF5070", "split.no", found="none" if number is None else number, count=count or 0)
    elif tensors is not None and tensors < len(gguf.tensors):
        notes.add("LF5070", "split.tensors.count", found=tensors, count=len(gguf.tensors))


def _adapter(notes: Notes) -> None:
    """LF5072: every low-rank factor has its partner, of the same rank."""
    if recognise_kind(notes.gguf) is not GgufKind.ADAPTER:
        return
    factors = {tensor.name: tensor for tensor in notes.gguf.tensors}
    for name in factors:
        stem, _, suffix = name.rpartition(".")
        if suffix in {"lora_a", "lora_b"}:
            partner = f"{stem}.lora_{'b' if suffix == 'lora_a' else 'a'}"
            if partner not in factors:
                notes.add("LF5072", name, partner=partner)
