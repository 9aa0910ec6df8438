"""What a container is, in the words that catalogues share: gathered once, told in many forms.

Only what manifest and metadata say: nothing is guessed from names. The table in docs/archive.md says which element of
Dublin Core, DataCite and schema.org each field becomes, and where it is from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llamafile_format.caring.subject import Subject
from llamafile_format.source.address import shown

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:_-]+(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")
_SPDX = "https://spdx.org/licenses/"


@dataclass(frozen=True, slots=True)
class Description:
    """Texts as they are in the file, unescaped; empty where it does not say. ``sources`` are (name, address)."""

    identifier: str
    title: str
    creator: str
    publisher: str
    description: str
    created: str
    licence: str
    licence_address: str
    address: str
    languages: tuple[str, ...]
    subjects: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    datasets: tuple[tuple[str, str], ...]
    architecture: str
    parameters: int
    size: int
    media_type: str = "application/vnd.llamafile+zip"
    kind: str = "llamafile 1.0"


def describe(subject: Subject) -> Description:
    """The description of ``subject``: of the model that starts, with the manifest's word before that of the weights."""
    inspection = subject.inspection
    file, licence, model = inspection.file, inspection.licence, inspection.model
    facts = model.facts if model is not None else None
    terms = licence.manifest or licence.weights
    datasets = {(dataset.name, address(dataset.url)): None for dataset in subject.bill.datasets}
    return Description(
        identifier=subject.identifier,
        title=subject.title,
        creator=(facts.author or facts.organization or "") if facts else "",
        publisher=(facts.organization or "") if facts else "",
        description=(facts.description or "") if facts else "",
        created=file.created,
        licence=terms,
        licence_address=licence_address(terms) or address(licence.link),
        address=address(file.source) or address(facts.url if facts else ""),
        languages=facts.languages if facts else (),
        subjects=facts.tags if facts else (),
        sources=tuple(
            (base.name or base.url or "", address(base.url)) for base in (facts.base_models if facts else ())
        ),
        datasets=tuple(datasets),
        architecture=(facts.architecture or "") if facts else "",
        parameters=facts.parameters if facts else 0,
        size=subject.copied.size,
        kind=f"llamafile {file.version}" if file.version else file.kind,
    )


def address(text: str | None) -> str:
    """``text`` if it is an http address that every tool can take, without what may be secret in it; else empty."""
    plain = shown(text or "")
    return plain if _ADDRESS.fullmatch(plain) else ""


def licence_address(terms: str) -> str:
    """The page of SPDX about ``terms``, if that is one licence of its list; else empty."""
    name = spdx_name(terms)
    return f"{_SPDX}{name}" if name else ""


def spdx_name(terms: str) -> str:
    """``terms`` as SPDX spells it, if it is one licence of its list; else empty."""
    if not re.fullmatch(r"[A-Za-z0-9.+-]{1,64}", terms):
        return ""
    from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

    symbols = {key.lower(): key for key in get_spdx_licensing().known_symbols}
    found = str(symbols.get(terms.lower(), ""))
    return "" if found.startswith("LicenseRef-") else found
