"""What a projector is for: its types, and the width of what it hands over (spec/1, 7.12.4)."""

from __future__ import annotations

import re
from functools import cache

from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.gguf_model import Gguf

DEEPSTACK = re.compile(r"v\.deepstack\.[0-9]+\.fc1\.weight\Z")
MODALITIES = ("vision", "audio")


@cache
def _table() -> dict[str, str]:
    table: dict[str, str] = spec_yaml("registry/projector-types.yaml")["projector_types"]
    return table


def known_to() -> frozenset[str]:
    """The pinned engines, as ``NAME@VERSION``, that know exactly the types of the registry."""
    return frozenset(spec_yaml("registry/projector-types.yaml")["known_to"])


def projector_types(gguf: Gguf) -> dict[str, bool]:
    """The projector type of each encoder in ``gguf``, images first, and whether the registry has it."""
    common = gguf.text("clip.projector_type", 64)
    found = []
    for modality in MODALITIES:
        entry = gguf.entries.get(f"clip.has_{modality}_encoder")
        if entry is not None and entry.value is True:
            found.append(common or gguf.text(f"clip.{modality}.projector_type", 64) or "")
    return {name: name in _table() for name in found}


def projector_width(gguf: Gguf) -> int | None:
    """Numbers that the projector hands over for one token; None where no single tensor tells."""
    tensors = {tensor.name: tensor.dims for tensor in gguf.tensors}
    for name in projector_types(gguf):
        for place in _table().get(name, "-").split(", "):
            tensor, _, rest = place.partition(" ")
            if tensor not in tensors:
                continue
            dims = tensors[tensor]
            index = int(rest[0])
            width = dims[index] if index < len(dims) else 1
            layers = sum(1 for other in tensors if DEEPSTACK.match(other)) if rest.endswith("+deepstack") else 0
            return width * (1 + layers)
        return None
    return None
