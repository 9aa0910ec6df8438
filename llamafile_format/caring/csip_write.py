"""``export --csip``: an information package of E-ARK (CSIP 2.1): METS, metadata, and one representation.

    METS.xml  documentation/README.txt  metadata/descriptive/…  metadata/preservation/premis.xml  schemas/…
    representations/rep1/METS.xml  representations/rep1/data/NAME

It is an AIP: what the rules for submissions ask besides is between a depositor and an archive. The schemas of METS are
named by their addresses, and not copied into each package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from llamafile_format import __version__
from llamafile_format.caring.admitting import Admitted, admitted
from llamafile_format.caring.documents import documents_of, media_type_of
from llamafile_format.caring.dublin_core_schema import schemas
from llamafile_format.caring.mets import Part, group, header, mets, reference
from llamafile_format.caring.subject import Subject, subject_of
from llamafile_format.caring.xml_text import Element, document, el
from llamafile_format.output.checked_copy import Copied
from llamafile_format.output.folder import new_folder, put, put_file, refuse_taken
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted

_REP = "rep1"
_PLACES = {"premis.xml": "metadata/preservation/premis.xml"}
_TYPES = {"dublin-core.xml": ("DC", ""), "datacite.json": ("OTHER", "DATACITE"), "premis.xml": ("PREMIS", "3.0")}
_README = """\
This package holds one llamafile: a language model, and what it takes to run it, in one
file, which lies in representations/rep1/data. It is a ZIP archive in which nothing is
compressed, and META-LLAMAFILE/README.txt inside says how to check it and how to run it.
"""


def export_csip(order: ExportOrder) -> Exported:
    """Write the package ``order.target``. Raises as :func:`admitted` and :func:`new_folder` do."""
    refuse_taken(order.target)
    with admitted(order.file, "was not put into a package", order.progress) as file, new_folder(order.target) as root:
        require_room(root.parent, [file.source])
        return _write(file, root, order)


def _write(file: Admitted, root: Path, order: ExportOrder) -> Exported:
    data = f"data/{file.name}"
    advance = counted(order.progress, 2 * file.source.size)
    copied = put_file(root, f"representations/{_REP}/{data}", file.source, advance)
    subject = subject_of(file, copied, order.moment)
    written = {path: put(root, _place(path), text) for path, text in documents_of(subject).items()}
    readme = put(root, "documentation/README.txt", _README.encode("ascii"))
    rules = {name: put(root, f"schemas/{name}", text) for name, text in schemas().items()}
    inner = put(root, f"representations/{_REP}/METS.xml", _inner(subject, data))
    last = put(root, "METS.xml", _outer(subject, order.target.name, _Inside(written, rules, readme, inner)))
    others = (*written.values(), *rules.values(), readme, inner, last)
    size = copied.size + sum(each.size for each in others)
    return Exported(order.target, file.name, 1 + len(others), size, copied.sha256, copied.shared)


@dataclass(frozen=True, slots=True)
class _Inside:
    """What the document of the package names: documents and schemas by name, the guide, the inner METS document."""

    documents: dict[str, Copied]
    schemas: dict[str, Copied]
    readme: Copied
    inner: Copied


def _place(path: str) -> str:
    return _PLACES.get(path, f"metadata/descriptive/{path}")


def _inner(subject: Subject, data: str) -> bytes:
    """The METS document of the representation."""
    payload = Part("file-data", quote(data), "application/vnd.llamafile+zip", subject.copied)
    files = el("fileSec", group("group-data", "Data", subject.stated, payload), attributes={"ID": "files"})
    inside = (_div("metadata", "Metadata"), _div("data", "Data", _points("group-data")))
    return document(mets(_REP, header(subject.stated, __version__), files, _map(_REP, inside)))


def _outer(subject: Subject, name: str, there: _Inside) -> bytes:
    """The METS document of the package."""
    moment, written = subject.stated, there.documents
    ids = {path: f"md-{path.partition('.')[0]}" for path in written}
    sections = []
    for path in sorted(written, key=lambda each: (each == "premis.xml", each)):
        part = Part(f"ref-{ids[path]}", _place(path), media_type_of(path), written[path])
        kind, more = _TYPES[path]
        attributes = {"ID": ids[path], "STATUS": "CURRENT", "CREATED": moment}
        if path == "premis.xml":
            section = el("digiprovMD", reference(part, kind, more, moment), attributes=attributes)
            sections.append(el("amdSec", section, attributes={"ID": "administrative"}))
        else:
            sections.append(el("dmdSec", reference(part, kind, more, moment), attributes=attributes))
    guide = Part("file-readme", "documentation/README.txt", "text/plain", there.readme)
    deeper = Part("file-rep1", f"representations/{_REP}/METS.xml", "application/xml", there.inner)
    rules = [
        Part(f"file-{name.partition('.')[0]}", f"schemas/{name}", "application/xml", copied)
        for name, copied in there.schemas.items()
    ]
    files = el(
        "fileSec",
        group("group-documentation", "Documentation", moment, guide),
        group("group-schemas", "Schemas", moment, *rules),
        group("group-rep1", f"Representations/{_REP}", moment, deeper),
        attributes={"ID": "files"},
    )
    link = {"LOCTYPE": "URL", "xlink:type": "simple", "xlink:href": deeper.href, "xlink:title": "group-rep1"}
    told = {"DMDID": " ".join(ids[path] for path in sorted(ids) if path != "premis.xml"), "ADMID": ids["premis.xml"]}
    inside = (
        _div("metadata", "Metadata", more=told),
        _div("documentation", "Documentation", _points("group-documentation")),
        _div("schemas", "Schemas", _points("group-schemas")),
        _div("representations", "Representations", _points("group-rep1")),
        _div("rep1", f"Representations/{_REP}", el("mptr", attributes=link)),
    )
    return document(mets(name, header(moment, __version__), *sections, files, _map(name, inside)))


def _points(target: str) -> Element:
    return el("fptr", attributes={"FILEID": target})


def _div(name: str, label: str, *inside: Element, more: dict[str, str] | None = None) -> Element:
    return el("div", *inside, attributes={"ID": f"div-{name}", "LABEL": label, **(more or {})})


def _map(name: str, inside: tuple[Element, ...]) -> Element:
    attributes = {"ID": "map", "TYPE": "PHYSICAL", "LABEL": "CSIP"}
    return el("structMap", _div("all", name, *inside), attributes=attributes)
