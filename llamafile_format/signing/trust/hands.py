"""One hand is one hand, under however many names: who is counted when signers are counted (spec/1, 13.4.7).

A key can stand in a policy as itself, and in a certificate that another rule takes; a person can have a certificate, a
Sigstore identity and a key. Whatever shares a key or a name is one *hand*, and a threshold counts hands: each signer
once, by a hand that counts for no other. That is a flow from demands over signers to hands; what arrives is counted.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamafile_format.signing.x509.identities import ANY, Identity, kind_of

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy, SignerRule


@dataclass(slots=True)
class Hands:
    """Which marks (keys, names) belong to one hand: sets that are joined, and never parted."""

    _above: dict[str, str] = field(default_factory=dict)

    def join(self, marks: Iterable[str]) -> None:
        """What has all these ``marks`` is one hand."""
        roots = [self.of(mark) for mark in marks]
        for root in roots[1:]:
            self._above[self.of(root)] = self.of(roots[0])

    def of(self, mark: str) -> str:
        """The name of the hand that has ``mark``."""
        root = mark
        while (above := self._above.get(root, root)) != root:
            root = above
        while mark != root:  # the next one asks once
            self._above[mark], mark = root, self._above.get(mark, root)
        return root


def key_mark(key_id: str) -> str:
    """The mark of a key, however it is presented."""
    return f"key {key_id}"


def hands_of(policy: Policy) -> Hands:
    """The hands that ``policy`` itself tells: all keys of a signer, and the identity that its rules pin, are one."""
    hands = Hands()
    for signer in policy.signers:
        hands.join(marks_of(signer))
    return hands


def marks_of(signer: SignerRule) -> list[str]:
    """The marks of ``signer`` that the policy states in full; a pattern stands for many, and is none."""
    marks = [key_mark(key.key_id) for key in signer.keys]
    pinned = [rule.identity for rule in (signer.certificate, signer.sigstore) if rule and ANY not in rule.identity]
    return marks + [Identity(kind_of(text), text).principal for text in pinned]


@dataclass(frozen=True, slots=True)
class Demand:
    """``wanted`` different signers, of whom ``ballots`` are pairs of (signer's id, a hand by which it may count)."""

    wanted: int
    ballots: frozenset[tuple[str, str]]


def count_hands(demands: Sequence[Demand]) -> list[int]:
    """How many of each demand's ``wanted`` are there, if every hand counts once in all of ``demands`` together."""
    left: dict[Hashable, dict[Hashable, int]] = {"start": {}}  # what each edge can still carry
    for number, demand in enumerate(demands):
        left["start"][number] = demand.wanted
        for signer, hand in demand.ballots:
            left.setdefault(number, {})[(number, signer)] = 1
            left.setdefault((number, signer), {})[("hand", hand)] = 1
            left.setdefault(("hand", hand), {})["end"] = 1
    while path := _way(left):
        for one, other in path:
            left[one][other] -= 1
            left.setdefault(other, {})[one] = left.get(other, {}).get(one, 0) + 1
    return [demand.wanted - left["start"][number] for number, demand in enumerate(demands)]


def _way(left: dict[Hashable, dict[Hashable, int]]) -> list[tuple[Hashable, Hashable]]:
    """Edges of one more way from start to end; none if there is no more. Breadth first: never the same node twice."""
    came: dict[Hashable, Hashable] = {"start": "start"}
    waiting: list[Hashable] = ["start"]
    for node in waiting:
        for other, room in left.get(node, {}).items():
            if room and other not in came:
                came[other] = node
                waiting.append(other)
    path: list[tuple[Hashable, Hashable]] = []
    node = "end"
    while node in came and node != "start":
        path.append((came[node], node))
        node = came[node]
    return path
