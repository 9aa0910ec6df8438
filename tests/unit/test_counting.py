"""Thresholds count hands (13.4.7), and one function says what counts (13.4.5, 13.4.6), whoever signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, permutations
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.cli.main import cli
from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.key import PublicKey
from llamafile_format.signing.trust.counting import Vote, count, shortages
from llamafile_format.signing.trust.hands import Demand, count_hands
from llamafile_format.signing.trust.policy import (
    CertificateRule,
    Policy,
    PostQuantum,
    Requirement,
    Role,
    SignerRule,
    SigstoreRule,
    StampLevel,
    key_policy,
)
from llamafile_format.signing.trust.wildcards import fits_identity
from llamafile_format.signing.x509.identities import Identity, NameKind, kind_of
from tests import signing_samples

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def public(label: str, kind: str = "p256") -> PublicKey:
    return signing_samples.keys(kind, label)[0].public


def signer(name: str, *keys: PublicKey, identity: str = "", sigstore: str = "", roles: str = "assembler") -> SignerRule:
    return SignerRule(
        name,
        frozenset(map(Role, roles.split())),
        keys,
        CertificateRule((b"root",), identity) if identity else None,
        SigstoreRule(b"root", sigstore, "https://issuer.example") if sigstore else None,
    )


def vote(by: SignerRule, key: PublicKey, *names: str, about: frozenset[str] | None = None) -> Vote:
    principals = tuple(Identity(kind_of(name), name).principal for name in names)
    return Vote(f"{by.id} {key.key_id[:8]} {names} {about}", by, key, principals, StampLevel.B, NOW, about=about)


def found(policy: Policy, *votes: Vote) -> int:
    """How many of two assemblers there are."""
    short = shortages(count(votes, policy, at=NOW), policy)
    return 2 - sum(each.wanted - each.found for each in short if each.role is not None)


def two(*signers: SignerRule, separate: bool = False) -> Policy:
    return Policy("p", signers, (Requirement(Role.ASSEMBLER, 2),), separate)


# -- one hand ---------------------------------------------------------------------------------------------------------

ALICE, BOB = public("alice"), public("bob")
HUB = signer("hub", identity="*@hub.example")


def test_one_key_under_two_rules_is_one_hand() -> None:
    alice = signer("alice", ALICE)
    policy = two(alice, HUB)
    assert found(policy, vote(alice, ALICE), vote(HUB, ALICE, "alice@hub.example")) == 1
    assert found(policy, vote(alice, ALICE), vote(HUB, BOB, "bob@hub.example")) == 2


def test_one_more_signature_takes_nothing_away() -> None:
    alice = signer("alice", ALICE)
    votes = [vote(alice, ALICE), vote(HUB, BOB, "bob@hub.example"), vote(HUB, ALICE, "alice@hub.example")]
    for order in permutations(votes):
        assert found(two(alice, HUB), *order) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("alice@hub.example", "alice@hub.example"),
        ("alice@hub.example", "Alice@HUB.example"),  # case makes no second person
        ("https://hub.example/ci", "https://hub.example/ci"),
    ],
)
def test_one_name_under_two_rules_is_one_hand(first: str, second: str) -> None:
    """By a certificate, by Sigstore, by whatever authority: the keys differ, the principal does not."""
    one, other = signer("one", identity=first), signer("other", sigstore=second)
    assert found(two(one, other), vote(one, ALICE, first), vote(other, BOB, second)) == 1


def test_a_key_and_the_identity_of_its_signer_are_one_hand() -> None:
    alice, other = signer("alice", ALICE, identity="alice@hub.example"), signer("x", identity="*@hub.example")
    assert found(two(alice, other), vote(alice, ALICE), vote(other, BOB, "alice@hub.example")) == 1


def test_a_certificate_that_names_two_joins_them() -> None:
    one, other = signer("one", identity="a@hub.example"), signer("other", identity="b@hub.example")
    both = ("a@hub.example", "b@hub.example")
    assert found(two(one, other), vote(one, ALICE, *both), vote(other, ALICE, *both)) == 1


def test_the_halves_of_a_pair_are_one_hand() -> None:
    half = public("alice", "ml-dsa-65")
    alice = replace(signer("alice", ALICE, half), halves=frozenset({ALICE.key_id}))
    votes = [vote(alice, ALICE), vote(alice, half), vote(HUB, half, "alice@hub.example")]
    assert found(two(alice, HUB), *votes) == 1


def test_a_weak_signature_still_says_whose_hand_it_is() -> None:
    alice = signer("alice", ALICE)
    weak = replace(vote(HUB, ALICE, "alice@hub.example"), made=None)
    policy = replace(two(alice, HUB), max_age_days=30)
    assert found(policy, vote(alice, ALICE), weak, vote(HUB, BOB, "alice@hub.example")) == 1


def test_separate_demands_need_separate_hands() -> None:
    alice = signer("alice", ALICE, roles="assembler archive")
    demands = (Requirement(Role.ASSEMBLER), Requirement(Role.ARCHIVE))
    lax, strict = (Policy("p", (alice,), demands, separate) for separate in (False, True))
    assert shortages(count([vote(alice, ALICE)], lax, at=NOW), lax) == []
    (short,) = shortages(count([vote(alice, ALICE)], strict, at=NOW), strict)
    assert (short.role, short.elsewhere) == (Role.ARCHIVE, True)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("1234")), max_size=7)),
        min_size=1,
        max_size=2,
    )
)
def test_hands_are_counted_as_well_as_can_be(demands: list[tuple[int, set[tuple[str, str]]]]) -> None:
    """Against all assignments: within a demand signers and hands differ, and hands in all of them together."""
    there = count_hands([Demand(wanted, frozenset(ballots)) for wanted, ballots in demands])
    every = [(number, *ballot) for number, (_, ballots) in enumerate(demands) for ballot in ballots]
    best = 0
    for size in range(min(len(every), 4), 0, -1):
        for chosen in combinations(every, size):
            within = all(
                sum(each[0] == number for each in chosen) <= wanted for number, (wanted, _) in enumerate(demands)
            )
            if within and len({each[2] for each in chosen}) == len({each[:2] for each in chosen}) == size:
                best = max(best, size)
        if best:
            break
    assert sum(there) == best
    assert all(here <= wanted for here, (wanted, _) in zip(there, demands, strict=True))


# -- what counts ------------------------------------------------------------------------------------------------------


def test_half_of_a_pair_does_not_count_by_whomever_it_is_presented() -> None:
    half = public("alice", "ml-dsa-65")
    alice = replace(signer("alice", ALICE, half), halves=frozenset({ALICE.key_id}))
    tally = count([vote(HUB, ALICE, "alice@hub.example")], Policy("p", (alice, HUB)), at=NOW)
    assert (tally.votes, [finding.rule for finding in tally.findings]) == ((), ["LF8106"])
    whole = [vote(HUB, ALICE, "alice@hub.example"), vote(alice, half)]
    assert count(whole, Policy("p", (alice, HUB)), at=NOW).votes == tuple(whole)


def test_somebody_elses_post_quantum_key_is_no_half() -> None:
    """A pattern stands for many people; each must bring both."""
    policy = Policy("p", (HUB,), post_quantum=PostQuantum.ALWAYS)
    other = vote(HUB, public("bob", "ml-dsa-65"), "bob@hub.example")
    assert count([vote(HUB, ALICE, "alice@hub.example"), other], policy, at=NOW).votes == (other,)


def test_the_other_half_must_be_about_the_same_weights() -> None:
    half = public("lab", "ml-dsa-65")
    lab = replace(signer("lab", ALICE, half, roles="publisher"), halves=frozenset({ALICE.key_id}))
    policy, weights = Policy("p", (lab,)), {"a.gguf": "aa", "b.gguf": "bb"}
    classical = vote(lab, ALICE, about=frozenset({"aa", "bb"}))
    card = vote(lab, half, about=frozenset({"cc"}))
    assert count([classical, card], policy, at=NOW, weights=weights).votes == ()
    assert count([vote(lab, ALICE, about=frozenset({"dd"})), card], policy, at=NOW).votes == (card,)  # no weights here
    both = [classical, vote(lab, half, about=frozenset({"aa", "bb"}))]
    assert count(both, policy, at=NOW, weights=weights).votes == tuple(both)
    file = vote(lab, half)  # the other half signed the whole file
    assert count([classical, file], policy, at=NOW, weights=weights).votes == (classical, file)


def test_publishers_are_dated_as_everybody_else_is() -> None:
    lab = signer("lab", ALICE, roles="publisher")
    one = vote(lab, ALICE, about=frozenset({"aa"}))
    for policy, rule, changed in (
        (Policy("p", (lab,), minimum_level=StampLevel.T), "LF8204", one),
        (Policy("p", (lab,), max_age_days=30), "LF8206", replace(one, made=None)),
    ):
        tally = count([changed], policy, at=NOW, weights={"a.gguf": "aa"})
        assert (tally.votes, [finding.rule for finding in tally.findings]) == ((), [rule])


def test_key_files_that_share_a_key_are_one_signer() -> None:
    pair = [key.public for key in signing_samples.keys("p256+ml-dsa-65", "pair")]
    for files in ({"a.pub": pair[:1], "pair.pub": pair}, {"pair.pub": pair, "a.pub": pair[:1]}):
        (only,) = key_policy(files).signers
        assert set(only.keys) == set(pair)
        assert len(only.halves) == 1  # whoever named the pair believes no half of it


# -- names count by their kind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "kind", "name", "fits"),
    [
        ("a@hub.example", NameKind.EMAIL, "a@HUB.example", True),
        ("a@hub.example", NameKind.EMAIL, "A@hub.example", False),
        ("*@hub.example", NameKind.EMAIL, "a@b.hub.example", False),
        ("*@hub.example", NameKind.URI, "x:@hub.example", False),
        ("https://hub.example/*", NameKind.URI, "https://hub.example/ci", True),
        ("https://*.hub.example/ci", NameKind.URI, "https://evil.example?.hub.example/ci", False),
        ("https://*.hub.example/ci", NameKind.URI, "https://evil.example#.hub.example/ci", False),
        ("https://*.hub.example/ci", NameKind.URI, "https://u:p@.hub.example/ci", False),
        ("https://*hub.example/ci", NameKind.URI, "https://a:b.hub.example/ci", False),
        ("build.hub.example", NameKind.DNS, "BUILD.hub.example", True),
        ("build.hub.example", NameKind.EMAIL, "build.hub.example", False),
        ("*.hub.example", NameKind.DNS, "a.hub.example", True),
        ("*.hub.example", NameKind.DNS, "hub.example", False),
    ],
)
def test_identities_fit_by_kind(pattern: str, kind: NameKind, name: str, fits: bool) -> None:
    assert fits_identity(Identity(kind, name), pattern) is fits


@pytest.mark.parametrize(
    "text",
    [
        "Alice Example",
        "",
        "*",
        "*.*",
        "a b@hub.example",
        "a@b@hub.example",
        "a@hüb.example",
        "hub.example\0",
        "@",
        "x@",
    ],
)
def test_what_names_nobody_is_a_fault_of_the_policy(text: str) -> None:
    with pytest.raises(FormatError, match="names nobody"):
        CertificateRule((b"root",), text)


# -- what was not read ------------------------------------------------------------------------------------------------


def test_quick_never_says_authentic(tmp_path: Path) -> None:
    """A flipped bit in the weights: quick does not see it, and so vouches for nothing."""
    from llamafile_format.vouching.sign import sign

    file = signing_samples.container(tmp_path / "tiny.llamafile")
    sign(file, signing_samples.keys("p256"), declared_time="none")
    (tmp_path / "a.pub").write_text(public("").pem)
    command = ["verify", str(file), "--key", str(tmp_path / "a.pub"), "--level"]
    assert CliRunner().invoke(cli, [*command, "full"]).exit_code == 0
    data = bytearray(file.read_bytes())
    data[data.index(b"token_embd") + 400] ^= 1
    file.write_bytes(data)
    result = CliRunner().invoke(cli, [*command, "quick"])
    assert result.exit_code == 5
    assert "LF8122" in result.output
    assert CliRunner().invoke(cli, [*command, "full"]).exit_code == 1
