"""The description as DataCite 4.6 metadata in JSON, ready for whoever registers a DOI: it has none yet."""

from __future__ import annotations

from typing import Any

from llamafile_format.caring.description import Description
from llamafile_format.caring.ocfl import json_bytes
from llamafile_format.escape import printable

_UNKNOWN = ":unkn"
"""What DataCite has for a value that is demanded and that nobody knows."""


def datacite_text(about: Description) -> bytes:
    """The document, with the elements that DataCite demands and those that the file says."""
    related = [*about.sources, *about.datasets]
    value: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {"resourceTypeGeneral": "Model", "resourceType": "Language model"},
        "titles": [{"title": printable(about.title)}],
        "creators": [{"name": printable(about.creator) or _UNKNOWN}],
        "publisher": {"name": printable(about.publisher) or _UNKNOWN},
        "publicationYear": about.created[:4] or _UNKNOWN,
        "identifiers": [{"identifierType": "URN", "identifier": about.identifier}],
        "formats": [about.media_type],
        "sizes": [f"{about.size} bytes"],
        "version": about.kind,
        "subjects": [{"subject": printable(subject)} for subject in about.subjects],
        "descriptions": [{"description": printable(about.description), "descriptionType": "Abstract"}],
        "dates": [{"date": about.created, "dateType": "Created"}],
        "language": printable(about.languages[0]) if about.languages else "",
        "rightsList": [{"rights": printable(about.licence), "rightsUri": about.licence_address}],
        "relatedIdentifiers": [
            {"relatedIdentifier": place, "relatedIdentifierType": "URL", "relationType": "IsDerivedFrom"}
            for _, place in related
            if place
        ],
    }
    absent = {
        "descriptions": about.description,
        "dates": about.created,
        "rightsList": about.licence,
        "language": about.languages,
        "subjects": about.subjects,
    }
    for name, said in absent.items():
        if not said:
            del value[name]
    return json_bytes(value)
