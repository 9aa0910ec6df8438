"""Is it authentic, by this policy? (spec/1, 13.4)

Nothing inside a file makes anything in it trusted: records are judged by keys, certificates and identities that the
policy brings. What counts, and how often, is decided in ``counting``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from llamafile_format.findings import Finding, Where
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.envelope import Method
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.counting import Tally, Vote, count, settled, shortages, vote_of
from llamafile_format.signing.trust.evidence import Evidence, SignatureFact, Standing, moment
from llamafile_format.signing.trust.judgement import Circumstances, Judgement, judge_bundle
from llamafile_format.signing.trust.policy import Policy, Role, SignerRule, Unsigned
from llamafile_format.signing.trust.scanned import scanned
from llamafile_format.signing.trust.sight import Sights


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out. ``tally`` are the votes that count; ``asked`` is False if the policy lets unsigned files pass and
    this is one."""

    facts: tuple[SignatureFact, ...]
    findings: tuple[Finding, ...]
    tally: Tally
    revisions: tuple[int, ...] = ()
    asked: bool = True

    @property
    def established(self) -> tuple[SignerRule, ...]:
        """The signers of the whole file that count."""
        return tuple(self.tally.signers.values())


@dataclass(frozen=True, slots=True)
class Published:
    """What publishers' signatures bring: the ``votes`` that hold, the digests of all ``weights`` by path, and whether
    there are some of which this level did not examine what they name (``unsure``)."""

    votes: tuple[Vote, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    unsure: bool = False


def evaluate(seen: Sights, policy: Policy, *, required: bool = False, published: Published | None = None) -> Outcome:
    """Judge every record, with the stamps in ``seen``, and count hands, together with what is ``published``.

    ``required`` refuses unsigned files whatever the policy says of them.
    """
    evidence, agility = seen.evidence, Agility(policy.algorithms)
    published = published or Published()
    judged = {index: _judge(evidence, index, policy, seen, agility) for index in evidence.vouching}
    waiting = [finding for finding in seen.findings if finding.rule == "LF8023"]
    findings = [finding for finding in seen.findings if finding.rule != "LF8023"]
    findings += [finding for found in judged.values() for finding in found.findings]
    votes = {index: vote for index, found in judged.items() if (vote := _vote(evidence, index, found, seen))}
    tally = count([*votes.values(), *published.votes], policy, at=seen.at, weights=published.weights)
    standing = set(tally.votes)
    counted = [index for index, vote in votes.items() if vote in standing]
    findings += tally.findings
    findings += _cosigners(evidence, judged, policy, counted)
    findings += scanned(evidence, judged, seen, policy)
    known = any(
        found.signer.approves if found.signer is not None else found.standing is Standing.BAD
        for found in judged.values()
    )
    asked = known or required or policy.unsigned is Unsigned.REFUSE
    if asked:
        missing = list(_requirements(evidence, policy, tally, judged.values(), unsure=published.unsure))
        # A renewal that was not computed may be all that is missing; if nothing is, it does not matter.
        findings += waiting if waiting and {finding.rule for finding in missing} == {"LF8104"} else missing
    annotated = (evidence.vouching[index].statement.annotations for index in counted)
    return Outcome(
        facts=tuple(_fact(evidence, index, judged.get(index), seen, tally) for index in range(len(evidence.records))),
        findings=tuple(findings),
        tally=tally,
        revisions=tuple(annotations.revision for annotations in annotated if annotations is not None),
        asked=asked,
    )


def _judge(evidence: Evidence, index: int, policy: Policy, seen: Sights, agility: Agility) -> Judgement:
    where = Circumstances(
        at=seen.sight(index),
        contents=seen.contents(index),
        agility=agility,
        model=evidence.model,
        certificates=evidence.certificates,
        revocations=evidence.revocations,
    )
    return judge_bundle(evidence.vouching[index].bundle, policy, where, path=evidence.records[index].path)


def _vote(evidence: Evidence, index: int, found: Judgement, seen: Sights) -> Vote | None:
    """The vote that the record at ``index`` is, about the whole file; None if it is none."""
    record = evidence.records[index]
    if not record.kind.vouches:
        return None
    statement = evidence.vouching[index].statement
    return vote_of(found, statement, path=record.path, proven=seen.proven(index), level=seen.level(index))


def _cosigners(
    evidence: Evidence, judged: dict[int, Judgement], policy: Policy, counted: Iterable[int]
) -> Iterable[Finding]:
    """Those who were meant to sign too, by the word of somebody trusted: a record that is gone leaves this gap."""
    if not policy.cosigners:
        return
    vouching = [index for index in evidence.vouching if evidence.records[index].kind.vouches]
    # Holding is enough: the classical half of a pair is still there when its algorithm has been broken.
    held = {found.public.key_id for index in vouching if (found := judged[index]).public and found.signer}
    claimed = {evidence.vouching[index].bundle.keyid for index in vouching}
    due: dict[str, str] = {}
    for index in counted:
        annotations = evidence.vouching[index].statement.annotations
        for cosigner in annotations.cosigners if annotations else ():
            due.setdefault(cosigner, evidence.records[index].path)
    known = {key.key_id for signer in policy.signers for key in signer.keys}
    for cosigner, path in due.items():
        if cosigner in held:
            continue
        # A key that the policy knows has spoken, or has not; of another one only the claim can be seen.
        rule = "LF8119" if cosigner in claimed and cosigner not in known else "LF8105"
        yield Finding(rule, Where(member=path), {"path": path, "key": cosigner})


def _requirements(
    evidence: Evidence, policy: Policy, tally: Tally, judged: Iterable[Judgement], *, unsure: bool
) -> Iterable[Finding]:
    """What is missing. What could not be checked leaves it open; it never fills the gap."""
    unchecked = next((found.because for found in judged if found.standing is Standing.UNCHECKED), "")
    vouching = any(evidence.records[index].kind.vouches for index in evidence.vouching)
    for short in shortages(tally, policy):
        role = short.role.value if short.role else "signer"
        if short.role is None and not vouching:
            yield Finding("LF8101")
        elif unchecked:
            yield Finding("LF8112", args={"reason": unchecked})
        elif short.role is Role.PUBLISHER and unsure:  # LF8304 says so
            continue
        elif short.elsewhere:
            yield Finding("LF8121", args={"role": role, "wanted": short.wanted, "found": short.found})
        else:
            yield Finding("LF8104", args={"role": role, "wanted": short.wanted, "found": short.found})
        if short.shared:
            yield Finding("LF8120", args={"role": role, "signers": " and ".join(short.shared)})


def _fact(evidence: Evidence, index: int, found: Judgement | None, seen: Sights, tally: Tally) -> SignatureFact:
    record = evidence.records[index]
    if record.kind is RecordKind.VM:
        return SignatureFact(record.path, record.kind, Standing.MATERIAL, because="it only helps to check others")
    if index in evidence.broken or (found is None and index not in evidence.stamps):
        return SignatureFact(record.path, record.kind, Standing.BAD, because="it is not in order (see the findings)")
    if found is None:
        return _stamp_fact(evidence, index, seen)
    vouching = evidence.vouching[index]
    annotations = vouching.statement.annotations
    standing, because = settled(found, record.path, tally)
    trusted = standing is Standing.TRUSTED
    signer = found.signer if trusted else None
    witness = seen.witness(index)
    proven = found.time or seen.proven(index)
    proven_by = "Sigstore's log" if found.time else witness.authority.id if witness else ""
    return SignatureFact(
        record=record.path,
        kind=record.kind,
        standing=standing,
        method=vouching.bundle.method.value,
        algorithm=found.public.algorithm.value if found.public else "",
        key_id=found.public.key_id if found.public else vouching.bundle.keyid,
        signer=signer.id if signer else "",
        roles=tuple(sorted(role.value for role in signer.roles)) if signer else (),
        time=moment(proven) if proven else "",
        time_by=proven_by,
        declared_time=annotations.declared_time if annotations else "",
        level=seen.level(index).name if trusted else "",
        because=because,
        claims=_claims(vouching.bundle.certificates) if vouching.bundle.method is not Method.KEY else "",
    )


def _stamp_fact(evidence: Evidence, index: int, seen: Sights) -> SignatureFact:
    record, stamp = evidence.records[index], evidence.stamps[index]
    own = seen.believed.get(index)
    target = "everything in front of it" if stamp.target is None else evidence.records[stamp.target].path
    return SignatureFact(
        record=record.path,
        kind=record.kind,
        standing=Standing.TRUSTED if own else Standing.UNKNOWN,
        algorithm=stamp.token.algorithm,
        signer=own.authority.id if own else "",
        time=moment(stamp.token.time) if own else "",
        time_by=own.authority.id if own else "",
        declared_time="" if own else moment(stamp.token.time),
        because=f"{own.authority.id} stamped {target}" if own else seen.reasons.get(index, ""),
        claims="" if own else f"a stamp on {target}",
    )


def _claims(certificates: tuple[bytes, ...]) -> str:
    """Whom the leaf certificate names: its own word."""
    from llamafile_format.errors import FormatError
    from llamafile_format.signing.x509.certificates import names_of

    try:
        return ", ".join(name.text for name in names_of(certificates[0]))[:200]
    except FormatError:
        return ""


def untrusted(seen: Sights) -> tuple[SignatureFact, ...]:
    """The records when nobody to trust was named."""
    facts = evaluate(seen, Policy("", unsigned=Unsigned.ALLOW)).facts
    nobody = "nobody to trust was named"
    return tuple(replace(fact, because=nobody) if fact.standing is Standing.UNKNOWN else fact for fact in facts)
