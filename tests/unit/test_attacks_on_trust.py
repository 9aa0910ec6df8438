"""The attacks of the threat table (12.2) on what is believed: records, keys, stamps; and what remains possible.

What is done to the bytes of a file is in ``test_attacks.py``, with the rules of the game.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from llamafile_format import Layer
from llamafile_format.signing.trust.policy import Requirement, Role
from spec.vectors.generate.forge import (
    Part,
    encode,
    gguf,
    weights,
)
from spec.vectors.generate.signatures import PAIR, PROVENANCE, pair, signed, tail
from spec.vectors.generate.signatures_certificates import (
    FALSE_LEAF,
    LEAF,
    ROOT,
    Certificate,
)
from spec.vectors.generate.signatures_forge import (
    Record,
    Tail,
    b64,
    sha256,
    unsigned,
)
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, OLD, SECOND, STRANGER, Key
from spec.vectors.generate.signatures_publisher import history
from spec.vectors.generate.timestamps_forge import Stamp
from tests.laws.containers import tiny_gguf
from tests.signed_samples import is_authentic, policy, refused, rules, verify

SIGNED = signed().done()
EVIL = b"evil"


# Signatures taken away, made anew, taken from elsewhere


def test_stripped() -> None:
    refused(unsigned(), "LF8101")
    report = verify(unsigned(), "unsigned-allowed")
    assert Layer.AUTHENTIC not in report.verdicts  # not yes either


def test_signed_again_by_the_attacker() -> None:
    for key in (STRANGER, Key("ed25519", "attacker"), Key("ml-dsa-65", "attacker"), Key("p521", "attacker")):
        refused(tail(weights(data=gguf("evil"))).oms(key).done(), "LF8103")
    refused(tail(weights(data=gguf("evil"))).oms(CURATOR, signer=STRANGER).done(), "LF8102")


@pytest.mark.parametrize("kind", ["oms", "sig", "att", "cnt"])
def test_transplanted(kind: str) -> None:
    """Genuine records of another genuine file, also under the name of another kind."""
    other = Tail(unsigned(Part("LICENSE.txt", b"MIT\n", "license", "text/plain"))).oms(CURATOR).cnt(ARCHIVE)
    other.att(CURATOR, PROVENANCE, {})
    for record in other.records:
        refused(tail().add(kind, record.data).done(), "LF8001", "LF8002", "LF8004", "LF8005")


def test_halves_stripped() -> None:
    for keep in (0, 1):
        made = pair()
        made.records = [made.records[keep]]
        refused(made.done(), "LF8105", "LF8106")


def test_post_quantum_half_of_another_file() -> None:
    other = Tail(unsigned(Part("LICENSE.txt", b"MIT\n", "license", "text/plain"))).oms(CURATOR, PAIR).oms(PAIR[1], PAIR)
    made = pair()
    made.records[1] = other.records[1]
    refused(made.done(), "LF8002")


def test_quantum_attacker_forges_the_classical_half() -> None:
    """Whoever can forge P-384 declares no co-signer: a policy that names the pair answers that."""
    for trust in ("pair", "post-quantum"):
        refused(tail(weights(data=gguf("evil"))).oms(CURATOR).done(), "LF8106", trust=trust)


# Bytes that nothing covers


def test_opaque_bytes_in_a_stamp() -> None:
    made = signed().stamp()
    token = made.records[1].data
    for data in (
        token + EVIL,
        token[:-1],
        EVIL + token,
        token.replace(b"\x30\x03\x02\x01\x00", b"\x30\x04\x02\x01\x00\x05", 1),
    ):
        other = made.copy()
        other.records[1].data = data
        refused(other.done(), "LF8020")
    refused(signed().add("tsr", Stamp(hashlib.sha256(EVIL).digest()).encode()).done(), "LF8021")


def test_spellings() -> None:
    record = signed().records[0].data
    value = json.loads(record)
    for data in (
        json.dumps(value).encode(),
        record.replace(b"\n}", b',\n "note": "x"\n}'),
        record.replace(b'\n "mediaType"', b'\n "mediaType": "x",\n "mediaType"'),
        record.rstrip(b"\n"),
        b"\xef\xbb\xbf" + record,
        record.replace(b" ", b"\t", 1),
    ):
        assert data != record
        refused(tail().add("oms", data).done(), "LF8001")


def test_foreign_certificates_around_a_trusted_signature() -> None:
    """The envelope is outside the signature: a certificate of the attacker's making on the curator's key says nothing
    about the curator, and is no place for unsigned words either."""
    attacker = Certificate(STRANGER, "Evil", 66)
    made_up = Certificate(CURATOR, "Evil Corporation", 67, attacker, FALSE_LEAF.usage, FALSE_LEAF.san)

    def change(value: Any) -> None:
        chain = [{"rawBytes": b64(certificate.der)} for certificate in (made_up, attacker)]
        value["verificationMaterial"] = {"x509CertificateChain": {"certificates": chain}}

    assert not is_authentic(verify(signed(change=change).done()))


# Keys, algorithms, certificates


def test_names_of_other_keys() -> None:
    def hint(value: Any) -> None:
        value["verificationMaterial"]["publicKey"]["hint"] = CURATOR.hint

    def keyid(value: Any) -> None:
        value["dsseEnvelope"]["signatures"][0]["keyid"] = CURATOR.id

    refused(tail().oms(STRANGER, change=hint).done(), "LF8102")
    refused(tail().oms(STRANGER, change=keyid).done(), "LF8102")
    refused(signed().oms(STRANGER, change=keyid).done(), "LF8102")


@pytest.mark.parametrize("leaf", [FALSE_LEAF, replace(LEAF, usage=FALSE_LEAF.usage, issuer=None, key=STRANGER)])
def test_certificates_of_the_attacker(leaf: Certificate) -> None:
    refused(tail().oms(leaf.key, certificates=[leaf]).done(), "LF8110", trust="certificate")
    refused(tail().oms(leaf.key, certificates=[leaf]).vm([ROOT.der]).done(), "LF8110", trust="certificate")


def test_certificate_that_nobody_signed() -> None:
    """The root's key and name in a certificate of the attacker's making, behind the genuine one: unsigned words."""
    like_the_root = replace(ROOT, serial=77, issuer=Certificate(STRANGER, "Nobody", 78), san=LEAF.san)
    data = tail().oms(LEAF.key, certificates=[LEAF, like_the_root]).done()
    assert not is_authentic(verify(data, "certificate"))


def test_leaf_signs_a_leaf() -> None:
    """A certificate that is no authority's signs another one."""
    below = Certificate(STRANGER, "Curator", 99, LEAF, LEAF.usage, LEAF.san)
    refused(tail().oms(STRANGER, certificates=[below, LEAF]).done(), "LF8110", trust="certificate")


def test_collision_in_the_future() -> None:
    """In 2055 SHA-256 has fallen: what was renewed before with SHA-512 stands, what was not does not."""
    broken = replace(policy("level-lta"), algorithms={"sha256": datetime(2050, 1, 1, tzinfo=UTC).date()})
    late = datetime(2055, 1, 1, tzinfo=UTC)
    assert not is_authentic(verify(signed().stamp().done(), broken, as_of=late))
    assert not is_authentic(verify(signed().stamp().renewal(function="sha256").done(), broken, as_of=late))
    assert not is_authentic(
        verify(signed().done(), replace(policy("curator"), algorithms=broken.algorithms), as_of=late)
    )


# Kinds that do not vouch, files that stand beside


def test_an_attestation_is_no_approval() -> None:
    refused(tail().att(CURATOR, PROVENANCE, {"approved": True}).done(), "LF8101", "LF8104")


def test_an_archive_is_no_assembler() -> None:
    """Whoever is believed to have taken a file in is not thereby believed to have put it together (16.3.2)."""
    demand = replace(policy("curator"), requirements=(Requirement(Role.ASSEMBLER),))
    for made in (signed(ARCHIVE), signed(STRANGER).cnt(ARCHIVE)):
        report = verify(made.done(), demand)
        assert not is_authentic(report)
        assert "LF8104" in rules(report)
    assert is_authentic(verify(signed().cnt(ARCHIVE).done(), demand))


def test_history_lends_no_weights() -> None:
    """Weights are not called those of an earlier signed file because the manifest names their digest."""
    genuine, evil = tiny_gguf(values=3 << 19), tiny_gguf(values=3 << 19)[:-100] + bytes(100)
    earlier = tail(weights(data=genuine)).oms(CURATOR)
    kept = history(earlier.manifest, [(earlier.name(0), earlier.records[0].data)])

    def lie(data: bytes) -> bytes:
        value = json.loads(data)
        next(item for item in value["members"] if item["role"] == "weights")["sha256"] = sha256(genuine)
        return encode(value)

    made = tail(weights(data=evil), *kept, labels={"default": "tiny.gguf", "name": "Tiny"}, text=lie)
    for level in ("quick", "full"):
        report = verify(made.done(), level=level)
        assert not is_authentic(report)
        said = [finding for finding in report.findings if finding.rule == "LF8310"]
        assert not any(str(finding.args["weights"]).startswith("equal") for finding in said)


def test_detached_record_of_another_file(tmp_path: Any) -> None:
    other = Tail(unsigned(Part("LICENSE.txt", b"MIT\n", "license", "text/plain"))).oms(CURATOR)
    beside = tmp_path / "model.llamafile.0001.oms.json"
    beside.write_bytes(other.records[0].data)
    assert not is_authentic(verify(unsigned(), signatures=[beside]))
    beside.write_bytes(signed().records[0].data)
    assert is_authentic(verify(unsigned(), signatures=[beside]))
    assert not is_authentic(verify(unsigned()))  # used only when it is named


def test_detached_renewal_of_nothing(tmp_path: Any) -> None:
    """A token over no bytes, as if a detached record had everything in front of it behind it."""
    beside = tmp_path / "model.llamafile.0002.tsr.der"
    beside.write_bytes(Stamp(hashlib.sha512(b"").digest(), "sha512").encode())
    assert not is_authentic(verify(signed().done(), "level-lta", signatures=[beside]))
    beside.write_bytes(Stamp(hashlib.sha256(b"").digest()).encode())
    assert not is_authentic(verify(signed().done(), "level-t", signatures=[beside]))


# Time


def test_backdating() -> None:
    """An old key, a declared time before its end, and stamps that prove nothing of the kind."""
    refused(signed(OLD, time="2026-02-01T00:00:00Z").done(), "LF8107")
    refused(signed(OLD).stamp(time=datetime(2026, 7, 1, tzinfo=UTC)).done(), "LF8107")
    early = signed(STRANGER).stamp(time=datetime(2026, 2, 1, tzinfo=UTC))
    refused(early.oms(OLD).done(), "LF8107")  # the stamp is about another record


def test_stamp_on_another_record_lends_no_time() -> None:
    made = signed(STRANGER).stamp().oms(CURATOR)
    refused(made.done(), "LF8204", trust="level-t")


# What remains (12.3), and the policies that answer it


def test_rollback_needs_a_pin() -> None:
    """An older genuine file is genuine; a policy that names the model's revision refuses it."""

    def revision(number: int) -> bytes:
        return tail().oms(CURATOR, edit=lambda v: v["subject"][0]["annotations"].update(revision=number)).done()

    assert is_authentic(verify(revision(1)))
    refused(revision(1), "LF8402", trust="pinned")
    assert is_authentic(verify(revision(2), "pinned"))


def test_undeclared_record_can_be_removed_unless_a_policy_wants_it() -> None:
    both = signed().oms(SECOND)
    assert is_authentic(verify(both.done(), "two"))
    del both.records[1]
    assert is_authentic(verify(both.done()))  # residual: nothing in the file says that there was another one
    refused(both.done(), "LF8104", trust="two")


def test_undeclared_record_can_be_removed_unless_a_later_record_covers_it() -> None:
    made = signed().oms(SECOND).cnt(ARCHIVE)
    assert is_authentic(verify(made.done()))
    del made.records[1]
    refused(made.done(), "LF8004")
    made = signed().oms(SECOND).stamp().renewal()
    del made.records[1]
    refused(made.done(), "LF8021")


def test_stamps_can_be_removed_unless_a_level_is_wanted() -> None:
    made = signed().stamp().renewal()
    assert is_authentic(verify(made.done(), "level-lta"))
    del made.records[2]
    assert is_authentic(verify(made.done()))
    refused(made.done(), "LF8204", trust="level-lta")


def test_ecdsa_has_a_second_signature_for_each() -> None:
    """(r, n - s) verifies wherever (r, s) does: the statement is the same, the record another one. A stamp or a
    countersignature on the record tells them apart; without, nothing needs to."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
    made = signed().stamp()
    value = json.loads(made.records[0].data)
    sig = value["dsseEnvelope"]["signatures"][0]
    r, s = decode_dss_signature(base64.b64decode(sig["sig"]))
    sig["sig"] = b64(encode_dss_signature(r, order - s))
    other = Record("oms", encode(value))
    assert is_authentic(verify(Tail(made.base, [other]).done()))
    refused(Tail(made.base, [other, made.records[1]]).done(), "LF8021")
