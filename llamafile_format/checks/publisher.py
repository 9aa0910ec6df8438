"""Publisher signatures: what the maker of the weights signed, found again among the members (spec/1, 13.5).

Names differ between a publisher's folder and a container, so resources are matched by digest, and both names are shown.
That a digest stands in the manifest does not make it true of the bytes: only a run that recomputed whole digests can
say that somebody published what is in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.envelope import Bundle, read_bundle
from llamafile_format.signing.records.record import MAX_RECORD
from llamafile_format.signing.records.statement import OMS_PREDICATE, Resource, Statement, read_statement
from llamafile_format.signing.trust.counting import Tally, Vote, vote_of
from llamafile_format.signing.trust.evaluate import Published
from llamafile_format.signing.trust.evidence import PublisherFact, Standing, moment
from llamafile_format.signing.trust.judgement import Circumstances, Judgement, judge_bundle
from llamafile_format.signing.trust.policy import Policy, Role
from llamafile_format.signing.trust.sight import Sights

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts

PUBLISHER_ROLE = "publisher-signature"
_STRUCTURAL = frozenset({"readme", "chunks", "manifest", "engine-asset", "signature-record", "history", PUBLISHER_ROLE})
MAX_PUBLISHERS = 64  # clause 13.5.3: each costs signature checks, and a container has room for thousands
_NAMED = 3  # matches told in one line


@dataclass(frozen=True, slots=True)
class Publishers:
    """All publisher signatures of a container: findings, facts, and what of them can count."""

    findings: tuple[Finding, ...]
    facts: tuple[PublisherFact, ...]
    published: Published

    def settled(self, tally: Tally) -> tuple[PublisherFact, ...]:
        """The facts once all votes are counted: nothing that does not count may read as if it did."""
        return tuple(
            replace(fact, standing=Standing.REFUSED, because=tally.refused[fact.member])
            if fact.standing is Standing.TRUSTED and fact.member in tally.refused
            else fact
            for fact in self.facts
        )


def check_publishers(container: Container, policy: Policy | None, seen: Sights, *, recomputed: bool) -> Publishers:
    """What the publisher signatures of ``container`` are, by ``policy``.

    A publisher signature was there when a record that names the manifest was: ``seen`` has the stamps on those.
    ``recomputed`` says that this run computes the whole SHA-256 of every member and reports where one is wrong.
    """
    findings: list[Finding] = []
    facts: list[PublisherFact] = []
    votes: list[Vote] = []
    weights = {member.path: member.sha256 for member in container.members if member.role in MODEL_ROLES}
    for number, member in enumerate(each for each in container.members if each.role == PUBLISHER_ROLE):
        try:
            if number >= MAX_PUBLISHERS:
                raise FormatError("there are too many", allowed=f"{MAX_PUBLISHERS} in a container", clause="13.5.3")
            bundle, statement = _read(container, member)
        except FormatError as error:
            findings.append(_finding("LF8301", member, reason=str(error)))
            continue
        matched = _match(statement.resources, container.members)
        findings.append(_what_it_names(member, matched, len(statement.resources), weights))
        fact = PublisherFact(
            member.path,
            "",
            matched,
            len(statement.resources),
            Standing.UNKNOWN,
            "nobody to trust was named",
            bundle.method.value,
        )
        if policy is not None:
            judged = _judge(bundle, policy, seen, member.path)
            findings += _judged_findings(member, judged, policy, matched, recomputed)
            fact = _judged_fact(fact, judged, recomputed)
            digests = {each.path: each.sha256 for each in container.members}
            about = frozenset(digests[path] for _, path in matched)
            vote = vote_of(
                judged,
                statement,
                path=member.path,
                proven=seen.whole_file_proven(),
                level=seen.whole_file_level(),
                about=about,
            )
            votes += [vote] if vote is not None and fact.standing is Standing.TRUSTED else []
        facts.append(fact)
    unsure = any(fact.standing is Standing.UNCHECKED for fact in facts)
    return Publishers(tuple(findings), tuple(facts), Published(tuple(votes), weights, unsure=unsure))


def certificates_of(container: Container) -> list[bytes]:
    """The certificates (DER) that publisher signatures bring along; of those that cannot be read, none."""
    found: list[bytes] = []
    publishers = [member for member in container.members if member.role == PUBLISHER_ROLE]
    for member in publishers[:MAX_PUBLISHERS]:
        with suppress(FormatError):
            found += _read(container, member)[0].certificates
    return found


def _judge(bundle: Bundle, policy: Policy, seen: Sights, path: str) -> Judgement:
    at = seen.whole_file()
    where = Circumstances(
        at=at,
        contents=at,
        agility=Agility(policy.algorithms),
        model=seen.evidence.model,
        certificates=seen.evidence.certificates,
        revocations=seen.evidence.revocations,
    )
    return judge_bundle(bundle, policy, where, path=path, role=Role.PUBLISHER)


def _read(container: Container, member: MemberFacts) -> tuple[Bundle, Statement]:
    if not 0 < member.size <= MAX_RECORD:
        raise FormatError(
            "the size of a bundle", found=member.size, allowed=f"up to {MAX_RECORD} bytes", clause="13.5.3"
        )
    bundle = read_bundle(container.read(member.path), canonical=False)
    statement = read_statement(bundle.payload)
    if statement.predicate_type != OMS_PREDICATE:
        found = f"{statement.predicate_type!r:.100}"
        raise FormatError("its statement is of another type", found=found, allowed=OMS_PREDICATE, clause="13.5.3")
    return bundle, statement


def _match(resources: Iterable[Resource], members: Iterable[MemberFacts]) -> tuple[tuple[str, str], ...]:
    """Each resource and the member that has its digest: the one of the same name if several have, else the first."""
    by_digest: dict[str, list[str]] = {}
    for member in members:
        if member.sha256 and member.role not in _STRUCTURAL:
            by_digest.setdefault(member.sha256, []).append(member.path)
    found = []
    for resource in resources:
        paths = by_digest.get(resource.sha256, [])
        if paths:
            found.append((resource.name, resource.name if resource.name in paths else paths[0]))
    return tuple(found)


def _what_it_names(
    member: MemberFacts, matched: tuple[tuple[str, str], ...], total: int, weights: Mapping[str, str]
) -> Finding:
    if not matched:
        return _finding("LF8302", member, total=total)
    left = _left(matched, weights)
    names = _few([name if name == path else f"{name} (here {path})" for name, path in matched])
    names += f"; not {_few(left)}" if left else ""
    return _finding("LF8303", member, total=total, matched=len(matched), names=names)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _left(matched: Iterable[tuple[str, str]], weights: Mapping[str, str]) -> list[str]:
    """Those of ``weights`` (path: digest) that ``matched`` does not name, under whatever path."""
    named = {weights[path] for _, path in matched if path in weights}
    return [path for path, digest in weights.items() if digest not in named]


def _judged_findings(
    member: MemberFacts, judged: Judgement, policy: Policy, matched: tuple[tuple[str, str], ...], recomputed: bool
) -> list[Finding]:
    found = []
    for finding in judged.findings:
        if finding.rule == "LF8102":  # the same fault as of a record, but of a member: it has a rule of its own
            signer = finding.args.get("signer", "")
            found.append(_finding("LF8305", member, signer=signer, reason=judged.because))
        else:
            found.append(finding)
    demanded = any(requirement.role is Role.PUBLISHER for requirement in policy.requirements)
    if not demanded:
        return found  # nobody asked for a publisher: what is open here leaves nothing open that was asked
    if judged.standing is Standing.UNCHECKED:
        found.append(Finding("LF8112", Where(member=member.path), {"reason": judged.because}))
    elif judged.standing is Standing.TRUSTED and matched and not recomputed and judged.signer is not None:
        found.append(_finding("LF8304", member, signer=judged.signer.id))
    return found


def _judged_fact(fact: PublisherFact, judged: Judgement, recomputed: bool) -> PublisherFact:
    standing, because = judged.standing, judged.because
    if standing is Standing.TRUSTED and not fact.matched:
        standing, because = Standing.REFUSED, "it names nothing that is in this file"
    elif standing is Standing.TRUSTED and not recomputed:
        standing, because = Standing.UNCHECKED, "this level did not recompute the whole digests that it names"
    return PublisherFact(
        fact.member,
        judged.signer.id if judged.signer else "",
        fact.matched,
        fact.total,
        standing,
        because,
        fact.method,
        moment(judged.time) if judged.time else "",
    )


def _finding(rule: str, member: MemberFacts, **args: Value) -> Finding:
    where = Where(member.offset if member.offset >= 0 else None, member.size, member.path)
    return Finding(rule, where, {"path": member.path, **args})
