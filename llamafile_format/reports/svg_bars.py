"""Bars on pages: one bar cut into shares, and stacked bars of memory at several contexts."""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.examining import ModelView
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el
from llamafile_format.reports.numbers import grouped, percent, size_text
from llamafile_format.reports.palette import type_colors

_WIDTH = 1000.0


def swatch(color: str) -> Markup:
    """A small square of ``color``, for a table."""
    square = el("rect", width=12, height=12, fill=color)
    return el("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")


def look_swatch(look: str) -> Markup:
    """A small square in the colour of a class of bytes."""
    square = el("rect", width=12, height=12, class_=f"k-{look}")
    return el("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")


def mix_bar(model: ModelView) -> Markup:
    """The tensor types by their bytes, to scale."""
    colors = type_colors(share.type for share in model.facts.mix)
    parts = [
        (share.share, colors[share.type], f"{printable(share.type)}: {percent(share.share)}")
        for share in model.facts.mix
    ]
    return _strip(parts, "Tensor types by bytes", 34)


def _strip(parts: Sequence[tuple[float, str, str]], title: str, height: int) -> Markup:
    at, drawn = 0.0, []
    for share, color, text in parts:
        width = _WIDTH * share
        drawn.append(el("rect", el("title", text), x=at, y=0, width=width, height=height, fill=color, class_="cell"))
        at += width
    return el(
        "svg",
        el("title", title),
        el("desc", "; ".join(text for _, _, text in parts)),
        *drawn,
        viewBox=f"0 0 {_WIDTH:.0f} {height}",
        preserveAspectRatio="none",
        role="img",
        aria_label=title,
        class_="strip",
    )


def memory_bar(weights: int, cache: int, scratch: int, most: int) -> Markup:
    """One need of memory as a bar: weights, KV cache, scratch; as long as its share of ``most`` bytes."""
    parts = [(weights, "k-weights", "weights"), (cache, "k-record", "KV cache"), (scratch, "k-paper", "scratch")]
    at, drawn = 0.0, []
    for size, look, text in parts:
        width = _WIDTH * size / most if most else 0.0
        drawn.append(
            el("rect", el("title", f"{text}: {grouped(size)} bytes"), x=at, y=0, width=width, height=20, class_=look)
        )
        at += width
    spoken = ", ".join(f"{text} {size_text(size)}" for size, _, text in parts)
    return el(
        "svg",
        *drawn,
        viewBox="0 0 1000 20",
        preserveAspectRatio="none",
        role="img",
        aria_label=spoken,
        class_="strip thin",
    )
