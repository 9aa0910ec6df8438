"""Is it authentic, by this policy? (spec/1.0, 13.4)

Nothing inside a file makes anything in it trusted: records are judged by keys, certificates and identities that the
policy brings. What is counted are signers, not records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llamafile_format.findings import Finding, Where
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.envelope import Method
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.evidence import Evidence, SignatureFact, Standing, moment
from llamafile_format.signing.trust.judgement import Circumstances, Judgement, judge_bundle
from llamafile_format.signing.trust.policy import Policy, PostQuantum, Role, SignerRule, StampLevel, Unsigned
from llamafile_format.signing.trust.sight import Sights


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out. ``established`` are the signers that count, ``revisions`` what they say that the model's revision
    is; ``asked`` is False if the policy lets unsigned files pass and this is one."""

    facts: tuple[SignatureFact, ...]
    findings: tuple[Finding, ...]
    established: tuple[SignerRule, ...] = ()
    revisions: tuple[int, ...] = ()
    asked: bool = True


def evaluate(
    seen: Sights,
    policy: Policy,
    *,
    required: bool = False,
    publishers: Sequence[str] = (),
    unsure: bool = False,
) -> Outcome:
    """Judge every record, with the stamps in ``seen``, and count signers.

    ``publishers`` are the ids of signers whose publisher signature was established in this run; ``unsure`` says that
    there are some whose word this level did not examine. ``required`` refuses unsigned files whatever the policy says
    of them.
    """
    evidence, agility = seen.evidence, Agility(policy.algorithms)
    judged = {index: _judge(evidence, index, policy, seen, agility) for index in evidence.vouching}
    waiting = [finding for finding in seen.findings if finding.rule == "LF8023"]
    findings = [finding for finding in seen.findings if finding.rule != "LF8023"]
    findings += [finding for found in judged.values() for finding in found.findings]
    counted = _counted(evidence, judged, policy, seen, findings)
    findings += _cosigners(evidence, judged, policy, counted)
    signers = {signer.id: signer for signer in counted.values()}
    known = any(found.signer is not None or found.standing is Standing.BAD for found in judged.values())
    asked = known or required or policy.unsigned is Unsigned.REFUSE
    if asked:
        by_role = _by_role(signers, publishers)
        missing = list(_requirements(evidence, policy, by_role, judged.values(), unsure=unsure))
        # A renewal that was not computed may be all that is missing; if nothing is, it does not matter.
        findings += waiting if waiting and {finding.rule for finding in missing} == {"LF8104"} else missing
    return Outcome(
        facts=tuple(_fact(evidence, index, judged.get(index), seen, counted) for index in range(len(evidence.records))),
        findings=tuple(findings),
        established=tuple(signers.values()),
        revisions=tuple(
            annotations.revision
            for index in counted
            if (annotations := evidence.vouching[index].statement.annotations) is not None
        ),
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


def _counted(
    evidence: Evidence, judged: dict[int, Judgement], policy: Policy, seen: Sights, findings: list[Finding]
) -> dict[int, SignerRule]:
    """The signers whose records count, by the record's index: trusted, of an age and with a time that the policy
    accepts, and with their post-quantum half where it is due."""
    counted: dict[int, SignerRule] = {}
    for index, found in judged.items():
        record = evidence.records[index]
        if found.standing is not Standing.TRUSTED or found.signer is None or not record.kind.vouches:
            continue
        finding = _too_weak(evidence, index, found, policy, seen)
        if finding is None:
            counted[index] = found.signer
        else:
            findings.append(finding)
    for signer in {signer.id: signer for signer in counted.values()}.values():
        own = [index for index, other in counted.items() if other.id == signer.id]
        if _lacks_post_quantum(evidence, judged, own, signer, policy):
            findings.append(Finding("LF8106", args={"signer": signer.id}))
            counted = {index: other for index, other in counted.items() if index not in own}
    return counted


def _too_weak(evidence: Evidence, index: int, found: Judgement, policy: Policy, seen: Sights) -> Finding | None:
    path = evidence.records[index].path
    level = seen.level(index)
    if found.time is not None:
        level = max(level, StampLevel.T)
    if level < policy.minimum_level:
        args = {"path": path, "found": level.name, "wanted": policy.minimum_level.name}
        return Finding("LF8204", Where(member=path), args)
    if policy.max_age_days:
        made = _made(evidence, index, found, seen)
        if made is None or seen.at - made > timedelta(days=policy.max_age_days):
            args = {"path": path, "time": moment(made) if made else "unknown", "days": str(policy.max_age_days)}
            return Finding("LF8206", Where(member=path), args)
    return None


def _made(evidence: Evidence, index: int, found: Judgement, seen: Sights) -> datetime | None:
    """When a trusted signature was made: proven, or in its signer's own words, who is trusted."""
    annotations = evidence.vouching[index].statement.annotations
    declared = annotations.declared_time if annotations else ""
    return found.time or seen.proven(index) or (datetime.fromisoformat(declared) if declared else None)


def _lacks_post_quantum(
    evidence: Evidence, judged: dict[int, Judgement], indices: Sequence[int], signer: SignerRule, policy: Policy
) -> bool:
    """True if ``signer``, whose records these are, needs a post-quantum half and has none.

    It is due by the policy, by his own word, or because his key is half of a pair in the policy: whoever forges the
    classical half declares nothing.
    """
    keys = [public for index in indices if (public := judged[index].public) is not None]
    if policy.post_quantum is PostQuantum.NEVER or any(key.algorithm.post_quantum for key in keys):
        return False
    if policy.post_quantum is PostQuantum.ALWAYS or any(key.key_id in signer.halves for key in keys):
        return True
    own = {key.key_id for key in signer.keys if key.algorithm.post_quantum}
    declared = (evidence.vouching[index].statement.annotations for index in indices)
    return any(own & set(annotations.cosigners) for annotations in declared if annotations is not None)


def _cosigners(
    evidence: Evidence, judged: dict[int, Judgement], policy: Policy, counted: dict[int, SignerRule]
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


def _by_role(signers: dict[str, SignerRule], publishers: Sequence[str]) -> dict[Role | None, set[str]]:
    """Ids of the signers that count, by role; under None those who vouch for the whole file."""
    found: dict[Role | None, set[str]] = {None: set(signers)}
    for role in Role:
        found[role] = {name for name, signer in signers.items() if role in signer.roles}
    found[Role.PUBLISHER] |= set(publishers)
    return found


def _requirements(
    evidence: Evidence,
    policy: Policy,
    by_role: dict[Role | None, set[str]],
    judged: Iterable[Judgement],
    *,
    unsure: bool,
) -> Iterable[Finding]:
    """What is missing. What could not be checked leaves it open; it never fills the gap."""
    unchecked = next((found.because for found in judged if found.standing is Standing.UNCHECKED), "")
    vouching = any(evidence.records[index].kind.vouches for index in evidence.vouching)
    wanted: list[tuple[Role | None, int, tuple[str, ...]]] = [(None, 1, ())]
    wanted += [(each.role, each.threshold, each.signers) for each in policy.requirements]
    for role, threshold, among in wanted:
        names = {name for name in by_role[role] if not among or name in among}
        if len(names) >= threshold:
            continue
        if role is None and not vouching:
            yield Finding("LF8101")
        elif unchecked:
            yield Finding("LF8112", args={"reason": unchecked})
        elif not (role is Role.PUBLISHER and unsure):  # LF8304 says so
            args = {"role": role.value if role else "signer", "wanted": str(threshold), "found": str(len(names))}
            yield Finding("LF8104", args=args)


def _fact(
    evidence: Evidence, index: int, found: Judgement | None, seen: Sights, counted: dict[int, SignerRule]
) -> SignatureFact:
    record = evidence.records[index]
    if record.kind is RecordKind.VM:
        return SignatureFact(record.path, record.kind, Standing.MATERIAL, because="it only helps to check others")
    if index in evidence.broken or (found is None and index not in evidence.stamps):
        return SignatureFact(record.path, record.kind, Standing.BAD, because="it is not in order (see the findings)")
    if found is None:
        return _stamp_fact(evidence, index, seen)
    vouching = evidence.vouching[index]
    annotations = vouching.statement.annotations
    trusted = found.standing is Standing.TRUSTED
    signer = found.signer if trusted else None
    witness = seen.witness(index)
    proven = found.time or seen.proven(index)
    proven_by = "Sigstore's log" if found.time else witness.authority.id if witness else ""
    return SignatureFact(
        record=record.path,
        kind=record.kind,
        standing=found.standing,
        method=vouching.bundle.method.value,
        algorithm=found.public.algorithm.value if found.public else "",
        key_id=found.public.key_id if found.public else vouching.bundle.keyid,
        signer=signer.id if signer else "",
        roles=tuple(sorted(role.value for role in signer.roles)) if signer else (),
        time=moment(proven) if proven else "",
        time_by=proven_by,
        declared_time=annotations.declared_time if annotations else "",
        level=seen.level(index).name if trusted else "",
        because=found.because if not trusted or index in counted or not record.kind.vouches else _weak(found),
        claims=_claims(vouching.bundle.certificates) if vouching.bundle.method is not Method.KEY else "",
    )


def _weak(found: Judgement) -> str:
    return f"{found.because}; but it does not count (see the findings)"


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
    from llamafile_format.signing.x509.certificates import identities

    try:
        return ", ".join(identities(certificates[0]))[:200]
    except FormatError:
        return ""


def untrusted(seen: Sights) -> tuple[SignatureFact, ...]:
    """The records when nobody to trust was named."""
    facts = evaluate(seen, Policy("", unsigned=Unsigned.ALLOW)).facts
    nobody = "nobody to trust was named"
    return tuple(replace(fact, because=nobody) if fact.standing is Standing.UNKNOWN else fact for fact in facts)
