"""Algorithms of signatures and digests, and until when each of them proves something (spec/1, 11.6, 11.7 and 13.8).

The table is ``spec/registry/algorithms.yaml``. An algorithm is never read from a record: it follows from the key that
the verifier's user trusts, and from the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from typing import Any

from llamafile_format.specdata import spec_yaml


class Algorithm(StrEnum):
    """How records of this format are signed; exactly one for each kind of key (spec/1, 13.8)."""

    ECDSA_P256 = "ecdsa-p256-sha256"
    ECDSA_P384 = "ecdsa-p384-sha384"
    ECDSA_P521 = "ecdsa-p521-sha512"
    ED25519 = "ed25519"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def post_quantum(self) -> bool:
        """True if a quantum computer is not known to forge it."""
        return self in (Algorithm.ML_DSA_65, Algorithm.ML_DSA_87)

    @property
    def oms(self) -> bool:
        """True if OpenSSF Model Signing knows keys of this kind: elliptic curves only."""
        return self.value.startswith("ecdsa-")

    @property
    def digest(self) -> str:
        """The digest that the signature is made over, such as ``sha384``; empty where the algorithm takes the data."""
        return self.value.rpartition("-")[2] if self.oms else ""


class AlgorithmKind(StrEnum):
    """Where an algorithm may stand."""

    DIGEST = "digest"
    SIGNATURE = "signature"
    TIME_STAMP = "time-stamp"


class Status(StrEnum):
    """What a verifier owes to an algorithm."""

    MUST = "must"
    MAY = "may"
    RESERVED = "reserved"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Registered:
    """One row of the table. Days count from their beginning in UTC; None means that no such day is known.

    ``rests_on`` is the digest without which the algorithm proves nothing, or empty.
    """

    id: str
    kind: AlgorithmKind
    status: Status
    rests_on: str
    since: date
    retired: date | None
    broken: date | None
    note: str


@cache
def registry() -> Mapping[str, Registered]:
    """Every registered algorithm by id, in the order of the table."""
    table = spec_yaml("registry/algorithms.yaml")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["algorithms"]]
    return {row["id"]: _registered(row) for row in rows}


def _registered(row: Mapping[str, Any]) -> Registered:
    return Registered(
        id=row["id"],
        kind=AlgorithmKind(row["kind"]),
        status=Status(row["status"]),
        rests_on=row["rests_on"] or "",
        since=date.fromisoformat(row["since"]),
        retired=_date(row["retired"]),
        broken=_date(row["broken"]),
        note=row["note"],
    )


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


class Agility:
    """Which algorithms still prove something at a moment: the table, and what a policy says beyond it.

    ``overrides`` names the day from which an id counts as broken. A policy can only be stricter than the table: the
    earlier day counts, or a forgotten line in an old policy would bring a broken algorithm back.
    """

    __slots__ = ("_overrides",)

    def __init__(self, overrides: Mapping[str, date] | None = None) -> None:
        self._overrides = dict(overrides or {})

    def broken(self, algorithm: str, when: datetime) -> bool:
        """True if ``algorithm``, or the digest that it rests on, proves nothing about what was made at ``when``.

        An id that the table does not know, or only reserves, proves nothing at any time.
        """
        row = registry().get(algorithm)
        if row is None or row.status is Status.RESERVED:
            return True
        days = [day for day in (row.broken, self._overrides.get(algorithm)) if day is not None]
        if days and _day(when) >= min(days):
            return True
        return bool(row.rests_on) and self.broken(row.rests_on, when)

    def retired(self, algorithm: str, when: datetime) -> bool:
        """True if ``algorithm``, or the digest that it rests on, should no longer have been used at ``when``."""
        row = registry().get(algorithm)
        if row is None:
            return True
        if row.retired is not None and _day(when) >= row.retired:
            return True
        return bool(row.rests_on) and self.retired(row.rests_on, when)


def _day(when: datetime) -> date:
    if when.tzinfo is None:
        raise ValueError("a moment without a time zone is no moment")
    return when.astimezone(UTC).date()
