"""Who counts, and who does not: the decisions of 13.4 on real files with real signatures and real time stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.examining.verify import verify
from llamafile_format.rules import Layer
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.trust.evidence import Standing
from llamafile_format.signing.trust.policy import (
    Authority,
    Denied,
    Policy,
    PostQuantum,
    Requirement,
    Role,
    SignerRule,
    StampLevel,
    Unsigned,
    key_policy,
)
from llamafile_format.vouching.append import append_records
from llamafile_format.vouching.sign import sign
from tests import authorities, signing_samples

NOW = datetime(2030, 1, 1, tzinfo=UTC)
YES, NO, OPEN = Verdict.YES, Verdict.NO, Verdict.UNDETERMINED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return signing_samples.container(tmp_path / "tiny.llamafile")


def by(name: str, *keys: PrivateKey, roles: Sequence[Role] = (Role.ASSEMBLER,), **more: Any) -> SignerRule:
    return SignerRule(name, frozenset(roles), tuple(key.public for key in keys), **more)


def key(label: str = "", kind: str = "p256") -> PrivateKey:
    return signing_samples.keys(kind, label)[0]


def judged(file: Path, policy: Policy, at: datetime = NOW, **more: Any) -> tuple[Verdict, set[str], Report]:
    report = verify(file, policy=policy, as_of=at, **more)
    assert report.verdicts[Layer.WELL_FORMED] is YES, report.findings
    rules = {finding.rule for finding in report.findings if finding.rule.startswith("LF8")}
    return report.verdicts.get(Layer.AUTHENTIC, OPEN), rules, report


def stamped(file: Path, authority: authorities.Authority, when: datetime, digest: str = "sha256") -> None:
    """Stamp the last record."""
    append_records(file, lambda _, records, __: [(RecordKind.TSR, _stamp(authority, records[-1], when, digest))])


def _stamp(authority: authorities.Authority, record: Record, when: datetime, digest: str) -> bytes:
    return authorities.stamp(authority, record.data, when, digest)


def authority() -> tuple[authorities.Authority, Authority]:
    root = authorities.Authority.create("Clock")
    return root.tsa(), Authority("clock", (root.der,))


# -- one signature ----------------------------------------------------------------------------------------------------


def test_a_trusted_key_makes_it_authentic(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    verdict, rules, report = judged(file, key_policy([key().public]))
    assert (verdict, rules, report.exit_code()) == (YES, set(), 0)
    assert [fact.standing for fact in report.signatures] == [Standing.TRUSTED]


def test_a_strangers_good_signature_is_a_strangers(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    verdict, rules, report = judged(file, key_policy([key("other").public]))
    assert (verdict, rules, report.exit_code()) == (NO, {"LF8103", "LF8104"}, 5)
    assert [(fact.standing, fact.signer) for fact in report.signatures] == [(Standing.UNKNOWN, "")]


def test_unsigned_is_not_authentic(file: Path) -> None:
    verdict, rules, report = judged(file, key_policy([key().public]))
    assert (verdict, rules, report.exit_code()) == (NO, {"LF8101"}, 5)


def test_demanding_a_signature_without_naming_anybody(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    report = verify(file, require_signature=True)
    assert report.verdicts[Layer.AUTHENTIC] is OPEN
    assert report.exit_code() == 5
    assert "LF8115" in {finding.rule for finding in report.findings}


def test_damage_takes_authenticity_with_it(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    data = bytearray(file.read_bytes())
    data[data.index(b"token_embd") + 400] ^= 1
    file.write_bytes(data)
    report = verify(file, policy=key_policy([key().public]))
    assert report.verdicts[Layer.WELL_FORMED] is report.verdicts[Layer.AUTHENTIC] is NO
    assert report.exit_code() == 1  # the graver of 1 and 5


def test_an_attestation_by_a_trusted_key_vouches_for_nothing(file: Path) -> None:
    from llamafile_format.vouching.sign import Attestation

    sign(file, [key()], attest=Attestation("urn:example:looked-at:1", {"result": "fine"}), declared_time="none")
    verdict, rules, _ = judged(file, key_policy([key().public]))
    assert (verdict, rules) == (NO, {"LF8101"})


def test_a_countersignature_vouches(file: Path) -> None:
    sign(file, [key("other")], declared_time="none")
    sign(file, [key()], countersign=True, declared_time="none")
    assert judged(file, key_policy([key().public]))[:2] == (YES, {"LF8103"})


# -- roles, thresholds ------------------------------------------------------------------------------------------------


def test_signers_are_counted_and_not_records(file: Path) -> None:
    first, second = key(), key("second", "ed25519")
    sign(file, [first], declared_time="none")
    sign(file, [second], declared_time="none")
    one = Policy("p", (by("one", first, second),), (Requirement(Role.ASSEMBLER, 2),))
    assert judged(file, one)[:2] == (NO, {"LF8104"})
    two = Policy("p", (by("one", first), by("two", second)), (Requirement(Role.ASSEMBLER, 2),))
    assert judged(file, two)[:2] == (YES, set())


def test_a_role_counts_in_itself_only(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    wanted = (Requirement(Role.ARCHIVE),)
    assert judged(file, Policy("p", (by("one", key()),), wanted))[:2] == (NO, {"LF8104"})
    archive = by("one", key(), roles=[Role.ARCHIVE])
    assert judged(file, Policy("p", (archive,), wanted))[:2] == (YES, set())
    assert judged(file, Policy("p", (archive,), (Requirement(Role.ARCHIVE, 1, ("two",)),)))[0] is NO


def test_a_signer_of_other_models_does_not_count(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    assert judged(file, Policy("p", (by("one", key(), models=("Huge*",)),)))[:2] == (NO, {"LF8118", "LF8104"})
    assert judged(file, Policy("p", (by("one", key(), models=("T*y",)),)))[:2] == (YES, set())


# -- unsigned: allow --------------------------------------------------------------------------------------------------


def test_allow_asks_nothing_of_the_unsigned_and_everything_of_the_signed(file: Path) -> None:
    lax = Policy("p", (by("one", key()),), (Requirement(Role.ASSEMBLER, 2),), unsigned=Unsigned.ALLOW, sha256="0" * 64)
    report = verify(file, policy=lax, as_of=NOW)
    assert Layer.AUTHENTIC not in report.verdicts
    assert report.exit_code() == 0
    assert verify(file, policy=lax, as_of=NOW, require_signature=True).exit_code() == 5
    sign(file, [key("stranger")], declared_time="none")
    assert verify(file, policy=lax, as_of=NOW).exit_code() == 0
    sign(file, [key()], declared_time="none")
    assert judged(file, lax)[:2] == (NO, {"LF8103", "LF8104"})


# -- co-signers and pairs ---------------------------------------------------------------------------------------------


def test_a_declared_cosigner_is_missed(file: Path) -> None:
    first, second = key(), key("second", "ed25519")
    sign(file, [first], cosigners=[second.public.key_id], declared_time="none")
    assert judged(file, key_policy([first.public]))[:2] == (NO, {"LF8105"})
    assert judged(file, replace(key_policy([first.public]), cosigners=False))[:2] == (YES, set())
    sign(file, [second], declared_time="none")
    assert judged(file, key_policy([first.public]))[:2] == (YES, {"LF8103", "LF8119"})
    assert judged(file, key_policy([first.public, second.public]))[:2] == (YES, set())


def test_a_stripped_half_is_missed(file: Path, tmp_path: Path) -> None:
    pair = signing_samples.keys("p384+ml-dsa-65")
    sign(file, pair[:1], cosigners=[half.public.key_id for half in pair], declared_time="none")
    signer = by("one", *pair)
    assert judged(file, Policy("p", (signer,)))[:2] == (NO, {"LF8104", "LF8106"})
    alone = Policy("p", (signer,), post_quantum=PostQuantum.NEVER)
    assert judged(file, alone)[:2] == (NO, {"LF8105"})
    whole = signing_samples.container(tmp_path / "whole.llamafile")
    sign(whole, pair, declared_time="none")
    assert judged(whole, Policy("p", (signer,), post_quantum=PostQuantum.ALWAYS))[:2] == (YES, set())


def test_always_means_always(file: Path) -> None:
    sign(file, [key()], declared_time="none")
    policy = Policy("p", (by("one", key()),), post_quantum=PostQuantum.ALWAYS)
    assert judged(file, policy)[:2] == (NO, {"LF8104", "LF8106"})


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_signer_out_of_time_counts_by_a_stamp_from_within(file: Path) -> None:
    clock, trusted = authority()
    sign(file, [key()], declared_time="none")
    policy = Policy("p", (by("one", key(), valid_until=datetime(2028, 1, 1, tzinfo=UTC)),), authorities=(trusted,))
    assert judged(file, policy)[:2] == (NO, {"LF8107", "LF8104"})
    stamped(file, clock, datetime(2027, 6, 1, tzinfo=UTC))
    verdict, rules, report = judged(file, policy)
    assert (verdict, rules) == (YES, set())
    assert [(fact.time, fact.level) for fact in report.signatures] == [
        ("2027-06-01T00:00:00Z", "T"),
        ("2027-06-01T00:00:00Z", ""),
    ]
    assert judged(file, replace(policy, authorities=()))[:2] == (NO, {"LF8107", "LF8104", "LF8201"})


def test_a_stamp_from_after_the_end_helps_nobody(file: Path) -> None:
    clock, trusted = authority()
    sign(file, [key()], declared_time="2027-01-01T00:00:00Z")  # the signer's word for it is not enough
    stamped(file, clock, datetime(2029, 1, 1, tzinfo=UTC))
    policy = Policy("p", (by("one", key(), valid_until=datetime(2028, 1, 1, tzinfo=UTC)),), authorities=(trusted,))
    assert judged(file, policy)[:2] == (NO, {"LF8107", "LF8104"})


def test_a_stamp_from_the_future_proves_nothing_yet(file: Path) -> None:
    clock, trusted = authority()
    sign(file, [key()], declared_time="none")
    stamped(file, clock, datetime(2031, 1, 1, tzinfo=UTC))
    policy = Policy("p", (by("one", key()),), authorities=(trusted,), minimum_level=StampLevel.T)
    assert judged(file, policy)[:2] == (NO, {"LF8205", "LF8204", "LF8104"})
    assert judged(file, policy, datetime(2032, 1, 1, tzinfo=UTC))[:2] == (YES, set())


def test_a_denied_key_counts_for_what_is_proven_to_be_older(file: Path) -> None:
    clock, trusted = authority()
    sign(file, [key()], declared_time="none")
    lost = Denied(key().public.key_id, datetime(2028, 1, 1, tzinfo=UTC), "lost")
    policy = Policy("p", (by("one", key()),), authorities=(trusted,), denied_keys=(lost,))
    assert judged(file, policy, datetime(2027, 12, 31, tzinfo=UTC))[:2] == (YES, set())
    assert judged(file, policy)[:2] == (NO, {"LF8108", "LF8104"})
    stamped(file, clock, datetime(2027, 6, 1, tzinfo=UTC))
    assert judged(file, policy)[:2] == (YES, set())
    stolen = replace(policy, denied_keys=(replace(lost, since=None),))
    assert judged(file, stolen)[:2] == (NO, {"LF8108", "LF8104"})


def test_a_broken_algorithm_counts_for_what_is_proven_to_be_older(file: Path) -> None:
    clock, trusted = authority()
    signer = key("", "p384")
    sign(file, [signer], declared_time="none")
    policy = Policy(
        "p", (by("one", signer),), authorities=(trusted,), algorithms={"ecdsa-p384-sha384": date(2028, 1, 1)}
    )
    assert judged(file, policy)[:2] == (NO, {"LF8109", "LF8104"})
    stamped(file, clock, datetime(2027, 6, 1, tzinfo=UTC))
    assert judged(file, policy)[:2] == (YES, set())
    contents = replace(policy, algorithms={"sha256": date(2028, 1, 1)})  # a stamp on the record does not help those
    verdict, rules, _ = judged(file, contents)
    assert verdict is NO
    assert "LF8109" in rules


def test_old_signatures_and_levels(file: Path) -> None:
    sign(file, [key()], declared_time="2029-06-01T00:00:00Z")
    policy = Policy("p", (by("one", key()),), max_age_days=365)
    assert judged(file, policy)[:2] == (YES, set())
    assert judged(file, policy, datetime(2031, 1, 1, tzinfo=UTC))[:2] == (NO, {"LF8206", "LF8104"})
    assert judged(file, replace(policy, minimum_level=StampLevel.T))[:2] == (NO, {"LF8204", "LF8104"})


# -- not containers ---------------------------------------------------------------------------------------------------


def test_a_legacy_file_escapes_no_policy(tmp_path: Path) -> None:
    from tests.repack_samples import engine, gguf, legacy

    path = tmp_path / "old.llamafile"
    path.write_bytes(legacy(engine("e", 70000), [("m.gguf", gguf())]))
    lax = Policy("p", unsigned=Unsigned.ALLOW, sha256="0" * 64)
    report = verify(path, policy=lax)
    assert report.verdicts[Layer.POLICY] is NO
    assert report.exit_code() == 1
    assert "LF8406" in {finding.rule for finding in report.findings}
