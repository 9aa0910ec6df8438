"""METS 1.12 as CSIP 2.1 profiles it: header, references to metadata, groups of files."""

from __future__ import annotations

from dataclasses import dataclass

from llamafile_format.caring.xml_text import Element, el
from llamafile_format.output.checked_copy import Copied

_SCHEMAS = {
    "http://www.loc.gov/METS/": "http://www.loc.gov/standards/mets/mets.xsd",
    "http://www.w3.org/1999/xlink": "http://www.loc.gov/standards/mets/xlink.xsd",
    "https://DILCIS.eu/XML/METS/CSIPExtensionMETS": "https://earkcsip.dilcis.eu/schema/DILCISExtensionMETS.xsd",
}
_OTHER = {"csip:CONTENTINFORMATIONTYPE": "OTHER", "csip:OTHERCONTENTINFORMATIONTYPE": "llamafile"}
_NAMES = {
    "xmlns": "http://www.loc.gov/METS/",
    "xmlns:csip": "https://DILCIS.eu/XML/METS/CSIPExtensionMETS",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:schemaLocation": " ".join(f"{name} {place}" for name, place in _SCHEMAS.items()),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the package: ``id`` in the document, ``href`` relative to it."""

    id: str
    href: str
    media_type: str
    copied: Copied

    def sums(self, moment: str) -> dict[str, str]:
        """Size and digest, as attributes."""
        return {
            "MIMETYPE": self.media_type,
            "SIZE": str(self.copied.size),
            "CREATED": moment,
            "CHECKSUM": self.copied.sha256.upper(),
            "CHECKSUMTYPE": "SHA-256",
        }


def mets(identifier: str, *inside: Element) -> Element:
    """The root of a document about ``identifier``."""
    attributes = {
        **_NAMES,
        "OBJID": identifier,
        "TYPE": "Other",
        "csip:OTHERTYPE": "Language model",
        **_OTHER,
        "PROFILE": "https://earkcsip.dilcis.eu/profile/E-ARK-CSIP.xml",
    }
    return el("mets", *inside, attributes=attributes)


def header(moment: str, version: str) -> Element:
    """Who made the document, and when."""
    note = el("note", version, attributes={"csip:NOTETYPE": "SOFTWARE VERSION"})
    kind = {"ROLE": "CREATOR", "TYPE": "OTHER", "OTHERTYPE": "SOFTWARE"}
    agent = el("agent", el("name", "llamafile-format"), note, attributes=kind)
    attributes = {"CREATEDATE": moment, "LASTMODDATE": moment, "RECORDSTATUS": "NEW", "csip:OAISPACKAGETYPE": "AIP"}
    return el("metsHdr", agent, attributes=attributes)


def reference(part: Part, kind: str, more: str, moment: str) -> Element:
    """A reference to metadata: ``kind`` is a type of METS, ``more`` its version, or its name if that is OTHER."""
    attributes = {"ID": part.id, "LOCTYPE": "URL", "xlink:type": "simple", "xlink:href": part.href, "MDTYPE": kind}
    if more:
        attributes["OTHERMDTYPE" if kind == "OTHER" else "MDTYPEVERSION"] = more
    return el("mdRef", attributes=attributes | part.sums(moment))


def group(name: str, use: str, moment: str, *parts: Part) -> Element:
    """A group of files."""
    files = (
        el(
            "file",
            el("FLocat", attributes={"LOCTYPE": "URL", "xlink:type": "simple", "xlink:href": part.href}),
            attributes={"ID": part.id, **part.sums(moment)},
        )
        for part in parts
    )
    return el("fileGrp", *files, attributes={"ID": name, "USE": use, **_OTHER})
