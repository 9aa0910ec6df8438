"""Does a signature count? The one place that decides it, for records, countersignatures and publishers' signatures.

A signature that holds and is by somebody whom the policy names is a *vote* (13.4.4). Whether it counts is asked here
and nowhere else: how well its time is proven and how old it is (13.4.5), whether its other half is there (13.4.6), and
whether publishers have spoken about all weights (13.5.6). Whatever gets past these is counted by hands (13.4.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from llamafile_format.findings import Finding, Where
from llamafile_format.signing.trust.evidence import Standing, moment
from llamafile_format.signing.trust.hands import Demand, Hands, count_hands, hands_of, key_mark
from llamafile_format.signing.trust.policy import Policy, PostQuantum, Role, SignerRule, StampLevel

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PublicKey
    from llamafile_format.signing.records.statement import Statement
    from llamafile_format.signing.trust.judgement import Judgement

_NAMED = 3  # weights told in one line


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """A signature at ``path`` that holds under ``public``, by ``signer``.

    ``names`` are the principals of its certificate. ``level`` says how well its time is proven; ``made`` is when it was
    made, by its signer's word or Sigstore's, None if neither says. ``cosigners`` are the key ids that it declares.
    ``about`` are the digests of the members that it vouches for, None if it vouches for the whole file.
    """

    path: str
    signer: SignerRule
    public: PublicKey
    names: tuple[str, ...] = ()
    level: StampLevel = StampLevel.B
    made: datetime | None = None
    cosigners: frozenset[str] = frozenset()
    about: frozenset[str] | None = None

    @property
    def marks(self) -> list[str]:
        """What tells whose hand it is."""
        return [key_mark(self.public.key_id), *self.names]

    def may_count_for(self, role: Role | None) -> bool:
        """True if the vote is one of ``role``, or, for None, of anybody about the whole file."""
        if self.about is not None:  # a publisher's signature says nothing about prefix, runtimes or other members
            return role is Role.PUBLISHER and role in self.signer.roles
        return role is None or role in self.signer.roles


def vote_of(
    found: Judgement,
    statement: Statement,
    *,
    path: str,
    proven: datetime | None,
    level: StampLevel,
    about: frozenset[str] | None = None,
) -> Vote | None:
    """The vote that the signature at ``path`` is, of which ``found`` is the judgement; None if nobody trusted made it.

    ``proven`` and ``level`` are what stamps prove of its time. A stamp shows that a signature is not younger, and never
    that it is not older: whoever has an old one can have it stamped today. So only its signer, or Sigstore, says when
    it was made; and the earliest that is known is believed.
    """
    if found.standing is not Standing.TRUSTED or found.signer is None or found.public is None:
        return None
    annotations = statement.annotations
    declared = datetime.fromisoformat(annotations.declared_time) if annotations and annotations.declared_time else None
    known = [when for when in (declared, found.time, proven) if when is not None]
    return Vote(
        path,
        found.signer,
        found.public,
        found.names,
        max(level, StampLevel.T) if found.time is not None else level,
        min(known) if declared or found.time else None,
        frozenset(annotations.cosigners) if annotations else frozenset(),
        about,
    )


def settled(found: Judgement, path: str, tally: Tally) -> tuple[Standing, str]:
    """What ``found``, the judgement of the signature at ``path``, comes to once votes are counted, and why."""
    if found.standing is Standing.TRUSTED and path in tally.refused:
        return Standing.REFUSED, f"{found.because}; but {tally.refused[path]}"
    return found.standing, found.because


@dataclass(frozen=True, slots=True)
class Tally:
    """The votes that count; of the others by path, why they do not; what is to say, and whose hands they are."""

    votes: tuple[Vote, ...]
    refused: dict[str, str]
    findings: tuple[Finding, ...]
    hands: Hands = field(default_factory=Hands)

    @property
    def signers(self) -> dict[str, SignerRule]:
        """Who vouches for the whole file, by id, in the order of the file."""
        return {vote.signer.id: vote.signer for vote in self.votes if vote.about is None}

    def ballots(self, role: Role | None, among: Sequence[str] = ()) -> frozenset[tuple[str, str]]:
        """Signers that count for ``role``, of ``among`` if it names any, each with the hands that they count by."""
        return frozenset(
            (vote.signer.id, self.hands.of(vote.marks[0]))
            for vote in self.votes
            if vote.may_count_for(role) and (not among or vote.signer.id in among)
        )


def count(votes: Iterable[Vote], policy: Policy, *, at: datetime, weights: Mapping[str, str] | None = None) -> Tally:
    """Which of ``votes`` count under ``policy`` at the moment of verification. ``weights`` are the digests of all
    weights of the file by path."""
    standing, findings, refused = [], [], {}
    hands = hands_of(policy)
    for vote in votes:
        hands.join(vote.marks)  # also of those that do not count: they still say whose key it is
        finding = _too_weak(vote, policy, at)
        if not vote.signer.approves:
            refused[vote.path] = f"{vote.signer.id} is believed about reports alone"
        elif finding is None:
            standing.append(vote)
        else:
            findings.append(finding)
            refused[vote.path] = "it is dated less well than the policy asks"
    lone = without_half(standing, policy, hands)
    alone = dict.fromkeys(vote.signer.id for vote in standing if vote in lone)
    findings += [Finding("LF8106", args={"signer": signer}) for signer in alone]
    refused |= {vote.path: f"{vote.signer.id} has not signed with a post-quantum key" for vote in lone}
    standing = [vote for vote in standing if vote not in lone]
    partial = _of_some_weights(standing, weights or {})
    refused |= partial
    standing = [vote for vote in standing if vote.about is None or vote.path not in partial]
    return Tally(tuple(standing), refused, tuple(findings), hands)


def _too_weak(vote: Vote, policy: Policy, at: datetime) -> Finding | None:
    where = Where(member=vote.path)
    if vote.level < policy.minimum_level:
        args = {"path": vote.path, "found": vote.level.name, "wanted": policy.minimum_level.name}
        return Finding("LF8204", where, args)
    if policy.max_age_days and (vote.made is None or at - vote.made > timedelta(days=policy.max_age_days)):
        made = moment(vote.made) if vote.made else "a time that it does not say"
        return Finding("LF8206", where, {"path": vote.path, "time": made, "days": str(policy.max_age_days)})
    return None


def without_half(standing: Sequence[Vote], policy: Policy, hands: Hands) -> set[Vote]:
    """Those of ``standing`` that need a post-quantum half and have none of the same hand about at least the same."""
    if policy.post_quantum is PostQuantum.NEVER:
        return set()
    by_hand: dict[str, list[Vote]] = {}
    for vote in standing:
        by_hand.setdefault(hands.of(vote.marks[0]), []).append(vote)
    halves = frozenset[str]().union(*(signer.halves for signer in policy.signers))
    known = [key for signer in policy.signers for key in signer.keys if key.algorithm.post_quantum]
    lone: set[Vote] = set()
    for hand, same in by_hand.items():
        own = [vote for vote in same if vote.public.algorithm.post_quantum]
        mine = {key.key_id for key in known if hands.of(key_mark(key.key_id)) == hand}
        # Due by the policy, by the hand's own word, or because the key is half of a pair in the policy, by whomever it
        # is presented: whoever forges the classical half declares nothing.
        always = policy.post_quantum is PostQuantum.ALWAYS or any(mine & vote.cosigners for vote in same)
        due = [vote for vote in same if vote not in own and (always or vote.public.key_id in halves)]
        lone |= {vote for vote in due if not _covered(vote, own)}
    return lone


def _covered(vote: Vote, halves: Sequence[Vote]) -> bool:
    """True if ``halves`` speak about everything that ``vote`` speaks about."""
    if any(half.about is None for half in halves):
        return True
    return bool(halves) and vote.about is not None and vote.about <= _named_by(halves)


def _named_by(votes: Iterable[Vote]) -> frozenset[str]:
    return frozenset[str]().union(*(vote.about or frozenset() for vote in votes))


def _of_some_weights(standing: Sequence[Vote], weights: Mapping[str, str]) -> dict[str, str]:
    """The publishers' signatures that do not count, and why: of all weights, each must be named by one that holds.

    *Why:* a genuine signature of a release and its card would lend the publisher's name to other weights beside them.
    """
    published = [vote for vote in standing if vote.about is not None]
    covered, wanted = _named_by(published), frozenset(weights.values())
    left = [path for path, digest in weights.items() if digest not in covered]
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    partly = f"it holds for what it names, but nobody trusted has published {', '.join(left[:_NAMED])}{more}"
    none = "it names none of the weights in this file"
    speaks = {vote.path: bool(wanted & (vote.about or frozenset())) for vote in published}
    return {path: partly if about else none for path, about in speaks.items() if wanted and (left or not about)}


@dataclass(frozen=True, slots=True)
class Shortage:
    """A demand that is not met: of whom (None: of anybody, about the whole file), how many were wanted and found.

    ``shared`` are ids of signers of whom only one counts, because they are one hand; ``elsewhere`` says that there
    would be enough if none of them counted for another demand.
    """

    role: Role | None
    wanted: int
    found: int
    shared: tuple[str, ...] = ()
    elsewhere: bool = False


def shortages(tally: Tally, policy: Policy) -> list[Shortage]:
    """The demands of ``policy`` that are not met: somebody for the whole file, then each that it lists.

    Hands count once in each demand, and once in all of them where the policy keeps its demands separate.
    """
    found = [] if tally.ballots(None) else [Shortage(None, 1, 0)]
    demands = [Demand(each.threshold, tally.ballots(each.role, each.signers)) for each in policy.requirements]
    alone = [count_hands([demand])[0] for demand in demands]
    together = count_hands(demands) if policy.separate else alone
    for wanted, demand, single, joint in zip(policy.requirements, demands, alone, together, strict=True):
        if single < demand.wanted:
            found.append(Shortage(wanted.role, demand.wanted, single, _shared(demand)))
        elif joint < demand.wanted:
            found.append(Shortage(wanted.role, demand.wanted, joint, elsewhere=True))
    return found


def _shared(demand: Demand) -> tuple[str, ...]:
    """Ids of those who may count for ``demand``, and are one hand with another one who may."""
    by_hand: dict[str, set[str]] = {}
    for signer, hand in demand.ballots:
        by_hand.setdefault(hand, set()).add(signer)
    return tuple(sorted(set[str]().union(*(signers for signers in by_hand.values() if len(signers) > 1))))
