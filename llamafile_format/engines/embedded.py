"""Reading the pin that a container carries (spec/1, 14.1.5): a stranger's text, so there are limits."""

from __future__ import annotations

import re
from pathlib import Path

from llamafile_format.engines.pin import Pin
from llamafile_format.engines.pin_reader import MAX_PIN, read_pin
from llamafile_format.errors import FormatError

__all__ = ["MAX_PIN", "is_pin_path", "read_embedded"]

_PATH = re.compile(r"runtimes/[^/]+/[^/]+/runtime\.yaml")


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
    pin = read_pin(data, Path(path))
    if path != f"runtimes/{pin.name}/{pin.version}/runtime.yaml":
        raise FormatError(f"{path} is the pin of {pin.key}", clause="14.1.5")
    return pin
