"""The documents that go with a container into every package, by their names there."""

from __future__ import annotations

from llamafile_format.caring.datacite import datacite_text
from llamafile_format.caring.description import describe
from llamafile_format.caring.dublin_core import dublin_core_text
from llamafile_format.caring.premis import premis_text
from llamafile_format.caring.subject import Subject

_TYPES = {"xml": "application/xml", "json": "application/json"}


def documents_of(subject: Subject) -> dict[str, bytes]:
    """What ``subject`` is, for people and programs that never heard of the format."""
    about = describe(subject)
    return {
        "datacite.json": datacite_text(about),
        "dublin-core.xml": dublin_core_text(about),
        "premis.xml": premis_text(subject),
    }


def media_type_of(path: str) -> str:
    """The media type of one of these documents, by its ending."""
    return _TYPES[path.rpartition(".")[2]]
