"""``export --datapackage``: a Data Package of the Frictionless standard: the container and a descriptor in JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llamafile_format.caring.admitting import Admitted, admitted
from llamafile_format.caring.description import Description, describe, spdx_name
from llamafile_format.caring.documents import documents_of, media_type_of
from llamafile_format.caring.ocfl import json_bytes
from llamafile_format.caring.subject import subject_of
from llamafile_format.escape import printable
from llamafile_format.output.checked_copy import Copied
from llamafile_format.output.folder import new_folder, put, put_file, refuse_taken
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted

DESCRIPTOR = "datapackage.json"


def export_datapackage(order: ExportOrder) -> Exported:
    """Write the package ``order.target``. Raises as :func:`admitted` and :func:`new_folder` do."""
    refuse_taken(order.target)
    with admitted(order.file, "was not packaged", order.progress) as file, new_folder(order.target) as folder:
        require_room(folder.parent, [file.source])
        return _write(file, folder, order)


def _write(file: Admitted, folder: Path, order: ExportOrder) -> Exported:
    copied = put_file(folder, file.name, file.source, counted(order.progress, 2 * file.source.size))
    subject = subject_of(file, copied, order.moment)
    about = describe(subject)
    written = {file.name: copied}
    for path, data in documents_of(subject).items():
        written[f"metadata/{path}"] = put(folder, f"metadata/{path}", data)
    resources = [_resource(about, path, each, number) for number, (path, each) in enumerate(written.items())]
    last = put(folder, DESCRIPTOR, json_bytes(_descriptor(about, subject.moment, resources)))
    size = last.size + sum(each.size for each in written.values())
    return Exported(order.target, file.name, 1 + len(written), size, copied.sha256, copied.shared)


def _resource(about: Description, path: str, copied: Copied, number: int) -> dict[str, Any]:
    ending = path.rpartition(".")[2].lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", path.lower()).strip("-._") or "container"
    return {
        "name": f"{number}-{name}",
        "path": path,
        "format": ending,
        "mediatype": about.media_type if not number else media_type_of(path),
        "bytes": copied.size,
        "hash": f"sha256:{copied.sha256}",
    }


def _descriptor(about: Description, moment: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    named = spdx_name(about.licence)
    people = [("author", about.creator), ("publisher", about.publisher)]
    said = {
        "name": f"llamafile-{about.identifier.rpartition(':')[2]}",
        "id": about.identifier,
        "title": printable(about.title),
        "description": printable(about.description),
        "created": moment or about.created,
        "homepage": about.address,
        "keywords": [printable(subject) for subject in about.subjects],
        "licenses": [{"name": named, "path": about.licence_address}] if named else [],
        "contributors": [{"title": printable(name), "role": role} for role, name in people if name],
        "sources": [
            {"title": printable(name), **({"path": place} if place else {})} for name, place in about.sources if name
        ],
    }
    return {**{name: value for name, value in said.items() if value}, "resources": resources}
