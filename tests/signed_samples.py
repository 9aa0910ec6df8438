"""Signed containers for tests that attack them: made by the vectors' builder, judged by the vectors' policies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import llamafile_format
from llamafile_format import Layer, Verdict
from llamafile_format.checks.verdict import Report
from llamafile_format.signing.trust.policy import Policy
from llamafile_format.signing.trust.policy_reader import read_policy
from spec.vectors.generate import ROOT as VECTORS
from spec.vectors.generate.forge import Part, Spec, container, parts
from spec.vectors.generate.signatures import PAIR, PROVENANCE
from spec.vectors.generate.signatures_certificates import LEAF, ROOT, STAMP_ROOT, revocations
from spec.vectors.generate.signatures_forge import LABELS, Tail, unsigned
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, CURATOR_PQ

AS_OF = datetime(2027, 1, 1, tzinfo=UTC)


@functools.cache
def policy(name: str) -> Policy:
    """The policy ``name`` of the vectors."""
    return read_policy(VECTORS / "trust" / f"{name}.yaml")


def verify(data: bytes, trust: str | Policy = "curator", *, level: str = "full", **options: Any) -> Report:
    """The report on ``data`` under a policy, as of the first day of 2027 unless told otherwise."""
    whom = policy(trust) if isinstance(trust, str) else trust
    return llamafile_format.verify(data, level=level, policy=whom, **{"as_of": AS_OF, **options})


def rules(report: Report) -> set[str]:
    """The rules that it found broken."""
    return {finding.rule for finding in report.findings}


def is_authentic(report: Report) -> bool:
    """True if somebody who is told all verdicts would believe the file: vouched for, and not known to be damaged."""
    verdicts = report.verdicts
    return (
        verdicts.get(Layer.AUTHENTIC) is Verdict.YES
        and verdicts.get(Layer.WELL_FORMED) is not Verdict.NO
        and verdicts.get(Layer.POLICY) is not Verdict.NO
    )


@functools.cache
def renewed() -> Tail:
    """A signed container of some 14 kB: P-384 and ML-DSA-65, a stamp on the first, and a renewal over everything."""
    weights = [part for part in parts() if part.role == "weights"]
    data = container(Spec(weights, labels=LABELS))
    return Tail(data).oms(CURATOR, PAIR).oms(CURATOR_PQ, PAIR).stamp(1).renewal()


@functools.cache
def countersigned() -> Tail:
    """A container with records of the other kinds, all in front of an archive's countersignature."""
    made = Tail(unsigned()).oms(CURATOR).stamp().vm([STAMP_ROOT.der], [revocations(STAMP_ROOT)])
    return made.att(CURATOR, PROVENANCE, {"builder": "x"}).cnt(ARCHIVE)


@functools.cache
def certified() -> Tail:
    """A container signed by certificate, the root in the record."""
    return Tail(unsigned()).oms(LEAF.key, certificates=[LEAF, ROOT])


@functools.cache
def other() -> Tail:
    """Another genuine file of the same signers: the same weights under another licence."""
    data = unsigned(Part("LICENSE.txt", b"MIT\n", "license", "text/plain"))
    return Tail(data).oms(CURATOR, PAIR).oms(CURATOR_PQ, PAIR).stamp(1).renewal()


def forged(change: Callable[[list[Part]], Any] | None = None, genuine: Tail | None = None, **spec: Any) -> bytes:
    """A container that differs from the genuine one as told, every digest, offset and CRC mended, with its records."""
    chosen = parts()
    if change is not None:
        other_parts = change(chosen)
        chosen = chosen if other_parts is None else other_parts
    tail = Tail(container(Spec(chosen, **{"labels": LABELS, **spec})))
    tail.records = (genuine or Tail(unsigned()).oms(CURATOR)).records
    return tail.done()


def refused(data: bytes, *wanted: str, trust: str = "curator", level: str = "exhaustive") -> None:
    """``data`` is not believed, and one of the rules ``wanted`` is among those that say why."""
    report = verify(data, trust, level=level)
    assert not is_authentic(report)
    assert rules(report) & set(wanted), sorted(rules(report))
