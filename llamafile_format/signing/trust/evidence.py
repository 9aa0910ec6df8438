"""What is at hand when trust is decided, and what comes out, record by record (spec/1, 13.4).

Collecting evidence (is each record what its kind demands, and does it speak about this file?) is the work of
``checks.signatures``; nothing here has been believed yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from llamafile_format.signing.records.envelope import Bundle
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.records.statement import Statement

if TYPE_CHECKING:
    from llamafile_format.signing.time.timestamps import Token


class Standing(StrEnum):
    """What this run makes of a record. Only the first is a *yes*; none of the others may read like one."""

    TRUSTED = "trusted"  # it holds, and it is by somebody whom the verifier's user named
    UNKNOWN = "unknown"  # by nobody whom the user named
    REFUSED = "refused"  # by somebody named, but out of time, denied, or by an algorithm that has been broken
    BAD = "bad"  # it claims a key that the user named, and does not hold; or it is not about this file
    UNCHECKED = "unchecked"  # what it takes to check it is not at hand
    MATERIAL = "material"  # nothing that anybody signs: certificates and revocation lists


@dataclass(frozen=True, slots=True)
class Vouching:
    """A bundle that is in order and speaks about this file."""

    bundle: Bundle
    statement: Statement


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp that is in order: it stamps the record at index ``target``, or, if that is None, it renews.

    ``renewed`` says whether its imprint is that of everything in front of it; None if this level did not compute it.
    """

    token: Token
    target: int | None
    renewed: bool | None = None

    def covers(self, index: int, own: int) -> bool:
        """True if the stamp at index ``own`` proves that the record at ``index`` was there."""
        return index == self.target if self.target is not None else bool(self.renewed) and index < own


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records of a file in order, those in files of their own behind the embedded ones; indices count from 0.

    ``certificates`` and ``revocations`` are DER, from the file: helpers for building chains, never a reason to trust.
    """

    model: str
    manifest_sha256: str
    records: Sequence[Record] = ()
    vouching: Mapping[int, Vouching] = field(default_factory=dict)
    stamps: Mapping[int, Stamp] = field(default_factory=dict)
    broken: frozenset[int] = frozenset()
    certificates: tuple[bytes, ...] = ()
    revocations: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureFact:
    """One record as a report shows it.

    ``signer`` and ``roles`` are the policy's words and empty unless the record is trusted. ``key_id`` is that of the
    key that verified, else what the record claims; ``claims`` is what else it says of itself, unproven. ``time`` is
    proven by ``time_by``, ``declared_time`` only claimed; both like ``2026-11-21T14:00:00Z``, or empty. ``level`` is B,
    T, LT or LTA for a trusted signature, else empty. ``because`` completes "trusted because" or "not, because".
    """

    record: str
    kind: RecordKind
    standing: Standing
    method: str = ""
    algorithm: str = ""
    key_id: str = ""
    signer: str = ""
    roles: tuple[str, ...] = ()
    time: str = ""
    time_by: str = ""
    declared_time: str = ""
    level: str = ""
    because: str = ""
    claims: str = ""


def moment(when: datetime) -> str:
    """``when`` (aware) as ``2026-11-21T14:00:00Z``."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class PublisherFact:
    """One publisher signature as a report shows it.

    ``matched`` are pairs of (name that the publisher gave, path of the member here); ``total`` is how many files the
    signature names. ``signer`` is the policy's word, empty unless one of its signers in role publisher made it;
    ``standing`` is trusted only if this run also recomputed what it rests on, and no weights are left over that nobody
    trusted has published. ``because`` completes "trusted because" or "not, because".
    """

    member: str
    signer: str
    matched: tuple[tuple[str, str], ...]
    total: int
    standing: Standing
    because: str
    method: str = ""
    time: str = ""

    @property
    def established(self) -> bool:
        """True if the signer published, in this very form, the members that are matched."""
        return self.standing is Standing.TRUSTED and bool(self.matched)
