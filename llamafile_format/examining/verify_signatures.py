"""Step (7) of a verification: the signature records, publisher signatures, and those of earlier files (10.6.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.checks.earlier import check_earlier
from llamafile_format.checks.publisher import certificates_of, check_publishers
from llamafile_format.checks.signatures import Collected, Subject, collect, read_records
from llamafile_format.checks.verdict import Level
from llamafile_format.container import Container
from llamafile_format.examining.demands import Trust
from llamafile_format.findings import Finding
from llamafile_format.progress import Progress
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.trust.evaluate import Outcome, evaluate, untrusted
from llamafile_format.signing.trust.evidence import PublisherFact, SignatureFact
from llamafile_format.signing.trust.sight import sights


@dataclass(frozen=True, slots=True)
class Judged:
    """What the records say and who is believed. ``asked`` is False if the policy lets this unsigned file pass."""

    findings: tuple[Finding, ...]
    signatures: tuple[SignatureFact, ...] = ()
    publishers: tuple[PublisherFact, ...] = ()
    asked: bool = True


def check_signatures(
    container: Container, trust: Trust, *, level: Level, whole: bool, progress: Progress | None = None
) -> Judged:
    """Check the records of ``container``, whose manifest can be used; ``whole`` if this run recomputed whole digests.

    Renewals are hashed at every level but quick: one more pass over everything in front of them.
    """
    claims = container.claims
    assert claims is not None
    subject = Subject(claims.manifest, claims.data, claims.layout)
    records = (*read_records(container.source, container.archive), *trust.detached)
    collected = collect(subject, records, signed_with=certificates_of(container))
    if collected.renewals and level is not Level.QUICK:
        collected = collected.renewed(_digests(container, collected, progress))
    policy = trust.policy
    agility = Agility(policy.algorithms if policy else {})
    seen = sights(collected.evidence, policy.authorities if policy else (), agility, trust.at)
    publishers = check_publishers(container, policy, seen, recomputed=whole)
    findings = [*collected.findings, *publishers.findings]
    findings += check_earlier(container, policy, seen, looked=level is not Level.QUICK)
    if policy is None:
        if records:
            findings.append(Finding("LF9005", args={"count": len(records)}))
        return Judged(tuple(findings), untrusted(seen), publishers.facts)
    outcome = evaluate(seen, policy, required=trust.required, published=publishers.published)
    findings += [*outcome.findings, *_policy(container, trust, outcome, level=level, whole=whole)]
    return Judged(tuple(findings), outcome.facts, publishers.settled(outcome.tally), outcome.asked)


def _policy(container: Container, trust: Trust, outcome: Outcome, *, level: Level, whole: bool) -> Iterator[Finding]:
    from llamafile_format.checks.policy import check_policy
    from llamafile_format.checks.policy_members import check_policy_members
    from llamafile_format.checks.policy_templates import check_policy_templates

    assert trust.policy is not None
    yield from check_policy(container, trust.policy, at=trust.at, revisions=outcome.revisions)
    yield from check_policy_members(container, trust.policy, deep=level is not Level.QUICK)
    yield from check_policy_templates(container, trust.policy, deep=level is not Level.QUICK)
    if trust.compared and not whole:
        yield Finding("LF8407", args={"what": " and ".join(trust.compared)})


def _digests(container: Container, collected: Collected, progress: Progress | None) -> dict[int, bytes]:
    """What the renewals stamp, hashed in one pass."""
    from llamafile_format.signing.time.prefix_digests import prefix_digests

    found = prefix_digests(container.source, list(collected.renewals.values()), progress=progress)
    return dict(zip(collected.renewals, found, strict=True))
