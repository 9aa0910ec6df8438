"""Colours of pages: one for each kind of bytes and each family of tensor types, the same on every page."""

from __future__ import annotations

from collections.abc import Iterable

ROLE_CLASSES = {
    "weights": "weights",
    "projector": "weights",
    "adapter": "weights",
    "draft": "weights",
    "runtime": "runtime",
    "engine-asset": "runtime",
    "readme": "paper",
    "document": "paper",
    "card": "paper",
    "license": "paper",
    "recipe": "paper",
    "template": "paper",
    "arguments": "paper",
    "tokenizer": "weights",
}
"""Role of a member to the class of its bytes; anything else is ``record``."""

SPAN_CLASSES = {
    "prefix": "prefix",
    "gap": "gap",
    "hole": "hole",
    "trailing": "hole",
    "stale-directory": "hole",
    "stale-eocd": "hole",
    "local-header": "index",
    "data-descriptor": "index",
    "directory": "index",
    "eocd": "index",
    "signature-record": "record",
}
"""Kind of a span to the class of its bytes; data goes by the role of its member."""

CLASS_COLORS = {
    "prefix": "#7b5ea7",
    "runtime": "#9a6fb0",
    "weights": "#2c6e8f",
    "paper": "#b98a2e",
    "record": "#4f8a5b",
    "index": "#8c8a84",
    "gap": "#d9d5cb",
    "hole": "#b5483a",
}

CLASS_WORDS = {
    "prefix": "engine",
    "runtime": "runtimes",
    "weights": "model",
    "paper": "papers",
    "record": "records",
    "index": "headers and directory",
    "gap": "zeros for alignment",
    "hole": "unexplained",
}

_FAMILIES = (
    ("F64", "#5b4636"),
    ("F32", "#7d6550"),
    ("BF16", "#a3542f"),
    ("F16", "#b8693d"),
    ("Q8", "#2c6e8f"),
    ("Q6", "#3f8577"),
    ("Q5", "#6f9440"),
    ("Q4", "#c2962c"),
    ("Q3", "#c7703a"),
    ("Q2", "#b04a58"),
    ("IQ", "#8560a8"),
    ("TQ", "#a05a93"),
    ("MXFP", "#4a72b0"),
    ("NVFP", "#4a72b0"),
)
_SPARE = ("#5a7fa8", "#8a9a5b", "#a8785a", "#7a6a9a", "#5a9a94", "#9a5a6a", "#777777")


def type_colors(types: Iterable[str]) -> dict[str, str]:
    """A colour for each of ``types``: its family's, or a spare one if that is taken already."""
    colors: dict[str, str] = {}
    spare = list(_SPARE)
    for name in types:
        family = next((color for start, color in _FAMILIES if name.startswith(start)), None)
        if family is None or family in colors.values():
            family = spare.pop(0) if len(spare) > 1 else spare[0]
        colors[name] = family
    return colors


def ink_on(color: str) -> str:
    """``light`` or ``dark``: the ink that is read best on ``color`` (``#rrggbb``)."""
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "dark" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "light"
