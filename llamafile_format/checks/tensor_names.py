"""Tensors that are missing, that nothing would load, or of another shape (spec/1, 7.14.4). The header alone is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from llamafile_format.findings import Finding, Where
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.purpose import GgufKind, recognise_kind

UNIFORM = frozenset(
    (
        *("llama", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "gemma", "gemma2", "gemma3", "phi2", "phi3", "olmo2"),
        *("gpt2", "gptneox", "starcoder", "starcoder2", "stablelm", "falcon", "mpt", "bloom", "internlm2"),
    )
)
"""Architectures whose blocks all have the same weights, and that begin with an embedding and end with a norm."""

OF_THE_WHOLE = ("token_embd.weight", "output_norm.weight")
GATE = "ffn_gate.weight"  # without it a matrix may hold two halves
FEED_FORWARD = {GATE: 1, "ffn_up.weight": 1, "ffn_down.weight": 0}
"""Which dimension of a matrix of a block is ``feed_forward_length``."""
BLOCK = re.compile(r"blk\.([0-9]{1,9})\.(.+)\Z")
WEIGHT = re.compile(r".+\.(?:weight|bias)\Z")


def check_tensor_names(gguf: Gguf, base: int, member: str) -> list[Finding]:
    """LF5095, LF5096 and LF5120 for a whole model that has blocks. Shards are judged by none: others hold the rest."""
    blocks = gguf.integer(f"{gguf.text('general.architecture', 64)}.block_count")
    if not gguf.complete or recognise_kind(gguf) is not GgufKind.MODEL or not blocks or blocks < 0:
        return []
    there: dict[int, set[str]] = {}
    for tensor in gguf.tensors:
        if found := BLOCK.match(tensor.name):
            there.setdefault(int(found[1]), set()).add(found[2])
    if not there:
        return []
    findings = [*_surplus(gguf, base, member, blocks)]
    if gguf.text("general.architecture", 64) in UNIFORM:
        findings += _missing(gguf, member, there, blocks)
        findings += islice(_shapes(gguf, base, member), FINDINGS_PER_RULE)
    return findings


def _shapes(gguf: Gguf, base: int, member: str) -> Iterator[Finding]:
    """Embedding and feed-forward matrices whose sizes are others than metadata say: engines compare them."""
    architecture = gguf.text("general.architecture", 64)
    gated = {found[1] for tensor in gguf.tensors if (found := BLOCK.match(tensor.name)) and found[2] == GATE}
    for tensor in gguf.tensors:
        found = BLOCK.match(tensor.name)
        if len(tensor.dims) != 2:
            continue
        if tensor.name == OF_THE_WHOLE[0]:
            key, axis = f"{architecture}.embedding_length", 0
        elif found and found[2] in FEED_FORWARD and found[1] in gated:
            key, axis = f"{architecture}.feed_forward_length", FEED_FORWARD[found[2]]
        else:
            continue
        said = gguf.integer(key)
        if said is not None and said != tensor.dims[axis]:
            where = Where(base + tensor.info_offset, None, member, tensor.name)
            yield Finding("LF5120", where, {"tensor": tensor.name, "size": tensor.dims[axis], "key": key, "said": said})


def _missing(gguf: Gguf, member: str, there: dict[int, set[str]], blocks: int) -> list[Finding]:
    """What most blocks have and one has not; a block without anything; embedding and last norm."""
    names = {tensor.name for tensor in gguf.tensors}
    lacking = [name for name in OF_THE_WHOLE if name not in names]
    counts = Counter(name for number, parts in there.items() if number < blocks for name in parts)
    common = [name for name, count in counts.items() if 2 * count > len(there) and WEIGHT.match(name)]
    for number in range(blocks if common else 0):  # each has tensors or adds a name, so few are looked at
        lacking += [f"blk.{number}.{name}" for name in common if name not in there.get(number, ())]
        if len(lacking) > FINDINGS_PER_RULE:
            break
    args = {"found": len(gguf.tensors)}
    return [Finding("LF5095", Where(None, None, member, name), {"tensor": name, **args}) for name in lacking]


def _surplus(gguf: Gguf, base: int, member: str, blocks: int) -> Iterator[Finding]:
    """Tensors of blocks that the model does not have."""
    said = 0
    for tensor in gguf.tensors:
        found = BLOCK.match(tensor.name)
        if found and int(found[1]) >= blocks and said < FINDINGS_PER_RULE:
            said += 1
            where = Where(base + tensor.info_offset, None, member, tensor.name)
            yield Finding("LF5096", where, {"tensor": tensor.name, "blocks": blocks})
