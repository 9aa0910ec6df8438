"""``export --ro-crate``: a folder that is a Research Object, version 1.1: the container, and what it is, as JSON-LD."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from llamafile_format import __version__
from llamafile_format.caring.admitting import Admitted, admitted
from llamafile_format.caring.description import Description, describe
from llamafile_format.caring.documents import documents_of, media_type_of
from llamafile_format.caring.ocfl import json_bytes
from llamafile_format.caring.schema_org import schema_org
from llamafile_format.caring.subject import Subject, subject_of
from llamafile_format.escape import printable
from llamafile_format.output.checked_copy import Copied
from llamafile_format.output.folder import new_folder, put, put_file, refuse_taken
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
METADATA = "ro-crate-metadata.json"
_NO_LICENCE = "the container names no licence"


def export_crate(order: ExportOrder) -> Exported:
    """Write the crate ``order.target``. Raises as :func:`admitted` and :func:`new_folder` do."""
    refuse_taken(order.target)
    with admitted(order.file, "was not put into a crate", order.progress) as file, new_folder(order.target) as crate:
        require_room(crate.parent, [file.source])
        return _write(file, crate, order)


def _write(file: Admitted, crate: Path, order: ExportOrder) -> Exported:
    copied = put_file(crate, file.name, file.source, counted(order.progress, 2 * file.source.size))
    subject = subject_of(file, copied, order.moment)
    written = {path: put(crate, f"metadata/{path}", data) for path, data in documents_of(subject).items()}
    last = put(crate, METADATA, json_bytes({"@context": CONTEXT, "@graph": _graph(subject, written)}))
    size = copied.size + last.size + sum(each.size for each in written.values())
    return Exported(order.target, file.name, 2 + len(written), size, copied.sha256, copied.shared)


def _graph(subject: Subject, documents: dict[str, Copied]) -> list[dict[str, Any]]:
    """The entities: the document about itself, the folder, the container, the documents, licence and makers."""
    about = describe(subject)
    payload = quote(subject.name)
    parts = [payload, *(f"metadata/{path}" for path in sorted(documents))]
    licence = about.licence_address or "#license"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": printable(about.title),
        "description": printable(about.description) or f"The container {printable(subject.name)}, and what it is",
        "datePublished": subject.stated,
        "identifier": about.identifier,
        "license": {"@id": licence},
        "hasPart": [{"@id": part} for part in parts],
        "mainEntity": {"@id": payload},
    }
    head = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    container = schema_org(about, payload) | {"license": {"@id": licence}, "sha256": subject.copied.sha256}
    return [head, root, container, *_documents(documents), *_others(about, licence, root, container)]


def _documents(documents: dict[str, Copied]) -> list[dict[str, Any]]:
    return [
        {
            "@id": f"metadata/{path}",
            "@type": "File",
            "name": path,
            "encodingFormat": media_type_of(path),
            "contentSize": str(copied.size),
            "sha256": copied.sha256,
        }
        for path, copied in sorted(documents.items())
    ]


def _others(about: Description, licence: str, root: dict[str, Any], container: dict[str, Any]) -> list[dict[str, Any]]:
    """Licence, author and publisher as entities; ``root`` and ``container`` get what refers to them."""
    found: list[dict[str, Any]] = [
        {
            "@id": licence,
            "@type": "CreativeWork",
            "name": printable(about.licence) or _NO_LICENCE,
            "description": printable(about.licence) or _NO_LICENCE,
        }
    ]
    if about.creator:
        container["author"] = {"@id": "#creator"}
        found.append({"@id": "#creator", "@type": "Person", "name": printable(about.creator)})
    if about.publisher:
        root["publisher"] = {"@id": "#publisher"}
        found.append({"@id": "#publisher", "@type": "Organization", "name": printable(about.publisher)})
    root["sdPublisher"] = {"@id": "#tool"}
    found.append({"@id": "#tool", "@type": "Organization", "name": f"llamafile-format {__version__}"})
    return found
