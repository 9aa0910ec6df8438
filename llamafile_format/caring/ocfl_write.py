"""``export --ocfl``: a storage root of OCFL 1.1 with one object for the container, or one object more in such a root.

    0=ocfl_1.1  ocfl_layout.json
    abc/def/012/urn%3a…/     0=ocfl_object_1.1  inventory.json  inventory.json.sha512
                             v1/  inventory.json  inventory.json.sha512  content/NAME  content/metadata/…

The id of an object follows from the manifest, so the same container is the same object in every root.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llamafile_format import __version__
from llamafile_format.bounded_json import parse_json
from llamafile_format.caring.admitting import Admitted, admitted
from llamafile_format.caring.documents import documents_of
from llamafile_format.caring.ocfl import EXTENSION, INVENTORY, LAYOUT, declaration, json_bytes, object_path
from llamafile_format.caring.subject import Subject, identifier_of, subject_of
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.output.checked_copy import Copied, digests_of
from llamafile_format.output.folder import new_folder, put, put_file
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.publish import make_folder
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted
from llamafile_format.source import read_small

_CONTENT = "v1/content/"
_MAX_LAYOUT = 1 << 16
_USER = {"name": f"llamafile-format {__version__}", "address": "urn:llamafile-format:tool"}


def export_ocfl(order: ExportOrder) -> Exported:
    """Put an object into the root ``order.target``, which is made unless it is there.

    Raises as :func:`admitted`; UsageError if there is something else, a root of another layout, or the object already.
    """
    with admitted(order.file, "was not put into a storage root", order.progress) as file:
        if _is_new(order.target):
            with new_folder(order.target) as root:
                require_room(root.parent, [file.source])
                put(root, *declaration("ocfl"))
                put(
                    root,
                    LAYOUT,
                    json_bytes({"extension": EXTENSION, "description": "digits of the SHA-256 of ids, and the ids"}),
                )
                return _new_object(file, root, order)
        _refuse_other_roots(order.target)
        require_room(order.target, [file.source])
        return _new_object(file, order.target, order)


def _is_new(target: Path) -> bool:
    return not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir()))


def _refuse_other_roots(target: Path) -> None:
    name, text = declaration("ocfl")
    try:
        ours = read_small(target / name, len(text)) == text
        layout = parse_json(read_small(target / LAYOUT, _MAX_LAYOUT))
    except (OSError, FormatError):
        ours, layout = False, None
    if not ours or not isinstance(layout, dict) or layout.get("extension") != EXTENSION:
        raise UsageError(
            f"{target} exists, and is no storage root of OCFL 1.1 with the layout {EXTENSION}",
            hint="name a folder that is not there yet, and add the object with the repository's own tool",
        )


def _new_object(file: Admitted, root: Path, order: ExportOrder) -> Exported:
    manifest = file.report.manifest_sha256
    ident = identifier_of(manifest, "" if manifest else digests_of(file.source, ["sha256"])["sha256"])
    place = root / object_path(ident)
    if os.path.lexists(place):
        raise UsageError(f"{order.target} has the object {ident} already", hint="nothing was written")
    made = [folder for folder in place.parents if not folder.exists()]
    try:
        make_folder(place.parent)
        with new_folder(place) as folder:
            content, subject = _content(file, folder, order)
            every = [*content.values(), *_structure(folder, content, subject)]
    except BaseException:
        with contextlib.suppress(OSError):  # empty folders have no place in a root
            for folder in made:
                folder.rmdir()
        raise
    size, copied = sum(each.size for each in every), subject.copied
    return Exported(order.target, ident, len(every), size, copied.sha256, copied.shared, (f"the object is {ident}",))


def _content(file: Admitted, folder: Path, order: ExportOrder) -> tuple[dict[str, Copied], Subject]:
    """Write the container and the documents about it; what lies there, by path below the object."""
    copied = put_file(folder, f"{_CONTENT}{file.name}", file.source, counted(order.progress, 2 * file.source.size))
    subject = subject_of(file, copied, order.moment)
    documents = {f"{_CONTENT}metadata/{path}": data for path, data in documents_of(subject).items()}
    written = {path: put(folder, path, data) for path, data in documents.items()}
    return {f"{_CONTENT}{file.name}": copied, **written}, subject


def _structure(folder: Path, content: Mapping[str, Copied], subject: Subject) -> list[Copied]:
    """Write the declaration, and the inventory with its digest for the version and for the object."""
    data = json_bytes(_inventory(content, subject))
    digest = f"{hashlib.sha512(data).hexdigest()} {INVENTORY}\n".encode()
    written = [put(folder, *declaration("ocfl_object"))]
    for where in ("v1/", ""):
        written += [put(folder, f"{where}{INVENTORY}", data), put(folder, f"{where}{INVENTORY}.sha512", digest)]
    return written


def _inventory(content: Mapping[str, Copied], subject: Subject) -> dict[str, Any]:
    manifest = {copied.sha512: [path] for path, copied in sorted(content.items())}
    return {
        "id": subject.identifier,
        "type": "https://ocfl.io/1.1/spec/#inventory",
        "digestAlgorithm": "sha512",
        "head": "v1",
        "manifest": manifest,
        "fixity": {"sha256": {copied.sha256: [path] for path, copied in sorted(content.items())}},
        "versions": {
            "v1": {
                "created": subject.stated,
                "message": "a container, as it was",
                "user": _USER,
                "state": {digest: [path.removeprefix(_CONTENT)] for digest, (path,) in manifest.items()},
            }
        },
    }
