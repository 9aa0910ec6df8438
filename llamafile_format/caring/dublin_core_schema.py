"""XML Schemas of the Dublin Core document, for packages that hold the schemas of what is in them."""

from __future__ import annotations

from llamafile_format.caring.xml_text import Element, document, el

DC = "http://purl.org/dc/elements/1.1/"
OAI_DC = "http://www.openarchives.org/OAI/2.0/oai_dc/"
_XS = {"xmlns:xs": "http://www.w3.org/2001/XMLSchema", "elementFormDefault": "qualified"}
_ELEMENTS = (
    "title",
    "creator",
    "subject",
    "description",
    "publisher",
    "contributor",
    "date",
    "type",
    "format",
    "identifier",
    "source",
    "language",
    "relation",
    "coverage",
    "rights",
)
"""Of Dublin Core 1.1: fifteen, each a text."""


def schemas() -> dict[str, bytes]:
    """The schemas by name; the first includes the second."""
    names = [el("xs:element", attributes={"name": name, "type": "xs:string"}) for name in _ELEMENTS]
    chosen = [el("xs:element", attributes={"ref": f"dc:{name}"}) for name in _ELEMENTS]
    choice = el("xs:choice", *chosen, attributes={"minOccurs": "0", "maxOccurs": "unbounded"})
    root = el("xs:element", el("xs:complexType", choice), attributes={"name": "dc"})
    inner = el("xs:import", attributes={"namespace": DC, "schemaLocation": "dublin-core-elements.xsd"})
    return {
        "dublin-core.xsd": document(_schema(OAI_DC, inner, root)),
        "dublin-core-elements.xsd": document(_schema(DC, *names)),
    }


def _schema(target: str, *inside: Element) -> Element:
    return el("xs:schema", *inside, attributes={**_XS, "xmlns:dc": DC, "targetNamespace": target})
