"""Ways around a policy, and ways to make a verifier work for nothing, that were found by looking for them."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.checks.canonical import signature_entries
from llamafile_format.checks.signatures import Subject, collect, read_records
from llamafile_format.checks.verdict import Verdict
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.examining.demands import Trust, unestablished
from llamafile_format.examining.verify import verify
from llamafile_format.findings import Finding
from llamafile_format.output.transfer import write_at
from llamafile_format.rules import Layer, Severity
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.records.envelope import encode_bundle, pae, read_bundle
from llamafile_format.signing.records.record import MAX_TAIL, Record, RecordKind, record_path
from llamafile_format.signing.records.statement import Annotations, attestation, countersignature, read_statement
from llamafile_format.signing.time.prefix_digests import prefix_digests
from llamafile_format.signing.trust.material import MAX_IN_ALL, Material, encode_material
from llamafile_format.signing.trust.policy import (
    Authority,
    CertificateRule,
    Policy,
    Requirement,
    Role,
    SignerRule,
    StampLevel,
    Unsigned,
    halves_of,
    key_policy,
)
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.signing.trust.sight import sights
from llamafile_format.signing.trust.wildcards import fits, fits_identity
from llamafile_format.signing.x509 import certificates
from llamafile_format.signing.x509.certificates import Purpose, verify_chain
from llamafile_format.signing.x509.identities import Identity, NameKind
from llamafile_format.source import BytesSource
from llamafile_format.vouching.append import Made, append_records
from llamafile_format.vouching.sign import Attestation, sign
from spec.vectors.generate.forge import Part, encode
from spec.vectors.generate.load import read_vector
from spec.vectors.generate.signatures_forge import unsigned
from tests import authorities, signing_samples

NOW = datetime(2030, 1, 1, tzinfo=UTC)
YES, NO = Verdict.YES, Verdict.NO


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return signing_samples.container(tmp_path / "tiny.llamafile")


def key(label: str = "", kind: str = "p256") -> PrivateKey:
    return signing_samples.keys(kind, label)[0]


def by(name: str, *keys: PrivateKey, roles: Sequence[Role] = (Role.ASSEMBLER,), **more: Any) -> SignerRule:
    return SignerRule(name, frozenset(roles), tuple(key.public for key in keys), **more)


def judged(file: Path, policy: Policy) -> tuple[Verdict | None, set[str]]:
    report = verify(file, policy=policy, as_of=NOW)
    rules = {finding.rule for finding in report.findings if finding.rule.startswith("LF8")}
    return report.verdicts.get(Layer.AUTHENTIC), rules


def signed_by(signer: PrivateKey, payload: bytes) -> bytes:
    return encode_bundle(payload, signer.sign(pae(payload)), public=signer.public)


# -- who counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"minimum_level": StampLevel.T}, {"max_age_days": 1000}])
def test_a_copy_of_a_genuine_record_takes_nothing_away(file: Path, more: dict[str, Any]) -> None:
    """A stranger appends a stamped signature once more. The stamp is on the first, and the second does not count."""
    root = authorities.Authority.create("Clock")
    tsa, moment = root.tsa(), datetime(2029, 1, 1, tzinfo=UTC)
    sign(file, [key()], declared_time="none" if "minimum_level" in more else "2029-01-01T00:00:00Z")
    append_records(file, lambda _, records, __: [(RecordKind.TSR, authorities.stamp(tsa, records[0].data, moment))])
    policy = replace(key_policy([key().public], authorities=[Authority("clock", (root.der,))]), **more)
    assert judged(file, policy) == (YES, set())
    append_records(file, lambda _, records, __: [(RecordKind.OMS, records[0].data)])
    assert judged(file, policy) == (YES, {"LF8204"} if "minimum_level" in more else set())


def test_a_stamp_makes_no_old_signature_young(file: Path) -> None:
    """Whoever has an old signature can have it stamped today: only its signer says how old it is."""
    root = authorities.Authority.create("Clock")
    tsa, moment = root.tsa(), datetime(2029, 6, 1, tzinfo=UTC)
    policy = replace(key_policy([key().public], authorities=[Authority("clock", (root.der,))]), max_age_days=1000)
    for declared in ("none", "2020-01-01T00:00:00Z"):
        signed = file.with_name(f"{declared:.4}.llamafile")
        signed.write_bytes(file.read_bytes())
        sign(signed, [key()], declared_time=declared)
        append_records(
            signed, lambda _, records, __: [(RecordKind.TSR, authorities.stamp(tsa, records[0].data, moment))]
        )
        assert judged(signed, policy) == (NO, {"LF8104", "LF8206"})


def test_a_cosigner_who_only_attests_has_not_cosigned(file: Path) -> None:
    """What he says of the file may be that it is malware."""
    first, second = key("first"), key("second")
    sign(file, [first], cosigners=[second.public.key_id], declared_time="none")
    sign(file, [second], attest=Attestation("urn:example:rejected:1", {"reason": "malware"}), declared_time="none")
    assert judged(file, Policy("p", (by("first", first), by("second", second)))) == (NO, {"LF8105"})


def test_an_attestation_about_an_engine_is_no_approval(tmp_path: Path) -> None:
    file = signing_samples.container(tmp_path / "engine.llamafile", launcher=True)
    builder = key("builder")
    sign(file, [key()], declared_time="none")

    def about_the_engine(container: Any, *_: Any) -> Made:
        build = next(member for member in container.members if member.role == "runtime")
        covered = container.claims.layout.manifest(len(container.claims.data)).end
        said = Annotations(hashlib.sha256(container.manifest_bytes).hexdigest(), covered)
        payload = attestation("urn:example:do-not-use:1", {"reason": "malware"}, said, sha256=build.sha256)
        return [(RecordKind.ATT, signed_by(builder, payload))]

    append_records(file, about_the_engine)
    signers = (by("packer", key()), by("builder", builder, roles=[Role.RUNTIME]))
    assert judged(file, Policy("p", signers, (Requirement(Role.RUNTIME),))) == (NO, {"LF8104"})


def test_half_of_a_pair_is_not_the_pair(file: Path) -> None:
    """Who has stolen or computed the classical key declares no other half."""
    classical, other = signing_samples.keys("p256+ml-dsa-65")
    keys = (classical.public, other.public)
    sign(file, [classical], declared_time="none")
    assert judged(file, key_policy({"PAIR.pub": keys})) == (NO, {"LF8104", "LF8106"})
    assert judged(file, key_policy({"KEY.pub": keys[:1]})) == (YES, set())
    sign(file, [other], declared_time="none")
    assert judged(file, key_policy({"PAIR.pub": keys})) == (YES, set())


def test_two_files_are_two_means(tmp_path: Path, file: Path) -> None:
    """A signer with an old key and a new one is not a pair; one with both in a file is."""
    classical, other = signing_samples.keys("p256+ml-dsa-65")
    sign(file, [classical], declared_time="none")
    (tmp_path / "a.pub").write_text(classical.public.pem)
    (tmp_path / "b.pub").write_text(other.public.pem)
    (tmp_path / "pair.pub").write_text(other.public.pem + classical.public.pem)
    for keys, verdict in (("[a.pub, b.pub]", YES), ("[pair.pub]", NO)):
        path = tmp_path / "policy.yaml"
        path.write_text(f"policy: 1\nname: x\nsigners:\n- {{id: a, roles: [archive], keys: {keys}}}\n")
        assert judged(file, read_policy(path))[0] is verdict


def test_a_pair_outlives_its_classical_half(file: Path) -> None:
    pair = signing_samples.keys("p256+ml-dsa-65")
    sign(file, pair, declared_time="none")
    keys = tuple(key.public for key in pair)
    signer = SignerRule("pair", frozenset(Role), keys, halves=halves_of(keys))
    policy = Policy("p", (signer,), algorithms={"ecdsa-p256-sha256": date(2029, 1, 1)})
    assert judged(file, policy) == (YES, {"LF8109"})


def test_what_a_policy_calls_malformed_is_not_vouched_for() -> None:
    finding = Finding("LF3010", args={"path": "a", "role": "b"})
    raised = replace(key_policy([key().public]), severities={"LF3010": Severity.ERROR})
    assert [more.rule for more in unestablished([finding], Trust(raised), judged=True)] == ["LF8116"]
    assert unestablished([finding], Trust(key_policy([key().public])), judged=True) == []


def test_certificates_that_no_path_uses_are_not_carried(file: Path) -> None:
    """A certificate with the issuer's key and any words of the attacker's, in the place of the issuer's own."""
    root = authorities.Authority.create("Root")
    signer, stranger = root.leaf("Signer", email="a@example.org"), authorities.Authority.create("Stranger")
    imitation = _imitation(root, stranger)
    rule = SignerRule("a", frozenset(Role), certificate=CertificateRule((root.der,), "a@example.org"))
    for chain, verdict in (((signer.der,), YES), ((signer.der, root.der), YES), ((signer.der, imitation), NO)):
        copy = file.with_name(f"{len(chain)}-{verdict.value}.llamafile")
        sign(file, [PrivateKey(signer.key)], copy, certificates=chain, declared_time="none")
        assert judged(copy, Policy("p", (rule,)))[0] is verdict


def _imitation(root: authorities.Authority, stranger: authorities.Authority) -> bytes:
    builder = x509.CertificateBuilder().subject_name(root.certificate.subject).public_key(root.key.public_key())
    builder = builder.issuer_name(stranger.certificate.subject).serial_number(7)
    builder = builder.not_valid_before(authorities.EARLY).not_valid_after(authorities.LATE)
    builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"words"), False)
    return builder.sign(stranger.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# -- nothing that a file or a policy holds ends a run -----------------------------------------------------------------


@pytest.mark.parametrize("text", ["0000-00-00T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z"])
def test_a_declared_time_that_is_none_is_malformed(text: str) -> None:
    payload = countersignature([], Annotations("0" * 64, 0, declared_time=text))
    with pytest.raises(FormatError, match="declared_time"):
        read_statement(payload)


def test_a_name_with_a_zero_byte_is_a_fault_of_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text('policy: 1\nname: x\nsigners:\n- {id: a, roles: [archive], keys: ["a\\0b"]}\n')
    with pytest.raises(FormatError, match="keys"):
        read_policy(path)


def test_messages_do_not_grow_with_what_is_wrong() -> None:
    data = encode_bundle(b"{}", b"x", public=key().public).replace(b"bundle.v0.3", b"b" * 100_000)
    with pytest.raises(FormatError) as caught:
        read_bundle(data)
    assert len(str(caught.value)) < 500


def test_detached_records_come_together_or_not_at_all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One half of a pair alone would look as if somebody had taken the other away."""
    done: list[int] = []

    def full(descriptor: int, at: int, data: bytes) -> None:
        if done:
            raise OSError(28, "No space left on device")
        done.append(descriptor)
        write_at(descriptor, at, data)

    monkeypatch.setattr("llamafile_format.vouching.append.write_at", full)
    before = sorted(file.parent.iterdir())
    with pytest.raises(SourceError):
        sign(file, signing_samples.keys("p256+ml-dsa-65"), detached=True)
    assert sorted(file.parent.iterdir()) == before


# -- what a stranger appends costs about as much as it is long --------------------------------------------------------


@given(
    st.text("ab/@.:?#", max_size=12),
    st.text("ab*/@.:?#", max_size=8),
)
def test_patterns_mean_what_they_say(text: str, pattern: str) -> None:
    uri, wanted = Identity(NameKind.URI, f"x:{text}"), f"x:a{pattern}"
    for found, run, pattern_ in (
        (fits(text, pattern), ".*", pattern),
        (fits_identity(uri, wanted), "[^/@:?#]*", wanted),
    ):
        expected = re.fullmatch(
            run.join(map(re.escape, pattern_.split("*"))), text if run == ".*" else uri.text, re.DOTALL
        )
        assert found is (expected is not None)


def test_patterns_do_not_try_their_stars_against_one_another() -> None:
    start = time.monotonic()
    assert not fits("a" * 100_000, "*a" * 40 + "*b")
    assert not fits_identity(Identity(NameKind.URI, "x:" + "a" * 100_000), "x:" + "*a" * 40 + "*b")
    assert time.monotonic() - start < 2


def test_records_that_share_their_bytes_are_read_up_to_the_limit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory can name one mebibyte a thousand times."""
    sign(file, [key()], declared_time="none")
    with open_container(file) as container:
        entry = signature_entries(container.archive)[0]
        size = 1 << 20
        many = [
            replace(entry, path=record_path(number, RecordKind.OMS), size=size, data_offset=0)
            for number in range(1, 1025)
        ]
        monkeypatch.setattr("llamafile_format.checks.signatures.signature_entries", lambda _: many)
        records = read_records(BytesSource(bytes(size)), container.archive)
        assert sum(len(record.data) for record in records) == MAX_TAIL


def test_digests_of_renewals_are_computed_in_one_pass() -> None:
    """Anybody can append a thousand stamps of nothing, each of which could be a renewal."""
    data = bytes(range(256)) * 40_000
    functions = {"sha256": hashlib.sha256, "sha3-512": hashlib.sha3_512}
    wanted = [(len(data) - step * 1000, name) for step in range(400) for name in functions] + [(0, "sha256")]
    start = time.monotonic()
    found = prefix_digests(BytesSource(data), wanted)
    assert time.monotonic() - start < 5
    assert found[:4] == [functions[name](data[:length]).digest() for length, name in wanted[:4]]
    assert found[-1] == hashlib.sha256().digest()
    assert prefix_digests(BytesSource(data), []) == []


def _subject(file: Path) -> Subject:
    with open_container(file) as container:
        assert container.claims is not None
        return Subject(container.claims.manifest, container.claims.data, container.claims.layout)


def _record(index: int, kind: RecordKind, data: bytes) -> Record:
    return Record(index + 1, kind, record_path(index + 1, kind), 0, 0, data)


def test_each_record_is_hashed_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _subject(file)
    data = signed_by(key(), countersignature([], Annotations(subject.sha256, subject.covered)))
    hashed = []

    def counted(record: Record) -> str:
        hashed.append(record)
        return hashlib.sha256(record.data).hexdigest()

    monkeypatch.setattr(Record, "sha256", property(counted))
    collect(subject, [_record(index, RecordKind.CNT, data) for index in range(100)])
    assert len(hashed) == 100


def test_validation_material_is_limited_in_all(file: Path) -> None:
    root = authorities.Authority.create("Root")
    hours = [[datetime(year, 1 + n // 9, 1 + n % 9, tzinfo=UTC) for n in range(90)] for year in (2020, 2021, 2022)]
    lists = [tuple(root.revocation_list(at=hour) for hour in each) for each in hours]
    records = [_record(part, RecordKind.VM, encode_material(Material((), lists[part % 3]))) for part in (0, 1, 0, 2)]
    found = collect(_subject(file), records, signed_with=[root.tsa().der])
    assert [finding.rule for finding in found.findings] == ["LF8022"]
    assert len(found.evidence.revocations) == 180 <= MAX_IN_ALL


def test_looking_for_a_path_among_a_strangers_certificates_is_quick() -> None:
    """A hundred authorities of one name and one key, each above each."""
    key_ = authorities.private_key("p256", "S")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "S")])
    every = []
    for serial in range(1, 101):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key_.public_key())
        builder = builder.serial_number(serial).not_valid_before(authorities.EARLY).not_valid_after(authorities.LATE)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        every.append(builder.sign(key_, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    above = authorities.Authority("S", key_, x509.load_der_x509_certificate(every[0]))
    leaf, root = above.leaf("Leaf"), authorities.Authority.create("Root")
    known, calls = certificates._issued_by, []

    def counted(one: x509.Certificate, two: x509.Certificate) -> bool:
        calls.append(one)
        return known(one, two)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "_issued_by", counted)
        with pytest.raises(FormatError, match="does not lead to a root"):
            verify_chain(leaf.der, every, [root.der], at=NOW, purpose=Purpose.CODE_SIGNING, agility=Agility())
    assert len(calls) <= 100


# -- what a manifest claims, and what is believed of it ---------------------------------------------------------------


def test_an_engine_allowed_by_its_digest_is_hashed_whole() -> None:
    """Chunk roots are recomputed at level full; the digest that a policy lists is a claim until it is, too."""
    genuine, evil = bytes(5 << 20), b"evil" + bytes(5 << 20)
    build = "runtimes/llama.cpp/1.0/native/x86_64-unknown-linux-gnu"
    policy = Policy("p", unsigned=Unsigned.ALLOW, engines=(f"sha256:{hashlib.sha256(genuine).hexdigest()}",))
    claim = {"sha256": hashlib.sha256(genuine).hexdigest()}
    data = unsigned(Part(build, evil, "runtime", "application/octet-stream", 65536, 0o100755, manifest=claim))
    report = verify(BytesSource(data), policy=policy)
    assert "LF8404" not in {finding.rule for finding in report.findings}
    assert report.verdicts[Layer.WELL_FORMED] is NO
    assert report.exit_code() == 1


def test_a_file_without_records_is_never_authentic() -> None:
    """A legacy llamafile, by a policy that lets unsigned files pass: the layer has no verdict."""
    for path in (Path(__file__).parents[2] / "spec/vectors/legacy").glob("*.vector"):
        payload = read_vector(path).payload
        report = verify(BytesSource(payload), policy=Policy("p", unsigned=Unsigned.ALLOW))
        assert report.verdicts.get(Layer.AUTHENTIC) is not YES, path.name


def test_an_old_attestation_about_a_member_does_not_date_the_file(file: Path) -> None:
    """It was made, and stamped, for another file with the same licence text in it."""
    root = authorities.Authority.create("Clock")
    tsa, moment = root.tsa(), datetime(2027, 1, 1, tzinfo=UTC)
    with open_container(file) as container:
        readme = next(member for member in container.members if member.role == "readme")
    statement = json.loads(attestation("urn:example:read:1", {}, Annotations("0" * 64, 0), sha256=readme.sha256))
    del statement["subject"][0]["annotations"]
    data = signed_by(key("stranger"), encode(statement))
    append_records(file, lambda *_: [(RecordKind.ATT, data), (RecordKind.TSR, authorities.stamp(tsa, data, moment))])
    sign(file, [key()], declared_time="none")
    with open_container(file) as container:
        records = read_records(container.source, container.archive)
    collected = collect(_subject(file), records)
    assert not collected.findings
    seen = sights(collected.evidence, [Authority("clock", (root.der,))], Agility(), NOW)
    assert (seen.sight(0), seen.whole_file()) == (moment, NOW)
