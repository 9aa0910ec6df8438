"""The description as Dublin Core: the fifteen elements, in the form of OAI, which every repository harvests."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.caring.description import Description
from llamafile_format.caring.dublin_core_schema import DC, OAI_DC
from llamafile_format.caring.xml_text import Element, document, el

_NAMESPACES = {"xmlns:oai_dc": OAI_DC, "xmlns:dc": DC}


def dublin_core_text(about: Description) -> bytes:
    """The document; an element for each value, and none for what the file does not say."""
    return document(el("oai_dc:dc", *_elements(about), attributes=_NAMESPACES))


def _elements(about: Description) -> Iterator[Element]:
    rows: tuple[tuple[str, str], ...] = (
        ("title", about.title),
        ("creator", about.creator),
        *(("subject", subject) for subject in about.subjects),
        ("description", about.description),
        ("publisher", about.publisher),
        ("date", about.created[:10]),
        ("type", "Software"),
        ("format", about.media_type),
        ("format", f"{about.size} bytes"),
        ("identifier", about.identifier),
        ("identifier", about.address),
        *(("source", " ".join(filter(None, source))) for source in about.sources),
        *(("language", language) for language in about.languages),
        *(("relation", " ".join(filter(None, dataset))) for dataset in about.datasets),
        ("rights", about.licence),
        ("rights", about.licence_address),
    )
    yield from (el(f"dc:{name}", value) for name, value in rows if value)
