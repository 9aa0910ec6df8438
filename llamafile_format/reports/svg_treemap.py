"""The tensors as a treemap: one rectangle a tensor, its area its bytes, grouped by layer, coloured by type.

Squarified (Bruls, Huizing, van Wijk 2000): rows are filled as long as their rectangles get closer to squares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamafile_format.examining import ModelView, TensorRow
from llamafile_format.reports.columns import clip
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el
from llamafile_format.reports.numbers import grouped, plural, size_text
from llamafile_format.reports.palette import ink_on, type_colors

WIDTH, HEIGHT = 1000.0, 560.0
MAX_TENSORS = 2400  # rectangles drawn; the smallest beyond are drawn as one rest a group
_BAND = 17.0
_GAP = 2.5
_LAYER = re.compile(r"((?:[a-z]{1,8}\.)?(?:blk|block|layers?)\.[0-9]{1,5})\.")

Box = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What is drawn as one rectangle: ``size`` bytes, ``color`` and words for the tooltip and the label."""

    size: int
    color: str
    title: str
    label: str


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """One box for each of ``sizes`` (descending, positive), areas in proportion, together exactly ``box``."""
    boxes: list[Box] = []
    total = float(sum(sizes))
    at = 0
    while at < len(sizes):
        x, y, width, height = box
        short = min(width, height)
        scale = width * height / total if total else 0.0
        count, row = 1, float(sizes[at])
        worst = _worst(row * scale, sizes[at] * scale, sizes[at] * scale, short)
        while at + count < len(sizes):
            more = row + sizes[at + count]
            ratio = _worst(more * scale, sizes[at] * scale, sizes[at + count] * scale, short)
            if ratio > worst:
                break
            row, worst, count = more, ratio, count + 1
        thick = row * scale / short if short else 0.0
        along = y if width >= height else x
        for size in sizes[at : at + count]:
            length = short * size / row if row else 0.0
            boxes.append((x, along, thick, length) if width >= height else (along, y, length, thick))
            along += length
        box = (
            (x + thick, y, max(width - thick, 0.0), height)
            if width >= height
            else (x, y + thick, width, max(height - thick, 0.0))
        )
        total -= row
        at += count
    return boxes


def _worst(row: float, largest: float, smallest: float, short: float) -> float:
    """The largest ratio of sides in a row of area ``row`` along a side of length ``short``."""
    if not row or not smallest or not short:
        return float("inf")
    return max(short * short * largest / (row * row), row * row / (short * short * smallest))


def group_of(name: str) -> str:
    """The layer that a tensor belongs to: ``blk.7``, or for the others the first part of the name."""
    match = _LAYER.match(name)
    return match[1] if match else name.partition(".")[0]


def treemap(model: ModelView) -> Markup | None:
    """The drawing; None if there are no tensors of known size."""
    rows = [row for row in model.tensors or () if row.size]
    if not rows:
        return None
    colors = type_colors(share.type for share in model.facts.mix)
    groups = _groups(rows, colors)
    order = sorted(
        groups, key=lambda name: (-sum(tile.size for tile in groups[name]), len(name), name)
    )  # blk.2, blk.10
    boxes = squarify([sum(tile.size for tile in groups[name]) for name in order], (0.0, 0.0, WIDTH, HEIGHT))
    total = sum(row.size or 0 for row in rows)
    spoken = f"{plural(len(rows), 'tensor')} in {plural(len(order), 'group')}, {grouped(total)} bytes. " + "; ".join(
        f"{printable(name)}: {size_text(sum(tile.size for tile in groups[name]))}" for name in order[:12]
    )
    return el(
        "svg",
        el("title", "Tensors by size, layer and type", id="tree-title"),
        el("desc", spoken, id="tree-desc"),
        *(_group(name, groups[name], box) for name, box in zip(order, boxes, strict=True)),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_labelledby="tree-title tree-desc",
        class_="tree",
    )


def _groups(rows: Sequence[TensorRow], colors: dict[str, str]) -> dict[str, list[Tile]]:
    """Tiles of each group, largest first; of a huge model the smallest tensors of a group are one tile."""
    kept = sorted(range(len(rows)), key=lambda index: (-(rows[index].size or 0), index))
    drawn = set(kept[:MAX_TENSORS])
    groups: dict[str, list[Tile]] = {}
    rest: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        name = group_of(row.name)
        if index in drawn:
            groups.setdefault(name, []).append(_tile(row, name, colors))
        else:
            rest.setdefault(name, []).append(row.size or 0)
    if len(groups.keys() | rest.keys()) > MAX_TENSORS // 8:  # names without layers: one group for all of them
        return {"tensors": _largest_first([tile for tiles in groups.values() for tile in tiles], rest.values())}
    return {name: _largest_first(groups.get(name, []), [rest.get(name, [])]) for name in groups.keys() | rest.keys()}


def _largest_first(tiles: list[Tile], rest: Iterable[Sequence[int]]) -> list[Tile]:
    sizes = [size for part in rest for size in part]
    if sizes:
        tiles = [
            *tiles,
            Tile(sum(sizes), "#8c8a84", f"{plural(len(sizes), 'smaller tensor')}, {size_text(sum(sizes))}", ""),
        ]
    return sorted(tiles, key=lambda tile: (-tile.size, tile.title))


def _tile(row: TensorRow, group: str, colors: dict[str, str]) -> Tile:
    name, kind = printable(row.name), printable(row.type)
    shape = " x ".join(map(grouped, row.dims))
    label = name.removesuffix(".weight").removeprefix(printable(group)).removeprefix(".") or printable(group)
    return Tile(
        row.size or 0,
        colors.get(row.type, "#8c8a84"),
        f"{name}: {kind}, {shape}, {grouped(row.size or 0)} bytes",
        label,
    )


def _group(name: str, tiles: Sequence[Tile], box: Box) -> Markup:
    x, y, width, height = box
    x, y, width, height = x + _GAP / 2, y + _GAP / 2, max(width - _GAP, 0.1), max(height - _GAP, 0.1)
    band = _BAND if width > 46 and height > 46 and len(tiles) > 1 else 0.0
    children: list[Markup] = []
    if band:
        text = clip(printable(name), int(width / 7.2))
        children.append(el("rect", x=x, y=y, width=width, height=band, class_="band"))
        children.append(el("text", text, x=x + 5, y=y + 12.5, class_="group"))
    boxes = squarify([tile.size for tile in tiles], (x, y + band, width, height - band))
    children += [_rectangle(tile, inner) for tile, inner in zip(tiles, boxes, strict=True)]
    return el("g", *children)


def _rectangle(tile: Tile, box: Box) -> Markup:
    x, y, width, height = box
    shape = el("rect", el("title", tile.title), x=x, y=y, width=width, height=height, fill=tile.color, class_="cell")
    letters = int((width - 8) / 6.6)
    if letters < 4 or height < 17 or not tile.label:
        return shape
    ink = ink_on(tile.color)
    return Markup(shape + el("text", clip(tile.label, letters), x=x + 5, y=y + 14, class_=f"leaf {ink}"))
