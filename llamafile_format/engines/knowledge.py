"""What an engine knows, read from its own sources: architectures and tensor types of GGUF (spec/1, 14.5.3)."""

from __future__ import annotations

import re
from pathlib import Path

from llamafile_format.errors import FormatError

_NAMES = re.compile(r"LLM_ARCH_NAMES\s*=\s*\{(?P<rows>.*?)\n\};", re.DOTALL)
_NAME = re.compile(r'^\s*\{\s*LLM_ARCH_\w+,\s*"(?P<name>[^"()]+)"\s*\}', re.MULTILINE)
_TYPES = re.compile(r"enum\s+ggml_type\s*\{(?P<rows>.*?)\}", re.DOTALL)
_TYPE = re.compile(r"^\s*GGML_TYPE_(?P<name>\w+)\s*=\s*(?P<number>[0-9]+)", re.MULTILINE)


def architectures(source: Path) -> list[str]:
    """Values of ``general.architecture`` that the engine's sources at ``source`` have a name for, sorted."""
    file = source / "src" / "llama-arch.cpp"
    rows = _NAMES.search(file.read_text(encoding="utf-8"))
    found = sorted({match["name"] for match in _NAME.finditer(rows["rows"])}) if rows else []
    if not found:
        raise FormatError(f"{file} does not list architectures in a form that is known here")
    return found


def tensor_types(source: Path) -> list[int]:
    """Numbers of tensor types that the engine's sources at ``source`` know, sorted; without those that it gave up."""
    file = source / "ggml" / "include" / "ggml.h"
    rows = _TYPES.search(file.read_text(encoding="utf-8"))
    found = {match["name"]: int(match["number"]) for match in _TYPE.finditer(rows["rows"])} if rows else {}
    count = found.pop("COUNT", 0)
    if not found or max(found.values()) + 1 != count:
        raise FormatError(f"{file} does not list tensor types in a form that is known here")
    return sorted(found.values())
