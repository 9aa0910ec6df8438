"""Pages and drawings built from elements, so that no text can become markup by accident (spec/1, 10.8.2).

    el("p", "5 < 6 ", el("b", "bold"))   ->   <p>5 &lt; 6 <b>bold</b></p>

Every child and attribute that is not :class:`Markup` already is escaped, first for people (:func:`printable`), then
for the page. There is no other way to make Markup than from elements and from constants of this package.
"""

from __future__ import annotations

from collections.abc import Iterable

from llamafile_format.reports.escape import printable

_VOID = frozenset({"br", "hr", "meta", "rect", "line", "path", "polygon"})
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Markup(str):
    """Text that is markup already and is inserted as it is."""

    __slots__ = ()


Child = str | int | float | None
"""A text, a number, or Markup; None is left out."""


def escape(text: Child) -> Markup:
    """``text`` as markup; what is Markup stays as it is."""
    if isinstance(text, Markup):
        return text
    return Markup("" if text is None else printable(_plain(text)).translate(_ESCAPES))


def _plain(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")  # coordinates: two decimals, the same on every machine
    return str(value)


def join(children: Iterable[Child], joint: str = "") -> Markup:
    """``children`` one after another."""
    return Markup(escape(joint).join(escape(child) for child in children))


def el(name: str, /, *children: Child, **attributes: Child) -> Markup:
    """The element ``name``. Attributes: a trailing underscore is dropped, others become hyphens, None is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")
