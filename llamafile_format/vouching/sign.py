"""``sign``: vouch for a container, for its signatures, or for something about it (spec/1, 13.3).

A signature is about the manifest, and the manifest is about every byte: so signing reads no weights and moves nothing.
Every record is read back and its signature verified before it is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamafile_format.checks.attested import BEHAVIOUR
from llamafile_format.checks.verdict import Level
from llamafile_format.container import Container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.examining import examine, last_verified, refuse
from llamafile_format.packing import declared_text
from llamafile_format.progress import Progress
from llamafile_format.signing.records.envelope import encode_bundle, pae, read_bundle
from llamafile_format.signing.records.record import MAX_RECORD, Record, RecordKind, record_path
from llamafile_format.signing.records.statement import (
    Annotations,
    Signed,
    Statement,
    attestation,
    countersignature,
    covered_resources,
    oms_statement,
    read_statement,
)
from llamafile_format.source import FileSource
from llamafile_format.vouching.append import Made, append_records, records_beside, write_detached

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer

Passphrase = Callable[[], bytes]
"""Called when a key turns out to be encrypted, and only then."""
_FORGOTTEN = "not remembered"
_FRESH = 60 * 10**9
"""ns since a file was written: whoever verified it meanwhile may have done so before it could be remembered."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """A claim about the container other than "I vouch for it": an in-toto predicate and the URI of its type."""

    predicate_type: str
    predicate: Mapping[str, Any]


def attestation_of(record: bytes) -> Attestation:
    """The attestation that says: this behaviour record, YAML by 15.2, was made of this file."""
    return Attestation(BEHAVIOUR, {"record": record.decode("utf-8")})


@dataclass(frozen=True, slots=True)
class SignResult:
    """What ``sign`` did. ``records`` are the new records: their member paths, or paths of files where ``detached``.

    ``keys`` are the ids of the keys that signed. ``already`` names earlier records that say the very same by the same
    keys; then nothing was written. ``size`` is bytes; ``method`` is ``in place``, ``new file``, ``detached`` or
    ``nothing to do``; ``verified`` says what was read of the file before.
    """

    path: Path
    size: int
    manifest_sha256: str
    records: tuple[str, ...]
    keys: tuple[str, ...]
    method: str
    declared_time: str = ""
    already: tuple[str, ...] = ()
    verified: str = ""


@dataclass(frozen=True, slots=True)
class _Order:
    """Who is to say what: ``parties`` are signers and their chains, ``cosigners`` key ids."""

    parties: tuple[tuple[Signer, tuple[bytes, ...]], ...]
    cosigners: tuple[str, ...]
    revision: int
    declared_time: str
    countersign: bool
    attest: Attestation | None

    def kind(self, signer: Signer) -> RecordKind:
        """The kind of record that ``signer`` makes (13.8)."""
        if self.attest is not None:
            return RecordKind.ATT
        if self.countersign:
            return RecordKind.CNT
        return RecordKind.OMS if signer.public.algorithm.oms else RecordKind.SIG

    def statement(self, container: Container, earlier: Sequence[Signed]) -> bytes:
        """The payload; ``earlier`` are all records in front of the new one."""
        claims = container.claims
        assert claims is not None  # append_records has verified the file
        annotations = Annotations(
            manifest_sha256=hashlib.sha256(claims.data).hexdigest(),
            covered=claims.layout.manifest(len(claims.data)).end,
            revision=self.revision,
            cosigners=self.cosigners,
            declared_time=self.declared_time,
        )
        name = claims.manifest.name
        if self.attest is not None:
            return attestation(self.attest.predicate_type, self.attest.predicate, annotations, name=name)
        if self.countersign:
            return countersignature(earlier, annotations, name=name)
        return oms_statement(covered_resources(claims.manifest, claims.data), annotations, name=name)


def sign(
    what: str | os.PathLike[str],
    keys: str | os.PathLike[str] | Sequence[Signer],
    out: str | os.PathLike[str] | None = None,
    *,
    certificates: Sequence[bytes] = (),
    cosigners: Sequence[str] = (),
    revision: int = 0,
    declared_time: str = "",
    countersign: bool = False,
    attest: Attestation | None = None,
    detached: bool = False,
    passphrase: Passphrase | None = None,
    level: Level | str = Level.QUICK,
    force: bool = False,
    progress: Progress | None = None,
) -> SignResult:
    """Sign the container ``what`` with ``keys``, in place, as the new file ``out``, or ``detached`` beside it.

    ``keys`` is a key file or what it holds; the two halves of a pair sign the same statement and name each other.
    ``certificates`` is the chain of one of the keys (DER, leaf first). ``cosigners`` are ids of keys that are meant to
    sign too: a verifier misses them. ``revision`` is what pins against rollback compare. ``declared_time`` is a UTC
    time, ``now``, ``none``, or empty for SOURCE_DATE_EPOCH and else now. ``countersign`` signs all earlier records
    instead of the members, ``attest`` another claim. ``level`` is how the file is verified first: quick takes no
    digests of data, and leaves out nothing else. ``force`` replaces ``out``, and lets keys say again what they have
    said.

    Raises FormatError for a file that is not well-formed or not valid, UsageError for contradictions, SourceError when
    reading or writing fails. Then no record was written.
    """
    from llamafile_format.vouching.signers import chains_of, read_signers

    signers = read_signers(keys, passphrase=passphrase) if isinstance(keys, str | os.PathLike) else tuple(keys)
    pair = [signer.public.key_id for signer in signers] if len(signers) > 1 else []
    _refuse_contradictions(signers, out, countersign=countersign, attest=attest, detached=detached)
    parties = tuple(zip(signers, chains_of(signers, certificates), strict=True))
    cosigners = tuple(sorted({*cosigners, *pair}))
    order = _Order(parties, cosigners, revision, declared_text(declared_time), countersign, attest)
    already: tuple[str, ...] = ()
    verified = ""

    def make(container: Container, records: tuple[Record, ...], number: int) -> Made:
        """The records of all parties, unless they have said the same before."""
        nonlocal already, verified
        verified = _verified(container, Level(level), progress)
        known = (*records, *records_beside(what)) if detached else records
        already = () if force else _already(order, container, known)
        return () if already else _make(order, container, records, number)

    embed = partial(append_records, out=out, force=force, progress=progress)
    result = (write_detached if detached else embed)(what, make)
    return SignResult(
        path=result.path,
        size=result.size,
        manifest_sha256=result.manifest_sha256,
        records=tuple(record.path for record in result.records),
        keys=tuple(signer.public.key_id for signer in signers),
        method=result.method,
        declared_time=order.declared_time if result.records else "",
        already=already,
        verified=verified,
    )


def _verified(container: Container, level: Level, progress: Progress | None) -> str:
    """Refuse what ``verify`` refuses, at ``level`` and thoroughly; what was read of ``container``, in words.

    What is wrong whatever the weights are must not be signed because they were not read: the signature would hold for
    every copy of a file that nobody may start.
    """
    refuse(examine(container, level=level, thorough=True, progress=progress), "was not signed")
    if level is not Level.QUICK:
        return "every byte was read and matches the manifest"
    source = container.origin
    return f"weights not read (last verified full: {_when(source) if isinstance(source, FileSource) else _FORGOTTEN})"


def _when(source: FileSource) -> str:
    """The day of the last full verification, as far as it is remembered; of a fresh file hardly any can be (14.3.8)."""
    memory = last_verified(source)
    if memory is not None:
        return memory.day
    fresh = source.opened - source.identity.ctime < _FRESH
    return f"{_FORGOTTEN}; the file was written moments before" if fresh else _FORGOTTEN


def _refuse_contradictions(
    signers: Sequence[Signer], out: object, *, countersign: bool, attest: Attestation | None, detached: bool
) -> None:
    if not signers:
        raise UsageError("nobody is there to sign", hint="name a key with --key")
    if countersign and attest:
        raise UsageError("a countersignature and an attestation are two records", hint="make one after the other")
    if detached and out is not None:
        raise UsageError("a detached signature is written beside the file", hint="leave -o out")
    if detached and countersign and len(signers) > 1:
        raise UsageError(
            "of two countersignatures the second covers the first", hint="put them into the file, or use one key"
        )


def _make(order: _Order, container: Container, records: Sequence[Record], number: int) -> Made:
    """One record for each signer. Countersignatures cover one another, everything else has one payload for all."""
    made: list[tuple[RecordKind, bytes]] = []
    earlier = [Signed(record.path, record.sha256, len(record.data)) for record in records]
    for signer, chain in order.parties:
        kind, data = order.kind(signer), _signed(order.statement(container, earlier), signer, chain)
        earlier.append(Signed(record_path(number + len(made), kind), hashlib.sha256(data).hexdigest(), len(data)))
        made.append((kind, data))
    return made


def _signed(payload: bytes, signer: Signer, chain: tuple[bytes, ...]) -> bytes:
    """The record in which ``signer`` says ``payload``; read back, because what cannot be read proves nothing."""
    if len(payload) * 4 // 3 > MAX_RECORD:
        raise FormatError(
            f"the statement about this file has {len(payload)} bytes, too many for a record",
            clause="13.2.3",
            allowed=f"{MAX_RECORD * 3 // 4} bytes",
            hint="it names every member, or holds what is attested: there are too many, or that is too long",
        )
    read_statement(payload)
    data = encode_bundle(payload, signer.sign(pae(payload)), public=signer.public, certificates=chain)
    bundle = read_bundle(data)
    if bundle.payload != payload or not signer.public.verify(bundle.signature, bundle.signed):
        raise FormatError(
            f"the signature that was made does not hold under the key {signer.public.key_id}",
            hint="key and public key do not belong together, or the signer is faulty; nothing was written",
        )
    return data


def _already(order: _Order, container: Container, records: Sequence[Record]) -> tuple[str, ...]:
    """Names of the records in which all parties have said the very same, whenever that was; else none."""
    if order.countersign:  # there is one record more to cover each time
        return ()
    ours = _timeless(order.statement(container, ()))
    found = [_same(records, signer, order.kind(signer), ours) for signer, _ in order.parties]
    return tuple(found) if all(found) else ()


def _same(records: Sequence[Record], signer: Signer, kind: RecordKind, ours: Statement) -> str:
    for record in records:
        if record.kind is not kind:
            continue
        with contextlib.suppress(FormatError):  # what lies beside the file may be anything
            bundle = read_bundle(record.data)
            if signer.public.verify(bundle.signature, bundle.signed) and _timeless(bundle.payload) == ours:
                return record.name
    return ""


def _timeless(payload: bytes) -> Statement:
    """A statement but for the time that its signer declared."""
    statement = read_statement(payload)
    return (
        statement
        if statement.annotations is None
        else replace(statement, annotations=replace(statement.annotations, declared_time=""))
    )
