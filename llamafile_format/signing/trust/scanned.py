"""Reports by those whom a policy believes about reports: its demand ``scanned`` (spec/1, 16.12).

A scanner says what it found, by which rules and when. That it has looked may be demanded; that it vouches for the file
follows from nothing, and no report counts for the layer authentic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from llamafile_format.findings import Finding
from llamafile_format.rules import Layer, ruleset_digest
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.records.statement import REPORT, Statement
from llamafile_format.signing.trust.counting import Vote, vote_of, without_half
from llamafile_format.signing.trust.hands import Demand, count_hands, hands_of
from llamafile_format.signing.trust.policy import Policy, Role, Scanned

if TYPE_CHECKING:
    from llamafile_format.signing.trust.evidence import Evidence
    from llamafile_format.signing.trust.judgement import Judgement
    from llamafile_format.signing.trust.sight import Sights

LEVELS = ("full", "exhaustive", "behaviour")
"""Levels at which a scanner has looked at all members."""

LAYERS = (Layer.WELL_FORMED.value, Layer.VALID.value)
AHEAD = timedelta(days=1)
"""How far the clock of a scanner may be ahead."""


def scanned(evidence: Evidence, judged: Mapping[int, Judgement], seen: Sights, policy: Policy) -> Iterator[Finding]:
    """LF8421 if fewer reports count than ``policy`` demands, with the reason why the others do not."""
    demand = policy.scanned
    if demand is None:
        return
    reasons: dict[str, None] = {}
    votes: list[Vote] = []
    for index, found in judged.items():
        record, statement = evidence.records[index], evidence.vouching[index].statement
        if record.kind is not RecordKind.ATT or statement.predicate_type != REPORT:
            continue
        vote = vote_of(found, statement, path=record.path, proven=seen.proven(index), level=seen.level(index))
        reason = _unfit(vote, statement, seen, policy)
        if vote is None or reason:
            reasons[f"{record.path}: {reason}"] = None
        else:
            votes.append(vote)
    hands = hands_of(policy)
    for vote in votes:
        hands.join(vote.marks)
    for vote in without_half(votes, policy, hands):
        reasons[f"{vote.path}: {vote.signer.id} has not signed it with a post-quantum key"] = None
        votes.remove(vote)
    ballots = frozenset((vote.signer.id, hands.of(vote.marks[0])) for vote in votes)
    count = count_hands([Demand(demand.threshold, ballots)])[0]
    if count < demand.threshold:
        why = "; ".join(reasons) or "there is no report by anybody who is believed about reports"
        yield Finding("LF8421", args={"wanted": demand.threshold, "found": count, "reason": why[:400]})


def _unfit(vote: Vote | None, statement: Statement, seen: Sights, policy: Policy) -> str:
    """Why the report in ``statement`` does not count; empty if it does."""
    demand = policy.scanned
    assert demand is not None
    if vote is None:
        return "it is not by a signer who is trusted"
    if Role.SCANNER not in vote.signer.roles or vote.signer.id not in (demand.signers or (vote.signer.id,)):
        return f"{vote.signer.id} is not believed about reports here"
    if vote.level < policy.minimum_level:
        return f"its time is proven at level {vote.level.name}, and {policy.minimum_level.name} is the least"
    if vote.made is None:
        return "nothing says when it was made"
    if not -AHEAD <= seen.at - vote.made <= timedelta(days=demand.max_age_days):
        return f"it was made on {vote.made:%Y-%m-%d}, and {demand.max_age_days} days are the most"
    return _unfit_words(statement, seen.evidence.manifest_sha256, demand)


def _unfit_words(statement: Statement, manifest: str, demand: Scanned) -> str:
    said = statement.predicate
    if statement.subject_sha256 != manifest or said.get("manifest_sha256") != manifest:
        return "it is about another manifest"
    if said.get("ruleset_sha256") not in (demand.rulesets or (ruleset_digest(),)):
        return "it was made by other rules than are wanted here"
    if said.get("complete") is not True or said.get("level") not in LEVELS:
        return "it did not look at all members"
    verdicts = said.get("verdicts")
    good = isinstance(verdicts, Mapping) and all(verdicts.get(layer) == "yes" for layer in LAYERS)
    return "" if good else "it does not find the file well-formed and valid"
