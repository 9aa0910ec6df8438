"""Text in columns: how many cells of a terminal a text takes, and how to cut and fill it to a number of cells.

All texts here must have gone through :func:`~llamafile_format.reports.escape.printable` before.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

ELLIPSIS = "…"


@cache
def _cells(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """Cells that ``text`` takes: 2 for wide East Asian characters and emoji, 0 for combining marks."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def clip(text: str, cells: int) -> str:
    """``text`` cut at its end to at most ``cells`` cells, with an ellipsis where something was cut."""
    if width(text) <= cells and len(text) <= 4 * cells:  # a tower of combining marks takes no cell, but all the ink
        return text
    kept, used = [], 0
    for character in text[: 4 * cells]:
        used += _cells(character)
        if used > cells - 1:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS if cells else ""


def clip_middle(text: str, cells: int) -> str:
    """``text`` cut in its middle, for paths and digests whose two ends tell most."""
    if width(text) <= cells and len(text) <= 4 * cells:
        return text
    if not text.isascii() or cells < 8:
        return clip(text, cells)
    head = (cells - 1) // 2
    return text[:head] + ELLIPSIS + text[len(text) - (cells - 1 - head) :]


def clip_path(path: str, cells: int) -> str:
    """``path`` cut at its front to whole folders, for members that their last parts tell apart."""
    if width(path) <= cells and len(path) <= 4 * cells:
        return path
    kept = ""
    for part in reversed(path.split("/")):
        longer = f"/{part}{kept}"
        if width(longer) > cells - 1:
            break
        kept = longer
    return f"{ELLIPSIS}{kept}" if kept.strip("/") else clip_middle(path, cells)


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """``text`` cut and filled with spaces to exactly ``cells`` cells; ``right`` puts the spaces in front."""
    text = clip(text, cells)
    space = " " * (cells - width(text))
    return space + text if right else text + space


def wrap(words: Iterable[str], cells: int, *, lines: int, joint: str = " ") -> list[str]:
    """``words`` filled into at most ``lines`` lines of at most ``cells`` cells; an ellipsis where that is too few."""
    result: list[str] = []
    current = ""
    for word in words:
        longer = f"{current}{joint}{word}" if current else word
        if current and width(longer) > cells:
            if len(result) == lines - 1:
                current = clip(longer, cells)
                break
            result.append(current)
            current = word
        else:
            current = longer
        if width(current) > cells:
            current = clip(current, cells)
    return [*result, current] if current else result
