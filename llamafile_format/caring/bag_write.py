"""``export --bagit``: a bag as RFC 8493 has it, version 1.0, that holds one container.

    bagit.txt  bag-info.txt  manifest-sha256.txt  manifest-sha512.txt  tagmanifest-…
    data/NAME  metadata/premis.xml

Nothing in it asks a clock: the same file gives the same bag, byte for byte, unless a moment is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from llamafile_format import __version__
from llamafile_format.caring.admitting import Admitted, admitted
from llamafile_format.caring.documents import documents_of
from llamafile_format.caring.subject import Subject, subject_of
from llamafile_format.escape import printable
from llamafile_format.output.checked_copy import Copied
from llamafile_format.output.folder import new_folder, put, put_file, refuse_taken
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted

ALGORITHMS = ("sha256", "sha512")
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def export_bag(order: ExportOrder) -> Exported:
    """Write the bag ``order.target``. Raises as :func:`admitted` and :func:`new_folder` do."""
    refuse_taken(order.target)
    with admitted(order.file, "was not put into a bag", order.progress) as file, new_folder(order.target) as bag:
        return _write(file, bag, order)


def _write(file: Admitted, bag: Path, order: ExportOrder) -> Exported:
    require_room(bag.parent, [file.source])
    name = f"data/{file.name}"
    payload = {name: put_file(bag, name, file.source, counted(order.progress, 2 * file.source.size))}
    subject = subject_of(file, payload[name], order.moment)
    tags = {"bagit.txt": put(bag, "bagit.txt", DECLARATION)}
    texts = {"bag-info.txt": _info(subject), **_manifests("manifest", payload)}
    texts |= {f"metadata/{path}": data for path, data in documents_of(subject).items()}
    tags |= {path: put(bag, path, data) for path, data in sorted(texts.items())}
    last = {path: put(bag, path, data) for path, data in _manifests("tagmanifest", tags).items()}
    every = [*payload.values(), *tags.values(), *last.values()]
    copied = payload[name]
    return Exported(order.target, name, len(every), sum(each.size for each in every), copied.sha256, copied.shared)


def _info(subject: Subject) -> bytes:
    """``bag-info.txt``: one line for each element, in the order of the RFC."""
    return "".join(f"{label}: {value}\n" for label, value in _elements(subject) if value).encode("utf-8")


def _elements(subject: Subject) -> Iterator[tuple[str, str]]:
    yield "External-Description", printable(subject.title)
    yield "External-Identifier", subject.identifier
    yield "Bagging-Date", subject.moment[:10]
    yield "Payload-Oxum", f"{subject.copied.size}.1"
    yield "Bag-Software-Agent", f"llamafile-format {__version__}"


def _manifests(kind: str, files: Mapping[str, Copied]) -> dict[str, bytes]:
    """A manifest in each algorithm, by its name: a digest and a path in each line."""
    return {
        f"{kind}-{algorithm}.txt": "".join(
            f"{files[path].digest(algorithm)}  {encoded(path)}\n" for path in sorted(files)
        ).encode("utf-8")
        for algorithm in ALGORITHMS
    }


def encoded(path: str) -> str:
    """``path`` as a manifest has it (2.1.3): what would end a line, and the sign that says so, as their numbers."""
    return path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
