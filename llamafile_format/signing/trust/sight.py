"""When was a record last seen by somebody who can be believed? (spec/1, 13.6.5)

A signature is as good as its algorithm and its key were when it was last *sighted*: the earliest moment at which a
trusted stamp proves that it was there, or, without one, the date of verification. Stamps are themselves signatures, so
they are judged from the last to the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.signing.trust.evidence import Evidence, Stamp, moment
from llamafile_format.signing.trust.policy import Authority, StampLevel

if TYPE_CHECKING:
    from llamafile_format.signing.keys.algorithms import Agility


@dataclass(frozen=True, slots=True)
class Believed:
    """A stamp that is trusted: by which authority, by which chain (DER, leaf first)."""

    stamp: Stamp
    authority: Authority
    chain: tuple[bytes, ...]


@dataclass(slots=True)
class Sights:
    """The trusted stamps of a file by index, and what is to say about the others (``reasons``)."""

    evidence: Evidence
    at: datetime
    believed: dict[int, Believed] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def witness(self, index: int) -> Believed | None:
        """The earliest trusted stamp which proves that the record at ``index`` was there."""
        covering = (own for at, own in self.believed.items() if own.stamp.covers(index, at))
        return min(covering, key=lambda own: own.stamp.token.time, default=None)

    def proven(self, index: int) -> datetime | None:
        """The earliest moment at which the record at ``index`` is proven to have been there."""
        found = self.witness(index)
        return found.stamp.token.time if found else None

    def whole_file(self) -> datetime:
        """The moment by which what stands in front of all records is judged: the first sight of one that names it.

        An attestation about a member may be older than the file around it.
        """
        return min(map(self.sight, filter(self._names_the_manifest, self.evidence.vouching)), default=self.at)

    def whole_file_proven(self) -> datetime | None:
        """The earliest moment at which what stands in front of all records is proven to have been there."""
        found = [self.proven(index) for index in self.evidence.vouching if self._names_the_manifest(index)]
        return min((when for when in found if when is not None), default=None)

    def whole_file_level(self) -> StampLevel:
        """How well that time is proven."""
        naming = filter(self._names_the_manifest, self.evidence.vouching)
        return max(map(self.level, naming), default=StampLevel.B)

    def _names_the_manifest(self, index: int) -> bool:
        statement = self.evidence.vouching[index].statement
        about_it = statement.subject_sha256 == self.evidence.manifest_sha256 or statement.annotations is not None
        return about_it or self.evidence.records[index].kind.vouches

    def sight(self, index: int) -> datetime:
        """The moment that the record at ``index`` is judged by."""
        return self.proven(index) or self.at

    def contents(self, index: int) -> datetime:
        """The moment that the digests which the record at ``index`` signs are judged by: the next trusted renewal.

        A stamp on the record alone proves nothing about files that collide with those that it names.
        """
        renewals = (own for at, own in self.believed.items() if own.stamp.target is None and at > index)
        return min((own.stamp.token.time for own in renewals), default=self.at)

    def level(self, index: int) -> StampLevel:
        """How well the time of the record at ``index`` is proven (clause 13.6.6)."""
        covering = [own for at, own in self.believed.items() if own.stamp.covers(index, at)]
        if not covering:
            return StampLevel.B
        if any(own.stamp.target is None for own in covering):
            return StampLevel.LTA
        from llamafile_format.signing.x509.revocations import all_listed

        return (
            StampLevel.LT if any(all_listed(own.chain, self.evidence.revocations) for own in covering) else StampLevel.T
        )


def sights(evidence: Evidence, authorities: Iterable[Authority], agility: Agility, at: datetime) -> Sights:
    """Judge the stamps of ``evidence`` as of ``at``, from the last to the first."""
    result = Sights(evidence, at)
    authorities = tuple(authorities)
    for index in sorted(evidence.stamps, reverse=True):
        _judge(result, index, authorities, agility)
    return result


def _judge(result: Sights, index: int, authorities: tuple[Authority, ...], agility: Agility) -> None:
    stamp, path = result.evidence.stamps[index], result.evidence.records[index].path
    token, seen = stamp.token, result.sight(index)
    if stamp.target is None and stamp.renewed is None:
        result.reasons[index] = "what it stamps was not computed at this level"
        result.findings.append(Finding("LF8023", Where(member=path), {"path": path}))
        return
    if stamp.target is None and not stamp.renewed:
        result.reasons[index] = "it stamps nothing here"
        return
    if token.time > seen:
        _say(
            result,
            index,
            "LF8205",
            {"time": moment(token.time), "at": moment(seen)},
            f"it is later than {moment(seen)}",
        )
        return
    for name in token.algorithms:
        if agility.broken(name, seen):
            _say(
                result, index, "LF8203", {"algorithm": name, "at": moment(seen)}, f"{name} was broken by {moment(seen)}"
            )
            return
    reasons = []
    for authority in authorities:
        chain, reason = _chain(stamp, result.evidence, authority, agility, seen)
        if chain:
            result.believed[index] = Believed(stamp, authority, chain)
            return
        reasons.append(reason)
    lapsed = next((reason for reason in reasons if reason), "")
    if lapsed:
        _say(result, index, "LF8202", {"reason": lapsed}, lapsed)
    else:
        _say(result, index, "LF8201", {}, "nobody here trusts its authority")


def _say(result: Sights, index: int, rule: str, args: Mapping[str, str], reason: str) -> None:
    path = result.evidence.records[index].path
    result.reasons[index] = reason
    result.findings.append(Finding(rule, Where(member=path), {"path": path, **args}))


def _chain(
    stamp: Stamp, evidence: Evidence, authority: Authority, agility: Agility, seen: datetime
) -> tuple[tuple[bytes, ...], str]:
    """The chain to the roots of ``authority`` as of ``seen``; or why there was one at the token's own time only."""
    from llamafile_format.signing.time.timestamps import trusted_chain

    token, extra, lists = stamp.token, evidence.certificates, evidence.revocations
    if not within(token.time, authority.valid_from, authority.valid_until):
        return (), f"{authority.id} is believed about other times than {moment(token.time)}"
    try:
        chain = trusted_chain(token, authority.roots, at=seen, extra=extra, revocations=lists, agility=agility)
        return chain, ""
    except FormatError as error:
        reason = str(error)
    try:
        trusted_chain(token, authority.roots, at=token.time, extra=extra, revocations=(), agility=agility)
    except FormatError:
        return (), ""  # a stranger to this authority, at any time
    return (), reason


def within(when: datetime, first: datetime | None, end: datetime | None) -> bool:
    """True if ``when`` lies in [first, end); None leaves that side open."""
    return (first is None or when >= first) and (end is None or when < end)
