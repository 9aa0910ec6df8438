"""Signature records: the members behind the manifest (spec/1, 13.2)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from llamafile_format.errors import FormatError
from llamafile_format.manifest.model import SIGNATURES_FOLDER

MAX_RECORD = 1 << 20  # clause 13.2.3: bytes of one record
MAX_RECORDS = 1024
MAX_TAIL = 16 << 20  # bytes of data of all records


class RecordKind(StrEnum):
    """What a record is (clause 11.7)."""

    OMS = "oms"  # OpenSSF Model Signing bundle
    SIG = "sig"  # the same, by a key that OMS does not know
    ATT = "att"  # attestation with another predicate
    TSR = "tsr"  # RFC 3161 time stamp
    VM = "vm"  # validation material
    CNT = "cnt"  # countersignature

    @property
    def suffix(self) -> str:
        """The suffix that goes with the kind."""
        return "der" if self is RecordKind.TSR else "json"

    @property
    def is_bundle(self) -> bool:
        """True if the record is a bundle, that is, signed by somebody."""
        return self in (RecordKind.OMS, RecordKind.SIG, RecordKind.ATT, RecordKind.CNT)

    @property
    def vouches(self) -> bool:
        """True if the record can vouch for the file: a statement about its members, or a countersignature.

        An attestation says something else, by a type that this document does not know; it is never an approval.
        """
        return self in (RecordKind.OMS, RecordKind.SIG, RecordKind.CNT)


_NAME = r"(?P<number>\d{4})\.(?P<kind>(?:oms|sig|att|vm|cnt)(?=\.json)|tsr(?=\.der))\.(?:json|der)"
RECORD_NAME = re.compile(re.escape(SIGNATURES_FOLDER) + _NAME + r"\Z")  # clause 13.2.2
DETACHED_NAME = re.compile(r".+\." + _NAME + r"\Z", re.DOTALL)  # clause 13.10.1


@dataclass(frozen=True, slots=True)
class Record:
    """A record's bytes and where they stand: ``header_offset`` of its local header and ``data_offset`` of its data,
    absolute from byte 0. A ``detached`` one stands in a file of its own, called ``path``, and has no offsets (0)."""

    number: int
    kind: RecordKind
    path: str
    header_offset: int
    data_offset: int
    data: bytes
    detached: bool = False

    @property
    def sha256(self) -> str:
        """Digest of the record's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        """A short name for people: ``0001.oms``."""
        return f"{self.number:04d}.{self.kind}"


def record_path(number: int, kind: RecordKind) -> str:
    """Path of the record ``number`` (from 1)."""
    return f"{SIGNATURES_FOLDER}{record_file(number, kind)}"


def record_file(number: int, kind: RecordKind) -> str:
    """The last part of a record's path: ``0001.oms.json``."""
    if not 1 <= number <= MAX_RECORDS:
        raise FormatError("there is no room for another record", found=number, allowed=f"1 to {MAX_RECORDS}")
    return f"{number:04d}.{kind}.{kind.suffix}"


def parse_record_path(path: str) -> tuple[int, RecordKind] | None:
    """(number, kind) of a record's path; None if it is none."""
    match = RECORD_NAME.match(path)
    return (int(match["number"]), RecordKind(match["kind"])) if match else None


def detached_record(name: str, data: bytes) -> Record:
    """The detached record in the file ``name``: ``FILE.NNNN.KIND.SUFFIX`` (clause 13.10.1). FormatError."""
    match = DETACHED_NAME.match(name)
    if not match or not 1 <= int(match["number"]) <= MAX_RECORDS:
        raise FormatError(
            f"{name} does not end in the name of a record", allowed="FILE.0001.oms.json and the like", clause="13.10.1"
        )
    if len(data) > MAX_RECORD:
        raise FormatError(f"{name} is too large", found=len(data), allowed=f"{MAX_RECORD} bytes", clause="13.2.3")
    return Record(int(match["number"]), RecordKind(match["kind"]), name, 0, 0, data, detached=True)
