"""A picture of the four verdicts, to stand beside a file: in words, and in colours that are not needed to read it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_LAYERS = ("well-formed", "valid", "authentic", "policy")
_COLOURS = {"yes": "#1a7f37", "no": "#b3261e", "undetermined": "#8a5a00"}
_OTHERS = "#57606a"
_WIDTH = 7  # pixels of a character, at most
_PAD = 10


def badge_svg(verdicts: Mapping[str, str], waiting: str = "") -> str:
    """The badge for ``verdicts`` by layer; ``waiting``: what to say in the place of verdicts that are not there yet."""
    rows = [(layer, waiting or verdicts.get(layer, "not asked")) for layer in _LAYERS]
    told = escape("llamafile: " + ", ".join(f"{layer} {word}" for layer, word in rows), quote=True)
    cells, at = [], 0
    for layer, word in rows:
        for text, colour in ((layer, "#24292f"), (word, _COLOURS.get(word, _OTHERS))):
            width = _WIDTH * len(text) + _PAD
            cells.append(
                f'<rect x="{at}" width="{width}" height="20" fill="{colour}"/>'
                f'<text x="{at + width / 2:g}" y="14" textLength="{_WIDTH * len(text) - 2}">{escape(text)}</text>'
            )
            at += width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{at}" height="20" role="img" aria-label="{told}">'
        f"<title>{told}</title>"
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{''.join(cells)}</g></svg>\n"
    )
