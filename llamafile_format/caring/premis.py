"""``export --premis``: the container, its members, events and rights, in the words of PREMIS 3.0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llamafile_format import __version__
from llamafile_format.caring.event import Event
from llamafile_format.caring.subject import Subject
from llamafile_format.caring.xml_text import Element, document, el, maybe
from llamafile_format.examining import MemberView

AGENT = f"llamafile-format {__version__}"
_NAMESPACES = {
    "xmlns:premis": "http://www.loc.gov/premis/v3",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:schemaLocation": "http://www.loc.gov/premis/v3 https://www.loc.gov/standards/premis/premis.xsd",
    "version": "3.0",
}
_EVENTS = {"authority": "eventType", "authorityURI": "http://id.loc.gov/vocabulary/preservation/eventType"}
_DIGESTS = {"SHA-256": "sha256", "SHA-512": "sha512"}


def premis_text(subject: Subject) -> bytes:
    """The document about ``subject``; the same file and the same events give the same bytes."""
    events = list(_events(subject))
    agents = sorted({event.agent for event in events if event.agent} | {AGENT})
    return document(
        el(
            "premis:premis",
            _file(subject),
            *(_member(subject, number, member) for number, member in enumerate(subject.inspection.members)),
            *(_event(subject, event) for event in events),
            *map(_agent, agents),
            *_rights(subject),
            attributes=_NAMESPACES,
        )
    )


def _events(subject: Subject) -> Iterator[Event]:
    """What is known to have happened: how the file came about, what was written down, and the check of this export."""
    file = subject.inspection.file
    if file.created:
        yield Event("creation", file.created, "packed into one file, as its manifest says", "", "")
    for entry in subject.inspection.history:
        if isinstance(entry.get("created"), str):
            before = str(entry.get("manifest_sha256", ""))
            detail = f"made from the file with the manifest sha256:{before}" if before else "made from an older file"
            yield Event("modification", str(entry["created"]), detail, "", "")
    yield from subject.events
    if subject.moment:
        detail = "verified at level full, then hashed while it was copied, and the copy read back and compared"
        yield Event("fixity check", subject.moment, detail, "pass", AGENT)


def _named(element: str, kind: str, value: str) -> Element:
    return el(f"premis:{element}", el(f"premis:{element}Type", kind), el(f"premis:{element}Value", value))


def _object(kind: str, *content: Element) -> Element:
    return el("premis:object", *content, attributes={"xsi:type": f"premis:{kind}"})


def _file(subject: Subject) -> Element:
    """The whole file. PRONOM has no identifier for it yet, so none is claimed."""
    file, copied = subject.inspection.file, subject.copied
    fixities = [_fixity(name, copied.digest(kind), AGENT) for name, kind in _DIGESTS.items()]
    return _object(
        "file",
        _named("objectIdentifier", "URN", subject.identifier),
        *maybe_property("title", file.title),
        *maybe_property("kind", file.kind),
        *maybe_property("manifest sha256", file.manifest_sha256),
        *maybe_property("signature records", str(len(subject.inspection.statements.signature_records) or "")),
        el(
            "premis:objectCharacteristics",
            el("premis:compositionLevel", "0"),
            *fixities,
            el("premis:size", str(copied.size)),
            _format("llamafile", file.version),
        ),
        el("premis:originalName", subject.name),
    )


def maybe_property(kind: str, value: str) -> tuple[Element, ...]:
    """A significant property; nothing where it has no value."""
    if not value:
        return ()
    return (
        el(
            "premis:significantProperties",
            el("premis:significantPropertiesType", kind),
            el("premis:significantPropertiesValue", value),
        ),
    )


def _member(subject: Subject, number: int, member: MemberView) -> Element:
    """A member, as a stretch of the file: what the manifest records of it."""
    fixity = [_fixity("SHA-256", member.sha256, "the manifest of the file")] if member.sha256 else []
    return _object(
        "bitstream",
        _named("objectIdentifier", "URN", f"{subject.identifier}#member-{number}"),
        *maybe_property("path", member.path),
        *maybe_property("role", member.role),
        *maybe_property("offset", str(member.offset)),
        el(
            "premis:objectCharacteristics",
            *fixity,
            el("premis:size", str(member.size)),
            _format(member.media_type or "application/octet-stream", ""),
        ),
        el(
            "premis:relationship",
            el("premis:relationshipType", "structural"),
            el("premis:relationshipSubType", "is included in"),
            _named("relatedObjectIdentifier", "URN", subject.identifier),
        ),
    )


def _fixity(algorithm: str, digest: str, originator: str) -> Element:
    return el(
        "premis:fixity",
        el("premis:messageDigestAlgorithm", algorithm),
        el("premis:messageDigest", digest),
        el("premis:messageDigestOriginator", originator),
    )


def _format(name: str, version: str) -> Element:
    designation = el("premis:formatDesignation", el("premis:formatName", name), *maybe("premis:formatVersion", version))
    return el("premis:format", designation)


def _event(subject: Subject, event: Event) -> Element:
    outcome = [el("premis:eventOutcomeInformation", el("premis:eventOutcome", event.outcome))] if event.outcome else []
    agent = [_named("linkingAgentIdentifier", "software", event.agent)] if event.agent else []
    return el(
        "premis:event",
        _named("eventIdentifier", "UUID", event.identifier(subject.identifier)),
        el("premis:eventType", event.kind, attributes=_EVENTS),
        el("premis:eventDateTime", event.moment),
        el("premis:eventDetailInformation", el("premis:eventDetail", event.detail)),
        *outcome,
        *agent,
        _named("linkingObjectIdentifier", "URN", subject.identifier),
    )


def _agent(name: str) -> Element:
    program, _, version = name.rpartition(" ")
    return el(
        "premis:agent",
        _named("agentIdentifier", "software", name),
        el("premis:agentName", program or name),
        el("premis:agentType", "software"),
        *maybe("premis:agentVersion", version if program else ""),
    )


def _rights(subject: Subject) -> Iterable[Element]:
    """The licence that the file names, if it names one."""
    licence = subject.inspection.licence
    terms = licence.manifest or licence.weights
    if not terms:
        return
    statement = el(
        "premis:rightsStatement",
        _named("rightsStatementIdentifier", "URN", f"{subject.identifier}#license"),
        el("premis:rightsBasis", "license"),
        el("premis:licenseInformation", el("premis:licenseTerms", terms)),
        _named("linkingObjectIdentifier", "URN", subject.identifier),
    )
    yield el("premis:rights", statement)
