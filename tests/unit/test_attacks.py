"""The attacks of the threat table (12.2), each on a genuine signed file, with every checksum and offset mended.

The attacker knows the format and has no key. He keeps the genuine records, or makes his own; either way nobody who
trusts the curator is to believe the file. What remains possible is at the end, with the policy that answers it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from llamafile_format import Layer, Verdict
from llamafile_format.signing.trust.policy import Requirement, Role
from spec.vectors.generate.chunks import SCRIPT
from spec.vectors.generate.forge import (
    FOLDER,
    MARK,
    Part,
    directory_record,
    encode,
    gguf,
    local_header,
    parts,
    weights,
)
from spec.vectors.generate.signatures import PAIR, PROVENANCE, pair, signed, tail
from spec.vectors.generate.signatures_certificates import (
    FALSE_LEAF,
    FALSE_STAMP_LEAF,
    FALSE_STAMP_ROOT,
    LEAF,
    ROOT,
    Certificate,
    revocations,
)
from spec.vectors.generate.signatures_forge import (
    SIGNATURES,
    Record,
    Tail,
    b64,
    bundle,
    directory_count,
    sha256,
    unsigned,
)
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, OLD, SECOND, STRANGER, Key
from spec.vectors.generate.signatures_publisher import history
from spec.vectors.generate.timestamps_forge import Stamp
from tests.laws.containers import tiny_gguf
from tests.signed_samples import forged, is_authentic, policy, rules, verify

SIGNED = signed().done()
EVIL = b"evil"


def refused(data: bytes, *wanted: str, trust: str = "curator", level: str = "exhaustive") -> None:
    """``data`` is not believed, and one of the rules ``wanted`` is among those that say why."""
    report = verify(data, trust, level=level)
    assert not is_authentic(report)
    assert rules(report) & set(wanted), sorted(rules(report))


def test_the_genuine_file_is_believed() -> None:
    assert is_authentic(verify(SIGNED))
    assert is_authentic(verify(forged()))  # nothing changed: what is forged below differs by its change alone


# The prefix


@pytest.mark.parametrize("level", ["quick", "full"])
def test_prefix_exchanged(level: str) -> None:
    genuine = Tail(unsigned(prefix=SCRIPT, kind="script")).oms(CURATOR)
    assert is_authentic(verify(genuine.done()))
    refused(forged(genuine=genuine, prefix=SCRIPT + b"echo evil\n", kind="script"), "LF8002", "LF8003", level=level)


def test_prefix_put_in_front() -> None:
    """Everything is shifted, and the manifest says so: the manifest is another one."""
    refused(forged(prefix=SCRIPT, kind="script"), "LF8002")
    refused(SCRIPT + bytes(65536 - len(SCRIPT)) + SIGNED, "LF2007", "LF2008", "LF3028")


def test_padding_of_the_prefix_used() -> None:
    genuine = Tail(unsigned(prefix=SCRIPT, kind="script")).oms(CURATOR)
    body = genuine.body[:1000] + b"echo evil\n" + genuine.body[1010:]
    genuine.body = body
    refused(genuine.done(), "LF4008", "LF4010")


# Members


def _changed(change: Callable[[list[Part]], Any], **spec: Any) -> bytes:
    return forged(change, **spec)


def _weights(found: list[Part]) -> list[Part]:
    return [weights(data=gguf("evil")) if part.role == "weights" else part for part in found]


def _renamed(found: list[Part]) -> list[Part]:
    return [replace(part, path="LICENCE.txt") if part.role == "license" else part for part in found]


def _added(found: list[Part]) -> list[Part]:
    return parts(Part("NOTES.txt", EVIL, "document", "text/plain"))


def _dropped(found: list[Part]) -> list[Part]:
    return [part for part in found if part.role != "license"]


def _swapped(found: list[Part]) -> list[Part]:
    """Two members exchange their contents, names stay."""
    data = {"LICENSE.txt": found[0].data, f"{FOLDER}README.txt": found[1].data}
    return [replace(part, data=data.get(part.path, part.data)) for part in found]


def _role(found: list[Part]) -> list[Part]:
    """The same bytes said to be something else: digests and names stay."""
    return [replace(part, media="text/markdown") if part.role == "license" else part for part in found]


@pytest.mark.parametrize("change", [_weights, _renamed, _added, _dropped, _swapped, _role])
def test_members(change: Callable[[list[Part]], Any]) -> None:
    refused(_changed(change), "LF8002", "LF8003")


@pytest.mark.parametrize(
    "labels",
    [
        {"default": "tiny.gguf", "name": "Tiny", "license": "MIT"},
        {"default": "tiny.gguf", "name": "Huge"},
        {"default": "tiny.gguf", "name": "Tiny", "tomorrow": "x"},
    ],
)
def test_words_of_the_manifest(labels: dict[str, str]) -> None:
    """No member differs, only what the manifest says: the manifest is a resource of the statement."""
    refused(forged(labels=labels), "LF8002", "LF8003")


def _patched(needle: bytes, new: bytes) -> bytes:
    """The covered bytes changed in place, manifest and records kept; CRCs in header and directory mended."""
    genuine = signed()
    assert genuine.body.count(needle) == 1
    before = next(part for part in parts() if needle in part.data)
    after = before.data.replace(needle, new)
    crc, other = (zlib.crc32(data).to_bytes(4, "little") for data in (before.data, after))
    genuine.body = genuine.body.replace(needle, new).replace(crc, other)
    genuine.directory = genuine.directory.replace(crc, other)
    return genuine.done()


def test_member_changed_under_the_genuine_manifest() -> None:
    refused(_patched(b"CC0-1.0\n", b"MIT-0.0\n"), "LF4001")
    refused(_patched(b"\x00\x00\x60\x3f", b"\x00\x00\x60\xbf"), "LF4001")


# The tail


def _extra(name: str, data: bytes = b"{}\n") -> bytes:
    return signed().add("oms", data, name).done()


@pytest.mark.parametrize(
    "name",
    [
        "0001.oms.json",
        "0003.oms.json",
        "0002.OMS.json",
        "0002.oms.json.sh",
        "0002.exe.bin",
        "../../evil.sh",
        "0002.oms.json/",
        "２.oms.json",
        "0002.tsr.json",
    ],
)
def test_entry_in_the_tail(name: str) -> None:
    refused(_extra(name), "LF3104")


def test_record_twice_under_one_number() -> None:
    made = signed()
    made.records.append(replace(made.records[0], name="0001.oms.json"))
    refused(made.done(), "LF3104", "LF2031")


def test_record_of_anything() -> None:
    for kind in ("oms", "sig", "att", "cnt", "vm", "tsr"):
        for data in (b"", b"\0" * 64, b"#!/bin/sh\n", b"{}\n", b'{\n "payload": "x"\n}\n'):
            refused(signed().add(kind, data).done(), "LF8001", "LF8020", "LF8022")


# Structure bytes: gaps, headers, directory, end


def _part(**over: Any) -> bytes:
    """The genuine container with fields of the licence's local header or directory record overridden."""
    licence = replace(next(part for part in parts() if part.role == "license"), **over)
    return forged(lambda found: [licence if part.role == "license" else part for part in found])


@pytest.mark.parametrize(
    "over",
    [
        {"local": {"time": 1}},
        {"local": {"flags": 0}},
        {"local": {"method": 8}},
        {"local": {"extra": b"\xfe\xca\x04\0evil"}},
        {"local": {"name": b"LICENSE.TXT"}},
        {"record": {"time": 1}},
        {"record": {"comment": b"evil"}},
        {"record": {"external": 0o120777 << 16}},
        {"record": {"name": b"LICENSE.TXT"}},
        {"record": {"offset": 0}},
        {"after": b"evil"},
        {"gap": b"evil"},
        {"listed": False},
        {"copies": 2},
    ],
    ids=str,
)
def test_structure(over: dict[str, Any]) -> None:
    report = verify(_part(**over), level="full")
    assert not is_authentic(report)
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.NO


def test_directory_in_another_order() -> None:
    genuine = signed()
    first = 46 + int.from_bytes(genuine.directory[28:30], "little")
    genuine.directory = genuine.directory[first:] + genuine.directory[:first]
    refused(genuine.done(), "LF3102")


def test_directory_twice_and_end_records() -> None:
    at = SIGNED.rindex(b"PK\x05\x06")
    end = SIGNED[at:]
    start = int.from_bytes(end[16:20], "little")
    size = int.from_bytes(end[12:16], "little")
    directory = SIGNED[start : start + size]
    for data in (
        SIGNED + directory + end,  # a second directory behind the end
        SIGNED[:start] + directory + SIGNED[start:],  # and one in front of it
        SIGNED + b"evil",
        SIGNED[:-1],
        SIGNED[:-18] + b"llamafile-format/2",
        SIGNED + end,
        SIGNED[:at] + b"PK\x06\x06" + bytes(52) + b"PK\x06\x07" + bytes(16) + end,
    ):
        assert not is_authentic(verify(data))


def test_hidden_member_between_manifest_and_records() -> None:
    part = Part("hidden.sh", SCRIPT)
    genuine = signed()
    genuine.body += local_header(part) + part.data
    refused(genuine.done(), "LF3101", "LF3105", "LF2040")


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


# Exhaustion


def test_records_that_overlap_are_not_read_a_thousand_times() -> None:
    """A file of one megabyte whose thousand records share one place must not be held a thousand times."""
    made = signed().add("oms", b" " * (1 << 20))
    body, records = made.before(), made.parts()
    records[0].header_at = len(made.body)
    records += [Part(f"{SIGNATURES}{number:04d}.oms.json", records[1].data) for number in range(3, 1025)]
    for part in records[1:]:
        part.header_at = body.rindex(local_header(records[1]))
    directory = made.directory + b"".join(map(directory_record, records))
    count = directory_count(directory)
    data = body + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), len(body), 18)
    data += MARK
    tracemalloc.start()
    try:
        assert not is_authentic(verify(data, level="quick"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 << 20


def test_strange_stamps_do_not_multiply_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token of nothing here could be a renewal; the file is hashed once for each function, not for each token."""
    from llamafile_format.signing.time import prefix_digests

    made, hashers = signed(), []
    for number in range(40):
        made.add("tsr", Stamp(hashlib.sha256(b"%d" % number).digest(), signer=FALSE_STAMP_LEAF).encode())
    before = hashlib.new

    def counted(*arguments: Any, **options: Any) -> Any:
        hashers.append(arguments)
        return before(*arguments, **options)

    monkeypatch.setattr(prefix_digests, "hashlib", SimpleNamespace(new=counted))
    refused(made.done(), "LF8021", level="full")
    assert len(hashers) <= 5


def test_stamps_and_lists_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists in the authority's name, and the genuine stamp again and again: work is their sum, not their product."""
    from cryptography import x509

    made = signed().stamp()
    for batch in range(2):
        made.vm([], [revocations(FALSE_STAMP_ROOT, 100 * batch + number + 1) for number in range(100)])
    made.records += [made.records[1]] * 40
    loaded, before = [], x509.load_der_x509_crl

    def counted(data: bytes) -> Any:
        loaded.append(data)
        return before(data)

    monkeypatch.setattr(x509, "load_der_x509_crl", counted)
    verify(made.done(), "level-t")
    assert len(loaded) <= 2000


def test_deep_and_huge_records() -> None:
    for data in (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{\n "a": ' + b"9" * 500_000 + b"\n}\n",
        b'"' + b"\\u0041" * 100_000,
    ):
        refused(tail().add("oms", data).done(), "LF8001")
    refused(tail().add("tsr", b"\x30\x80" * 10_000).done(), "LF8020")
    refused(tail().add("tsr", b"\x30\x84\xff\xff\xff\xff").done(), "LF8020")


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


# Strings from the file on a terminal

HOSTILE = "Tiny\x1b[2J\x1b]0;evil\x07\u202egnihton\u200b\x00\r\nintact"


def _printable(text: str) -> bool:
    return not any(character in text for character in "\x1b\x07\u202e\u200b\x00\r")


def test_hostile_names_are_escaped(tmp_path: Any) -> None:
    from click.testing import CliRunner

    from llamafile_format.cli.main import cli

    made = tail()

    def statement(value: Any) -> None:
        value["subject"][0]["name"] = HOSTILE
        value["predicate"]["resources"].append({"algorithm": "sha256", "digest": "ab" * 32, "name": HOSTILE})

    evil = Certificate(STRANGER, HOSTILE.replace("\0", ""), 66, None, FALSE_LEAF.usage)
    files = {
        "statement": tail().oms(CURATOR, edit=statement),
        "predicate": made.copy().add("att", bundle(json.dumps({"predicateType": HOSTILE}).encode(), CURATOR)),
        "attestation": made.copy().att(CURATOR, HOSTILE, {HOSTILE: HOSTILE}),
        "certificate": made.copy().oms(STRANGER, certificates=[evil]),
        "record": made.copy().add("oms", json.dumps({HOSTILE: 1}).encode()),
    }
    from spec.vectors.generate import ROOT as VECTORS

    for name, what in files.items():
        path = tmp_path / name
        path.write_bytes(what.done())
        whom = ["--policy", str(VECTORS / "trust" / "certificate.yaml")]
        for words in (["verify", *whom], ["verify"], ["verify", *whom, "--format", "json"], ["inspect"], ["explain"]):
            result = CliRunner().invoke(cli, [*words, str(path)])
            assert result.exception is None or isinstance(result.exception, SystemExit), (name, words, result.exception)
            assert _printable(result.output), (name, words)


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
