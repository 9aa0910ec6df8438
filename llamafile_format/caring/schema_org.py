"""The description in the words of schema.org: one entity of JSON-LD for the container."""

from __future__ import annotations

from typing import Any

from llamafile_format.caring.description import Description
from llamafile_format.escape import printable


def schema_org(about: Description, ident: str) -> dict[str, Any]:
    """The entity ``ident``, without what the file does not say. Texts are printable."""
    said: dict[str, Any] = {
        "name": printable(about.title),
        "description": printable(about.description),
        "identifier": about.identifier,
        "url": about.address,
        "dateCreated": about.created,
        "encodingFormat": about.media_type,
        "contentSize": str(about.size),
        "keywords": ", ".join(printable(subject) for subject in about.subjects),
        "inLanguage": [printable(language) for language in about.languages],
        "creditText": printable(about.creator),
        "isBasedOn": [place for _, place in (*about.sources, *about.datasets) if place],
    }
    return {"@id": ident, "@type": ["File", "SoftwareApplication"], **{k: v for k, v in said.items() if v}}
