"""The byte map as a drawing: two columns like a core sample, the file to scale beside every span made visible.

The left column is exact: heights are lengths. In the right one heights grow with the logarithm of the length, so that
a header of 50 bytes is seen beside 40 GB of weights; lines lead from one to the other, and exact numbers stand beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.examining import Inspection
from llamafile_format.reports.columns import clip_path
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el, join
from llamafile_format.reports.numbers import grouped, percent, plural, size_text
from llamafile_format.reports.palette import CLASS_WORDS, ROLE_CLASSES, SPAN_CLASSES
from llamafile_format.spans import Span

MAX_STRATA = 36
WIDTH = 620
_SCALE_X, _SCALE_W = 76, 46
_LOG_X, _LOG_W = 160, 46
_TEXT_X = 216
_LEAST, _GROWTH = 13.0, 7.6
_WORDS = {
    "local-header": "local header",
    "data-descriptor": "data descriptor",
    "directory": "central directory",
    "eocd": "end record and mark",
    "prefix": "engine",
    "gap": "zeros",
    "hole": "unexplained bytes",
    "trailing": "trailing bytes",
    "signature-record": "signature",
    "stale-directory": "stale directory",
    "stale-eocd": "stale end record",
}


@dataclass(frozen=True, slots=True)
class Stratum:
    """A span, or a run of small neighbours drawn as one. Offsets and lengths in bytes."""

    offset: int
    length: int
    look: str
    text: str
    spans: int = 1


def strata(inspection: Inspection) -> list[Stratum]:
    """At most MAX_STRATA strata that tile the file; where there are more spans, runs of the smallest are joined."""
    roles = {member.path: member.role for member in inspection.members}
    spans = [span for span in inspection.map if span.length]
    if len(spans) <= MAX_STRATA:
        return [_stratum(span, roles) for span in spans]
    largest = sorted(range(len(spans)), key=lambda index: (-spans[index].length, index))[: MAX_STRATA // 2 - 1]
    alone = set(largest)
    result: list[Stratum] = []
    run: list[Span] = []
    for index, span in enumerate(spans):
        if index in alone:
            result += _joined(run, roles)
            run = []
            result.append(_stratum(span, roles))
        else:
            run.append(span)
    return result + _joined(run, roles)


def _stratum(span: Span, roles: dict[str, str]) -> Stratum:
    kind = span.kind.value
    if kind == "data":
        look = ROLE_CLASSES.get(roles.get(span.path, ""), "record" if span.path else "weights")
        return Stratum(span.offset, span.length, look, printable(span.path) or "model")
    text = _WORDS.get(kind, kind)
    return Stratum(span.offset, span.length, SPAN_CLASSES.get(kind, "record"), text)


def _joined(run: list[Span], roles: dict[str, str]) -> list[Stratum]:
    if len(run) <= 1:
        return [_stratum(span, roles) for span in run]
    length = sum(span.length for span in run)
    return [Stratum(run[0].offset, length, "index", f"{len(run):,} smaller spans", len(run))]


def byte_map(inspection: Inspection) -> Markup:
    """The drawing, with a title and a description for those who cannot see it."""
    layers = strata(inspection)
    size = inspection.file.size
    heights = [_LEAST + _GROWTH * math.log10(layer.length) for layer in layers]
    top, height = 34.0, sum(heights)
    drawn, log_y = [], top
    for layer, tall in zip(layers, heights, strict=True):
        y0 = top + height * layer.offset / size
        y1 = top + height * (layer.offset + layer.length) / size
        drawn.append(_layer(layer, size, (y0, y1), (log_y, log_y + tall)))
        log_y += tall
    spoken = f"{plural(len(inspection.map), 'span')} tile the {grouped(size)} bytes of the file. " + "; ".join(
        f"{layer.text}: {grouped(layer.length)} bytes from {grouped(layer.offset)}" for layer in layers[:12]
    )
    return el(
        "svg",
        el("title", "Byte map of the file", id="map-title"),
        el("desc", spoken, id="map-desc"),
        _heads(),
        *_ticks(size, top, height),
        *drawn,
        el("rect", x=_SCALE_X, y=top, width=_SCALE_W, height=height, class_="frame"),
        el("rect", x=_LOG_X, y=top, width=_LOG_W, height=height, class_="frame"),
        viewBox=f"0 0 {WIDTH} {math.ceil(top + height + 12)}",
        role="img",
        aria_labelledby="map-title map-desc",
        class_="map",
    )


def _heads() -> Markup:
    scale, log = _SCALE_X + _SCALE_W / 2, _LOG_X + _LOG_W / 2
    return join(
        [
            el("text", "to scale", x=scale, y=22, class_="head", text_anchor="middle"),
            el("text", "logarithmic", x=log, y=22, class_="head", text_anchor="middle"),
            el("text", "offset", x=WIDTH - 146, y=22, class_="head wide", text_anchor="end"),
            el("text", "bytes", x=WIDTH - 58, y=22, class_="head", text_anchor="end"),
            el("text", "share", x=WIDTH, y=22, class_="head", text_anchor="end"),
        ]
    )


def _ticks(size: int, top: float, height: float) -> list[Markup]:
    marks = []
    for quarter in range(5):
        y = top + height * quarter / 4
        label = "0" if not quarter else size_text(size * quarter // 4)
        marks.append(el("line", x1=_SCALE_X - 5, x2=_SCALE_X, y1=y, y2=y, class_="tick"))
        marks.append(el("text", label, x=_SCALE_X - 8, y=y + 3.5, class_="tick-text", text_anchor="end"))
    return marks


def _layer(layer: Stratum, size: int, scale: tuple[float, float], log: tuple[float, float]) -> Markup:
    (y0, y1), (l0, l1) = scale, log
    right = _SCALE_X + _SCALE_W
    middle = (right + _LOG_X) / 2
    path = (
        f"M{right} {y0:.2f}C{middle} {y0:.2f} {middle} {l0:.2f} {_LOG_X} {l0:.2f}"
        f"V{l1:.2f}C{middle} {l1:.2f} {middle} {y1:.2f} {right} {y1:.2f}Z"
    )
    share, offset = percent(layer.length / size), grouped(layer.offset)
    spoken = f"{layer.text}: {grouped(layer.length)} bytes from {offset}, {share}"
    baseline = (l0 + l1) / 2 + 4
    return el(
        "g",
        el("title", f"{spoken} ({CLASS_WORDS.get(layer.look, layer.look)})"),
        el("rect", x=_SCALE_X, y=y0, width=_SCALE_W, height=y1 - y0, class_=f"k-{layer.look}"),
        el("path", d=path, class_=f"k-{layer.look} flow"),
        el("rect", x=_LOG_X, y=l0, width=_LOG_W, height=l1 - l0, class_=f"k-{layer.look} stratum"),
        el("line", x1=_LOG_X + _LOG_W, x2=WIDTH, y1=l1, y2=l1, class_="hair"),
        el("text", clip_path(layer.text, min(26, 33 - len(offset))), x=_TEXT_X, y=baseline, class_="name"),
        el("text", offset, x=WIDTH - 146, y=baseline, class_="num dim wide", text_anchor="end"),
        el("text", grouped(layer.length), x=WIDTH - 58, y=baseline, class_="num", text_anchor="end"),
        el("text", share, x=WIDTH, y=baseline, class_="num dim", text_anchor="end"),
    )


def legend(layers: Sequence[Stratum]) -> Markup:
    """The colours that occur, with their meaning."""
    looks = [look for look in CLASS_WORDS if any(layer.look == look for layer in layers)]
    items = [
        el(
            "li",
            el(
                "svg",
                el("rect", width=12, height=12, class_=f"k-{look} stratum"),
                viewBox="0 0 12 12",
                aria_hidden="true",
            ),
            CLASS_WORDS[look],
        )
        for look in looks
    ]
    return el("ul", *items, class_="legend")
