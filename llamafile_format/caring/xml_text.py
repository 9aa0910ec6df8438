"""XML as these documents need it: elements, attributes, texts; always the same bytes.

    document(el("a", el("b", "text"), attributes={"c": "d"}))

Texts come from strangers' files: what XML cannot hold, and what hides, is written as an escape that people can see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from llamafile_format.escape import printable


@dataclass(frozen=True, slots=True)
class Element:
    """An element with a text or with elements in it."""

    name: str
    text: str = ""
    inside: tuple[Element, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def el(name: str, *content: str | Element, attributes: Mapping[str, str] | None = None) -> Element:
    """An element ``name`` that holds one text, or any number of elements."""
    inside = tuple(item for item in content if isinstance(item, Element))
    text = "".join(item for item in content if isinstance(item, str))
    return Element(name, text, inside, attributes or {})


def maybe(name: str, text: str | None, attributes: Mapping[str, str] | None = None) -> tuple[Element, ...]:
    """The element ``name`` with ``text``; nothing where there is no text."""
    return (el(name, text, attributes=attributes),) if text else ()


def document(root: Element) -> bytes:
    """The document, in UTF-8, one element a line."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(_lines(root, 0)) + "\n").encode("utf-8")


def _lines(element: Element, depth: int) -> Iterator[str]:
    shift = " " * depth
    told = "".join(f" {name}={quoteattr(printable(value))}" for name, value in element.attributes.items())
    if element.inside:
        yield f"{shift}<{element.name}{told}>"
        for inner in element.inside:
            yield from _lines(inner, depth + 1)
        yield f"{shift}</{element.name}>"
    elif element.text:
        yield f"{shift}<{element.name}{told}>{escape(printable(element.text))}</{element.name}>"
    else:
        yield f"{shift}<{element.name}{told}/>"
