"""The signature records: is each what its kind demands, and does it speak about this very file? (spec/1, 13.2, 13.3)

None of this needs a key. What comes out is evidence; whether anybody is to be believed is decided by a policy, in
``signing.trust``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llamafile_format.checks.canonical import signature_entries
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.layout import Layout
from llamafile_format.manifest.model import Manifest
from llamafile_format.signing.records.envelope import Bundle, Method, read_bundle
from llamafile_format.signing.records.record import (
    MAX_RECORD,
    MAX_RECORDS,
    MAX_TAIL,
    Record,
    RecordKind,
    parse_record_path,
)
from llamafile_format.signing.records.statement import (
    COUNTERSIGNATURE,
    OMS_PREDICATE,
    Resource,
    Signed,
    Statement,
    covered_resources,
    read_statement,
)
from llamafile_format.signing.trust.evidence import Evidence, Stamp, Vouching
from llamafile_format.signing.trust.material import MAX_IN_ALL, read_material

if TYPE_CHECKING:
    from llamafile_format.signing.time.timestamps import Token
    from llamafile_format.signing.trust.material import Material
    from llamafile_format.source import ByteSource
    from llamafile_format.zip.reader import Archive

_PREDICATES = {RecordKind.OMS: OMS_PREDICATE, RecordKind.SIG: OMS_PREDICATE, RecordKind.CNT: COUNTERSIGNATURE}
_NAMED = 3  # differing resources named one by one


@dataclass(frozen=True, slots=True)
class Subject:
    """What records of a container must speak about: its manifest, and the layout that follows from it."""

    manifest: Manifest
    data: bytes
    layout: Layout

    @property
    def sha256(self) -> str:
        """Digest of the manifest."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def covered(self) -> int:
        """``N``: bytes in front of the first record (clause 5.1.3)."""
        return self.layout.manifest(len(self.data)).end


@dataclass(slots=True)
class Collected:
    """Evidence in the making, and what is wrong with the records. ``renewals`` maps indices to (length, digest id) of
    what must be hashed before a renewal can be judged."""

    evidence: Evidence
    findings: list[Finding] = field(default_factory=list)
    renewals: dict[int, tuple[int, str]] = field(default_factory=dict)

    def renewed(self, digests: Mapping[int, bytes]) -> Collected:
        """With the digests that were asked for, by index: a stamp of something else is of nothing here."""
        stamps, findings = dict(self.evidence.stamps), list(self.findings)
        for index, digest in digests.items():
            stamp = stamps[index]
            stamps[index] = replace(stamp, renewed=stamp.token.imprint == digest)
            if stamp.token.imprint != digest:
                findings.append(_finding("LF8021", self.evidence.records[index]))
        return Collected(replace(self.evidence, stamps=stamps), findings, {})


def read_records(source: ByteSource, archive: Archive) -> tuple[Record, ...]:
    """The records of ``archive`` in order, up to the first that is out of form (LF3104 tells of it)."""
    found: list[Record] = []
    total = 0
    for number, entry in enumerate(signature_entries(archive), 1):
        parsed = parse_record_path(entry.path)
        total += entry.size  # entries can share their bytes, so the size of the file bounds nothing
        fits = entry.located and entry.size <= MAX_RECORD and entry.data_offset + entry.size <= source.size
        fits = fits and total <= MAX_TAIL
        if parsed is None or parsed[0] != number or number > MAX_RECORDS or not fits:
            break
        data = source.read_at(entry.data_offset, entry.size)
        found.append(Record(number, parsed[1], entry.path, entry.header_offset, entry.data_offset, data))
    return tuple(found)


def collect(subject: Subject, records: Sequence[Record], *, signed_with: Sequence[bytes] = ()) -> Collected:
    """Read ``records`` (embedded ones in order, then detached ones) and compare what they say with ``subject``.

    ``signed_with`` are certificates (DER) of signatures elsewhere in the file, which validation material may be for.
    """
    work = _Work(subject, tuple(records), signed_with)
    for index in range(len(work.records)):
        work.read(index)
    work.look_for_strays()
    evidence = Evidence(
        model=subject.manifest.name,
        manifest_sha256=work.manifest_sha256,
        records=work.records,
        vouching=work.vouching,
        stamps=work.stamps,
        broken=frozenset(work.broken),
        certificates=tuple(work.certificates),
        revocations=tuple(work.revocations),
    )
    return Collected(evidence, work.findings, work.renewals)


def signed_with(records: Iterable[Record]) -> list[bytes]:
    """The certificates (DER) of the signatures and stamps among ``records``; of those that are out of form, none."""
    from llamafile_format.signing.time.timestamps import read_response

    found: list[bytes] = []
    for record in records:
        with suppress(FormatError):
            if record.kind is RecordKind.TSR:
                found += read_response(record.data).certificates
            elif record.kind.is_bundle:
                found += read_bundle(record.data).certificates
    return found


class Row:
    """Records in order, each judged as it is offered: of what strangers attach, some may not hold.

    What :func:`collect` would say of each whole row is known after one look at each record: a thousand of them, read
    anew with every further one, would hold up whoever takes them for minutes.
    """

    def __init__(self, subject: Subject) -> None:
        self._work = _Work(subject, (), ())

    @property
    def records(self) -> tuple[Record, ...]:
        """Those that hold, in order."""
        return self._work.records

    def take(self, record: Record) -> bool:
        """True if ``record`` holds behind those that are in the row, where it then is."""
        return self._work.add(record)


class _Work:
    def __init__(self, subject: Subject, records: tuple[Record, ...], signed_with: Sequence[bytes]) -> None:
        self.records = records
        self.signed_with = signed_with
        # What every record is compared with is computed once: there may be a thousand of them, and as many members.
        self.covered = subject.covered
        self.manifest_sha256 = subject.sha256
        self.digests_here = {self.manifest_sha256, *(member.sha256 for member in subject.manifest.members)}
        self.due = {each.name: each.sha256 for each in covered_resources(subject.manifest, subject.data)}
        self.signed = tuple(Signed(record.path, record.sha256, len(record.data)) for record in records)
        self.vouching: dict[int, Vouching] = {}
        self.stamps: dict[int, Stamp] = {}
        self.certificates: dict[bytes, None] = {}  # each once, in order
        self.revocations: dict[bytes, None] = {}
        self.material: dict[int, Material] = {}
        self.renewals: dict[int, tuple[int, str]] = {}
        self.digests: dict[str, list[bytes]] = {}
        self.broken: set[int] = set()
        self.findings: list[Finding] = []

    def read(self, index: int) -> None:
        """Take in record number ``index``, from 0: what is in order becomes evidence, what is not a finding."""
        record = self.records[index]
        if record.kind is RecordKind.TSR:
            faults = list(self._stamp(index, record))
        elif record.kind is RecordKind.VM:
            faults = list(self._validation(index, record))
        else:
            faults = list(self._bundle(index, record))
        if faults:
            self.broken.add(index)
            self.findings += faults

    def add(self, record: Record) -> bool:
        """Take in one more, if it is in order; otherwise all is as before."""
        index, records, signed = len(self.records), self.records, self.signed
        certificates, revocations = self.certificates, self.revocations
        self.records = (*records, record)
        self.signed = (*signed, Signed(record.path, record.sha256, len(record.data)))
        self.read(index)
        if len(self.certificates) + len(self.revocations) > len(certificates) + len(revocations):
            self.look_for_strays()  # material that is there already belongs to something
        if index not in self.broken:
            return True
        self.records, self.signed = records, signed
        self.certificates, self.revocations = certificates, revocations
        for found in (self.vouching, self.stamps, self.material, self.renewals):
            found.pop(index, None)
        self.broken.discard(index)
        return False

    def _bundle(self, index: int, record: Record) -> Iterable[Finding]:
        try:
            bundle = read_bundle(record.data)
            statement = read_statement(bundle.payload)
        except FormatError as error:
            yield _finding("LF8001", record, reason=str(error))
            return
        due = _PREDICATES.get(record.kind)
        if (due or statement.predicate_type) != statement.predicate_type or (
            due is None and statement.predicate_type in _PREDICATES.values()
        ):
            reason = f"a record of kind {record.kind} has the predicate type {statement.predicate_type[:100]}"
            yield _finding("LF8001", record, reason=reason)
            return
        faults = [*_own_certificate(bundle, record), *self._about(index, record, statement)]
        yield from faults
        if not faults:
            self.vouching[index] = Vouching(bundle, statement)

    def _about(self, index: int, record: Record, statement: Statement) -> Iterable[Finding]:
        """Does the statement speak about this file? A genuine signature of another file is none of this one."""
        annotations = statement.annotations
        if record.kind in (RecordKind.OMS, RecordKind.SIG):
            if reason := self._resources_differ(index, statement.resources):
                yield _finding("LF8002", record, reason=reason)
        elif record.kind is RecordKind.CNT:
            if reason := self._records_differ(index, statement):
                yield _finding("LF8004", record, reason=reason)
        elif statement.subject_sha256 not in self.digests_here:
            yield _finding("LF8005", record, sha256=statement.subject_sha256)
        if annotations is None:
            return
        for name, found, allowed in (
            ("manifest_sha256", annotations.manifest_sha256, self.manifest_sha256),
            ("covered", str(annotations.covered), str(self.covered)),
        ):
            if found != allowed:
                yield _finding("LF8003", record, field=name, found=found, allowed=allowed)

    def _resources_differ(self, index: int, found: Sequence[Resource]) -> str:
        """In what the statement and the file differ. Records that stood there when it was made may be named too: who
        signs an unpacked folder signs them with it."""
        named = {resource.name: resource.sha256 for resource in found}
        due = self.due
        other = sorted(name for name in due.keys() & named.keys() if due[name] != named[name])
        absent = sorted(due.keys() - named.keys())
        surplus = named.keys() - due.keys()
        if surplus:
            earlier = {signed.path: signed.sha256 for signed in self.signed[:index]}
            surplus = {name for name in surplus if earlier.get(name) != named[name]}
        strange = sorted(surplus)
        parts = (("has another digest for", other), ("does not name", absent), ("names what is not there:", strange))
        return "; ".join(f"it {what} {_few(names)}" for what, names in parts if names)

    def _records_differ(self, index: int, statement: Statement) -> str:
        if statement.subject_sha256 != self.manifest_sha256:
            return "its subject is another manifest"
        if statement.records == self.signed[:index]:
            return ""
        return f"it lists {len(statement.records)} records, and {index} stand in front of it; or they differ"

    def _stamp(self, index: int, record: Record) -> Iterable[Finding]:
        from llamafile_format.signing.time.timestamps import read_response

        try:
            token: Token = read_response(record.data)
        except FormatError as error:
            yield _finding("LF8020", record, reason=str(error))
            return
        target = self._stamped(token.imprint_algorithm, token.imprint, index)
        if target is not None:
            self.stamps[index] = Stamp(token, target)
        elif record.detached:  # a renewal stands behind what it covers, or it covers nothing that can be named
            yield _finding("LF8021", record)
        else:
            self.stamps[index] = Stamp(token, None)
            self.renewals[index] = (record.header_offset, token.imprint_algorithm)

    def _stamped(self, algorithm: str, imprint: bytes, own: int) -> int | None:
        """Index of the earlier record with this digest. Each is hashed once, however many stamps there are."""
        from llamafile_format.signing.x509.cms_algorithms import digest

        known = self.digests.setdefault(algorithm, [])
        known += [digest(algorithm, record.data) for record in self.records[len(known) : own]]
        return next((index for index, found in enumerate(known[:own]) if found == imprint), None)

    def _validation(self, index: int, record: Record) -> Iterable[Finding]:
        try:
            material = read_material(record.data)
        except FormatError as error:
            yield _finding("LF8022", record, reason=str(error))
            return
        certificates = self.certificates | dict.fromkeys(material.certificates)
        revocations = self.revocations | dict.fromkeys(material.revocations)
        if max(len(certificates), len(revocations)) > MAX_IN_ALL:
            yield _finding("LF8022", record, reason=f"with it there are more than {MAX_IN_ALL} pieces of a sort in all")
            return
        self.certificates, self.revocations = certificates, revocations
        self.material[index] = material

    def look_for_strays(self) -> None:
        """Report validation material that belongs to no certificate here (13.6.9), whatever record stands where."""
        if not self.material:
            return
        from llamafile_format.signing.x509.belonging import belonging

        used = [*self.signed_with, *(data for each in self.vouching.values() for data in each.bundle.certificates)]
        used += [data for stamp in self.stamps.values() for data in stamp.token.certificates]
        certificates, lists = belonging(used, list(self.certificates), list(self.revocations))
        for index, material in self.material.items():
            strays = [("a certificate", data) for data in material.certificates if data not in certificates]
            strays += [("a revocation list", data) for data in material.revocations if data not in lists]
            if strays:
                what = strays[0][0] if len(strays) == 1 else f"{strays[0][0]}, one of {len(strays)} pieces that"
                what += f" of {len(strays[0][1])} bytes" if len(strays) == 1 else ""
                self.findings.append(_finding("LF8123", self.records[index], what=what))
                self.broken.add(index)


def _own_certificate(bundle: Bundle, record: Record) -> Iterable[Finding]:
    """A bundle with certificates must at least hold under its own; whether they are to be trusted is another matter."""
    if bundle.method is Method.KEY:
        return
    from llamafile_format.signing.x509.certificates import check_own_chain, public_key

    try:
        key = public_key(bundle.certificates[0])
        check_own_chain(bundle.certificates)
    except FormatError as error:
        yield _finding("LF8001", record, reason=str(error))
        return
    if not key.verify(bundle.signature, bundle.signed) or not bundle.speaks_of(key):
        yield _finding("LF8006", record)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:100] for name in names[:_NAMED]) + more


def _finding(rule: str, record: Record, **args: Value) -> Finding:
    where = Where(offset=None if record.detached else record.data_offset, length=len(record.data), member=record.path)
    return Finding(rule, where, {"path": record.path, **args})
