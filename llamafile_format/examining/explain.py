"""What somebody without this software needs to know of a file to check it by hand (spec/1, 13.11).

    facts = explain("model.llamafile")
    [record.algorithm for record in facts.records]

Nothing here is judged, and no weights are read. Digests are of bytes as they are in the file now: they name it, they do
not prove it. What a record says of its maker is a claim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llamafile_format.checks.signatures import Collected, Subject, collect, read_records
from llamafile_format.container import Container, Kind, MemberFacts, Openable, open_container
from llamafile_format.engines.embedded import MAX_PIN, is_pin_path, read_embedded
from llamafile_format.errors import FormatError
from llamafile_format.manifest.model import MANIFEST_PATH
from llamafile_format.prefix.bootstrap import Form
from llamafile_format.rules import rule
from llamafile_format.signing.keys.algorithms import Algorithm
from llamafile_format.signing.records.envelope import Bundle, Method, read_bundle
from llamafile_format.signing.records.record import MAX_RECORD, Record, RecordKind
from llamafile_format.signing.records.statement import Statement, read_statement
from llamafile_format.signing.trust.evidence import moment

_BY_LENGTH = {64: Algorithm.ED25519, 3309: Algorithm.ML_DSA_65, 4627: Algorithm.ML_DSA_87}
_ECDSA = ((72, Algorithm.ECDSA_P256), (104, Algorithm.ECDSA_P384), (139, Algorithm.ECDSA_P521))


@dataclass(frozen=True, slots=True)
class Piece:
    """A member: ``path``, absolute offset and size in bytes, and the digest that it should have."""

    path: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A bundle: a signature record or a publisher signature.

    ``algorithm`` follows from the certificate that the bundle brings or, without one, from the length of the signature:
    a guess, since the key alone decides. ``key_id`` is claimed. ``annotated``: it has our annotations. ``named`` are
    members here whose digests it names.
    """

    method: Method
    algorithm: Algorithm | None
    key_id: str
    predicate_type: str
    declared_time: str
    cosigners: tuple[str, ...]
    names_manifest: bool
    annotated: bool
    named: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Stamped:
    """A time stamp: over the record ``target``, or, if that is empty, over the bytes [0, ``length``)."""

    target: str
    length: int
    digest: str
    time: str
    seconds: int


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """One record. ``fault`` says why no procedure can be given for it; then neither of the other two is there."""

    path: str
    kind: RecordKind
    sha256: str
    signed: Signed | None = None
    stamped: Stamped | None = None
    certificates: int = 0
    revocations: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A library that others built. All but ``piece`` is what the pin of ``engine`` in the file says (14.9.2).

    ``source`` is its path in the makers' ``package``, empty if it is the package itself (14.10.2); ``sha256`` its
    digest there.
    """

    piece: Piece
    engine: str
    package: str
    package_sha256: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a by-hand procedure for one file is made of. ``weights`` begin with the member that starts.

    ``converted`` names the form of a converted launcher, whose first 64 bytes are not the ones that were signed.
    """

    name: str
    size: int
    kind: Kind
    members: int
    converted: str = ""
    manifest: Piece | None = None
    chunks: Piece | None = None
    weights: tuple[Piece, ...] = ()
    libraries: tuple[Foreign, ...] = ()
    records: tuple[RecordFacts, ...] = ()
    publishers: tuple[tuple[str, Signed | None], ...] = ()
    earlier: int = 0


def explain(what: Openable) -> Facts:
    """The facts about ``what``. NotALlamafile or SourceError as for ``open``; damage never raises."""
    with open_container(what) as container:
        return _facts(container)


def _facts(container: Container) -> Facts:
    claims = container.claims
    form = container.form
    facts = Facts(
        name=container.name,
        size=container.size,
        kind=container.kind,
        members=len(container.members),
        converted="" if form is Form.POLYGLOT else form.value,
    )
    if claims is None:
        return facts
    manifest = claims.manifest
    entry = container.archive.entry(MANIFEST_PATH)
    assert entry is not None
    digest = hashlib.sha256(container.manifest_bytes).hexdigest()
    by_path = {member.path: member for member in container.members}
    records = read_records(container.source, container.archive)
    collected = collect(Subject(manifest, claims.data, claims.layout), records)
    publishers = [member for member in container.members if member.role == "publisher-signature"]
    return Facts(
        name=facts.name,
        size=facts.size,
        kind=facts.kind,
        members=facts.members,
        converted=facts.converted,
        manifest=Piece(MANIFEST_PATH, entry.data_offset, entry.size, digest),
        chunks=_piece(by_path.get(manifest.members[-1].path)),
        weights=_weights(container, manifest.default),
        libraries=tuple(_libraries(container, by_path)),
        records=tuple(_record(index, record, collected, digest) for index, record in enumerate(records)),
        publishers=tuple((member.path, _publisher(container, member)) for member in publishers),
        earlier=sum(
            member.role == "history" and not member.path.endswith("/manifest.json") for member in manifest.members
        ),
    )


def _piece(member: MemberFacts | None) -> Piece | None:
    return Piece(member.path, member.offset, member.size, member.sha256) if member and member.sha256 else None


def _weights(container: Container, default: str) -> tuple[Piece, ...]:
    """The model that starts, and every other member of its role: shards, data outside of a graph, further models."""
    members = [member for member in container.members if member.role == "weights"]
    pieces = map(_piece, sorted(members, key=lambda member: member.path != default))
    return tuple(piece for piece in pieces if piece)


def _libraries(container: Container, by_path: Mapping[str, MemberFacts]) -> Iterator[Foreign]:
    """What others built, as the pins in the file say where it comes from; a pin that cannot be used says nothing.

    All pins together are read up to the size that one may have.
    """
    left = MAX_PIN
    for pin_path, member in by_path.items():
        if not is_pin_path(pin_path) or member.size > left:
            continue
        left -= member.size
        try:
            pin = read_embedded(container.read(pin_path), pin_path)
        except FormatError:
            continue
        packages = {source.id: source for source in pin.inputs}
        for library in pin.libraries:
            piece = _piece(by_path.get(pin_path.replace("runtime.yaml", library.path)))
            if piece:
                source = packages[library.input]
                yield Foreign(piece, pin.key, source.file, source.sha256, library.member, library.sha256)


def _record(index: int, record: Record, collected: Collected, manifest_sha256: str) -> RecordFacts:
    facts = RecordFacts(record.path, record.kind, record.sha256)
    if index in collected.evidence.broken:
        found = next(finding for finding in collected.findings if finding.where.member == record.path)
        return RecordFacts(record.path, record.kind, record.sha256, fault=rule(found.rule).render(found))
    if vouching := collected.evidence.vouching.get(index):
        signed = _signed(vouching.bundle, vouching.statement, manifest_sha256)
        return RecordFacts(record.path, record.kind, record.sha256, signed=signed)
    if stamp := collected.evidence.stamps.get(index):
        records = collected.evidence.records
        target = "" if stamp.target is None else records[stamp.target].path
        token = stamp.token
        stamped = Stamped(
            target, record.header_offset, token.imprint_algorithm, moment(token.time), int(token.time.timestamp())
        )
        return RecordFacts(record.path, record.kind, record.sha256, stamped=stamped)
    if record.kind is RecordKind.VM:
        from llamafile_format.signing.trust.material import read_material

        material = read_material(record.data)
        pieces = len(material.certificates), len(material.revocations)
        return RecordFacts(record.path, record.kind, record.sha256, certificates=pieces[0], revocations=pieces[1])
    return facts


def _signed(bundle: Bundle, statement: Statement, manifest_sha256: str, named: Sequence[Piece] = ()) -> Signed:
    said = statement.annotations
    names = {statement.subject_sha256, *(resource.sha256 for resource in statement.resources)}
    return Signed(
        method=bundle.method,
        algorithm=_algorithm(bundle),
        key_id=bundle.keyid,
        predicate_type=statement.predicate_type,
        declared_time=said.declared_time if said else "",
        cosigners=said.cosigners if said else (),
        names_manifest=manifest_sha256 in names or bool(said and said.manifest_sha256 == manifest_sha256),
        annotated=said is not None,
        named=tuple(named),
    )


def _algorithm(bundle: Bundle) -> Algorithm | None:
    """By the bundle's certificate, else by the length of the signature: ECDSA's is at most so long on each curve."""
    if bundle.certificates:
        from llamafile_format.signing.x509.certificates import public_key

        try:
            return public_key(bundle.certificates[0]).algorithm
        except FormatError:
            return None
    length = len(bundle.signature)
    if length in _BY_LENGTH:
        return _BY_LENGTH[length]
    return next((algorithm for longest, algorithm in _ECDSA if length <= longest), None)


def _publisher(container: Container, member: MemberFacts) -> Signed | None:
    """What a publisher signature says, with the members that it names by digest; None if it cannot be read."""
    if not 0 < member.size <= MAX_RECORD:
        return None
    try:
        bundle = read_bundle(container.read(member.path), canonical=False)
        statement = read_statement(bundle.payload)
    except FormatError:
        return None
    wanted = {resource.sha256 for resource in statement.resources}
    named = (_piece(each) for each in container.members if each.sha256 in wanted and each.role != "engine-asset")
    return _signed(bundle, statement, "", [piece for piece in named if piece])
