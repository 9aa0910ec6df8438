"""Reading the pin that a container carries (spec/1.0, 14.1.5): a stranger's text, so there are limits."""

from __future__ import annotations

import re
from pathlib import Path

from llamafile_format.engines.pin import Pin
from llamafile_format.engines.pin_reader import read_pin
from llamafile_format.errors import FormatError

MAX_PIN = 1 << 20
"""Bytes of a pin that is read from a container."""

_PATH = re.compile(r"runtimes/[^/]+/[^/]+/runtime\.yaml")
_DEEP = 16  # levels of indentation or brackets; a pin has five
_REFERENCE = re.compile(r"(?:^|[\s\[{,])[&*][^\s\[\]{},]", re.MULTILINE)


def is_pin_path(path: str) -> bool:
    """True for the member path of a pin."""
    return _PATH.fullmatch(path) is not None


def read_embedded(data: bytes, path: str) -> Pin:
    """The pin in ``data``, the member ``path``. FormatError if it is not one, or uses what only an attack needs.

    Anchors and aliases are refused, because a few lines of them unfold to any size, and so is deep nesting.
    """
    if len(data) > MAX_PIN:
        raise FormatError(
            f"{path} is too large for a pin", found=len(data), allowed=f"{MAX_PIN} bytes", clause="14.1.5"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8", offset=error.start, clause="14.1.5") from error
    if _REFERENCE.search(text) or _depth(text) > _DEEP:
        raise FormatError(f"{path} is not plain YAML", clause="14.1.5")
    pin = read_pin(text, Path(path))
    if path != f"runtimes/{pin.name}/{pin.version}/runtime.yaml":
        raise FormatError(f"{path} is the pin of {pin.key}", clause="14.1.5")
    return pin


def _depth(text: str) -> int:
    """An upper bound of the nesting: brackets that are open at once, and different indentations on the way."""
    deepest = brackets = 0
    indents: list[int] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" -?:\t"))
        marks = sum(line.count(mark, 0, indent) for mark in "-?:")  # each may open a level of its own
        while indents and indents[-1] >= indent:
            indents.pop()
        indents.append(indent)
        for character in line:
            brackets += (character in "[{") - (character in "]}")
            deepest = max(deepest, brackets)
        deepest = max(deepest, len(indents) + marks + max(brackets, 0))
    return deepest
