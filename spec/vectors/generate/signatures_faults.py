"""Vectors of chapter 13: records that are none, and statements that are not about this file (LF8001 to LF8006)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, encode
from spec.vectors.generate.signatures import PROVENANCE, pair, signed, tail
from spec.vectors.generate.signatures_certificates import FALSE_LEAF, LEAF, ROOT
from spec.vectors.generate.signatures_forge import (
    ANNOTATIONS,
    SIGNATURE,
    SIGNATURES,
    Edit,
    Tail,
    at,
    b64,
    bundle,
)
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, STRANGER

CHAPTER = "signatures"
OTHER = "ab" * 32
"""A digest of nothing that is here."""
MATERIAL = ("verificationMaterial",)
ALONE = "LF8101 LF8116"
"""What is reported beside a fault of the only record: it vouches for nothing, and neither would another one."""

# LF8001: the record itself


def junk(kind: str, data: bytes) -> Callable[[], bytes]:
    """Makes the container with one record of ``data``."""
    return lambda: tail().add(kind, data).done()


def respelt(change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """Makes the signed container with its record's bytes changed."""

    def make() -> bytes:
        made = signed()
        before = made.records[0].data
        made.records[0].data = change(before)
        assert made.records[0].data != before
        return made.done()

    return make


def rewrapped(change: Edit) -> Callable[[], bytes]:
    """Makes the signed container with its bundle changed after signing, and spelt canonically again."""
    return lambda: signed(change=change).done()


def restated(change: Edit, key: Any = CURATOR) -> Callable[[], bytes]:
    """Makes the container signed with another statement: the signer himself says so."""
    return lambda: signed(key, edit=change).done()


def payload(change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """Makes the container signed over a payload spelt otherwise."""

    def make() -> bytes:
        made = tail()
        return made.add("oms", bundle(change(encode(made.oms_statement())), CURATOR)).done()

    return make


def _twice(value: Any) -> None:
    value["dsseEnvelope"]["signatures"] *= 2


def _compact(data: bytes) -> bytes:
    return json.dumps(json.loads(data)).encode()


def _resource_twice(value: Any) -> None:
    resources = value["predicate"]["resources"]
    resources.insert(0, {**resources[0], "digest": OTHER})


def _slack(data: bytes) -> bytes:
    """The last letter before the padding with its unused bits set: the same bytes for a lax decoder."""
    at = data.index(b"=") - 1
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return data[:at] + letters[letters.index(data[at]) + 1 :][:1] + data[at + 1 :]


_FORM = [
    ("record-empty", "No byte.", junk("oms", b"")),
    ("record-not-json", "Not JSON.", junk("sig", b"signed, trust me\n")),
    ("record-is-a-list", "A list.", junk("cnt", b"[]\n")),
    ("record-opaque", "An object with a payload of the packer's choice.", junk("att", encode({"note": "hello"}))),
    ("record-with-nul", "A NUL behind the bundle.", respelt(lambda data: data + b"\0")),
    ("record-compact", "The same bundle without line feeds.", respelt(_compact)),
    (
        "record-escaped",
        "A letter written as an escape.",
        respelt(lambda data: data.replace(b"publicKey", b"\\u0070ublicKey")),
    ),
    (
        "record-key-twice",
        "The media type twice; readers differ in which they take.",
        respelt(lambda data: data.replace(b'\n "mediaType"', b'\n "mediaType": "x",\n "mediaType"')),
    ),
    ("bundle-unknown-field", "A field that nothing covers.", rewrapped(at(note="words"))),
    (
        "envelope-unknown-field",
        "A field in the envelope that nothing covers.",
        rewrapped(at("dsseEnvelope", note="words")),
    ),
    ("signature-unknown-field", "A field beside the signature.", rewrapped(at(*SIGNATURE, note="words"))),
    ("bundle-media-type", "A bundle of another version.", rewrapped(at(mediaType="x"))),
    (
        "payload-type",
        "The payload is said to be of another type than was signed.",
        rewrapped(at("dsseEnvelope", payloadType="text/plain")),
    ),
    ("two-signatures", "Two signatures; tools check the first only.", rewrapped(_twice)),
    ("no-signature", "No signature in the envelope.", rewrapped(at("dsseEnvelope", signatures=[]))),
    ("base64-slack", "Unused bits of base64 are set.", respelt(_slack)),
    ("base64-unpadded", "Base64 without padding.", respelt(lambda data: data.replace(b"=", b""))),
    ("base64-url", "The alphabet of URLs.", respelt(lambda data: data.replace(b"+", b"-", 1))),
    ("base64-blank", "A blank in base64.", respelt(lambda data: data.replace(b'"payload": "', b'"payload": " '))),
    ("hint-not-hex", "A hint of words.", rewrapped(at(*MATERIAL, publicKey={"hint": "the curator\u202e"}))),
    ("keyid-upper-case", "A key id in capitals.", rewrapped(at(*SIGNATURE, keyid=CURATOR.id.upper()))),
    (
        "material-of-two-kinds",
        "Key and certificates; tools choose.",
        rewrapped(at(*MATERIAL, certificate={"rawBytes": b64(LEAF.der)})),
    ),
    ("material-missing", "Nobody is named at all.", rewrapped(at(verificationMaterial={}))),
    (
        "log-entry-unchecked",
        "A log entry that this method does not check.",
        rewrapped(at(*MATERIAL, tlogEntries=[{"logIndex": "1"}])),
    ),
    (
        "chain-empty",
        "A chain of no certificates.",
        rewrapped(at(verificationMaterial={"x509CertificateChain": {"certificates": []}})),
    ),
    ("payload-not-json", "A payload that is no statement.", payload(lambda data: b"hello")),
    (
        "payload-key-twice",
        "Two subjects in one statement, signed.",
        payload(lambda data: data.replace(b'\n "subject"', b'\n "subject": [],\n "subject"')),
    ),
    (
        "payload-float",
        "A covered length of 1e3.",
        payload(lambda data: data.replace(b'"revision": 0', b'"revision": 0.0')),
    ),
    ("payload-null", "A null.", payload(lambda data: data.replace(b'"revision": 0', b'"revision": null'))),
    ("statement-type", "A statement of version 0.1.", restated(at(_type="https://in-toto.io/Statement/v0.1"))),
    ("statement-two-subjects", "Two subjects.", restated(lambda v: v.update(subject=v["subject"] * 2))),
    ("statement-no-resources", "No resources.", restated(at("predicate", resources=[]))),
    (
        "statement-resource-twice",
        "A resource twice, with two digests; the reference tool takes the last.",
        restated(_resource_twice),
    ),
    (
        "statement-root",
        "The digest of the subject is not that of the resources.",
        restated(at("subject", 0, digest={"sha256": OTHER})),
    ),
    ("statement-shards", "Resources by shards.", restated(at("predicate", "serialization", method="shards"))),
    (
        "statement-hash",
        "Resources by another function.",
        restated(at("predicate", "serialization", hash_type="blake3")),
    ),
    ("cosigners-unsorted", "Co-signers in no order.", restated(at(*ANNOTATIONS, cosigners=["ff" * 32, "00" * 32]))),
    ("cosigner-not-an-id", "A co-signer by name.", restated(at(*ANNOTATIONS, cosigners=["the archive"]))),
    ("revision-negative", "Revision -1.", restated(at(*ANNOTATIONS, revision=-1))),
    ("declared-time-words", "A time in words.", restated(at(*ANNOTATIONS, declared_time="last spring"))),
]
for _name, _comment, _maker in _FORM:
    vector(_name, rules=f"LF8001 {ALONE}", layer="signatures", trust="curator", comment=_comment)(_maker)


def statement_in(kind: str, statement: Callable[[Tail], Any]) -> Callable[[], bytes]:
    """Makes the signed container with another record of the curator whose statement belongs to another kind."""

    def make() -> bytes:
        made = signed()
        return made.add(kind, bundle(encode(statement(made)), CURATOR)).done()

    return make


def _attestation(made: Tail) -> Any:
    return made.attestation(PROVENANCE, {})


_KINDS = [
    ("attestation-as-approval", "An attestation that calls itself oms.", statement_in("oms", _attestation)),
    (
        "countersignature-as-oms",
        "A countersignature that calls itself oms.",
        statement_in("oms", Tail.countersignature),
    ),
    ("approval-as-attestation", "A statement of OMS that calls itself att.", statement_in("att", Tail.oms_statement)),
    (
        "approval-as-countersignature",
        "A statement of OMS that calls itself cnt.",
        statement_in("cnt", Tail.oms_statement),
    ),
]
for _name, _comment, _maker in _KINDS:
    vector(_name, rules="LF8001 LF8116", layer="signatures", trust="curator", comment=_comment)(_maker)


# LF8002, LF8003: what an oms or sig record says about the file


def _resources(change: Callable[[list[dict[str, str]]], Any]) -> Callable[[], bytes]:
    """Makes the container signed over other resources, their common digest mended."""

    def edit(value: Any) -> None:
        resources = value["predicate"]["resources"]
        change(resources)
        root = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources))
        value["subject"][0]["digest"]["sha256"] = root.hexdigest()

    return restated(edit)


def _renamed(resources: list[dict[str, str]]) -> None:
    """Another name, in the same place of the order: OMS's digest of all resources stays the same."""
    assert resources[0]["name"] == "LICENSE.txt"
    resources[0]["name"] = "LICENSE.TXT"


_ABOUT = [
    ("resource-missing", "The licence is not among the resources.", _resources(lambda r: r.pop(0))),
    ("resource-surplus", "A resource that is no member.", _resources(lambda r: r.append({**r[0], "name": "zz.txt"}))),
    ("resource-digest", "Another digest of the weights.", _resources(lambda r: r[-1].update(digest=OTHER))),
    ("resource-renamed", "A resource by another name: OMS's common digest does not tell.", _resources(_renamed)),
    ("manifest-not-a-resource", "The manifest is not among the resources.", _resources(lambda r: r.pop(3))),
]
for _name, _comment, _maker in _ABOUT:
    vector(_name, rules=f"LF8002 {ALONE}", layer="signatures", trust="curator", comment=_comment)(_maker)


def _annotated(**fields: Any) -> Callable[[], bytes]:
    return restated(at(*ANNOTATIONS, **fields))


_ANNOTATIONS = [
    ("covered-less", "The signature is said to cover less.", _annotated(covered=1)),
    ("covered-more", "The signature is said to cover more.", _annotated(covered=1 << 40)),
    ("manifest-digest", "The statement names another manifest.", _annotated(manifest_sha256=OTHER)),
]
for _name, _comment, _maker in _ANNOTATIONS:
    vector(_name, rules=f"LF8003 {ALONE}", layer="signatures", trust="curator", comment=_comment)(_maker)


@vector(
    "transplanted",
    rules=f"LF8002 LF8003 {ALONE}",
    layer="signatures",
    trust="curator",
    comment="A genuine record of the curator, taken from another genuine file.",
)
def transplanted() -> bytes:
    other = tail(Part("LICENSE.txt", b"MIT\n", "license", "text/plain")).oms(CURATOR)
    return tail().add("oms", other.records[0].data).done()


@vector(
    "countersignature-transplanted",
    rules="LF8003 LF8004 LF8116",
    layer="signatures",
    trust="curator",
    comment="A genuine countersignature of another file.",
)
def countersignature_transplanted() -> bytes:
    other = tail(Part("LICENSE.txt", b"MIT\n", "license", "text/plain")).oms(CURATOR).cnt(ARCHIVE)
    return signed().add("cnt", other.records[1].data).done()


# LF8004, LF8005


def _listed(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[], bytes]:
    return lambda: pair().cnt(ARCHIVE, edit=lambda value: change(value["predicate"]["records"]) and None).done()


_COUNTED = [
    ("counts-less", "The countersignature leaves the second record out.", _listed(lambda r: r.pop())),
    ("counts-none", "The countersignature names no record.", _listed(lambda r: r.clear())),
    ("counts-other-digest", "A listed record has another digest.", _listed(lambda r: r[0].update(sha256=OTHER))),
    ("counts-other-size", "A listed record has another size.", _listed(lambda r: r[0].update(size=1))),
    ("counts-reversed", "The list is in another order.", _listed(lambda r: r.reverse())),
    (
        "counts-itself",
        "The list names the countersignature's own place.",
        _listed(lambda r: r.append({"path": f"{SIGNATURES}0003.cnt.json", "sha256": OTHER, "size": 1})),
    ),
]
for _name, _comment, _maker in _COUNTED:
    vector(_name, rules="LF8004 LF8116", layer="signatures", trust="curator", comment=_comment)(_maker)


@vector(
    "record-removed-under-a-countersignature",
    rules="LF8004 LF8116",
    layer="signatures",
    trust="curator",
    comment="A record was taken out and the rest renumbered; the countersignature still lists it.",
)
def record_removed() -> bytes:
    made = signed().oms(STRANGER).cnt(ARCHIVE)
    del made.records[1]
    return made.done()


@vector(
    "attests-nothing",
    rules="LF8005 LF8116",
    layer="signatures",
    trust="curator",
    comment="An attestation about a digest that nothing here has.",
)
def attests_nothing() -> bytes:
    return signed().att(CURATOR, PROVENANCE, {}, OTHER).done()


# LF8006: certificates that a record brings


@vector(
    "certificate-of-another-key",
    rules=f"LF8006 {ALONE}",
    layer="signatures",
    trust="certificate",
    comment="The certificate names another key than signed.",
)
def certificate_of_another_key() -> bytes:
    return tail().oms(LEAF.key, certificates=[LEAF], signer=STRANGER).done()


@vector(
    "chain-that-is-none",
    rules=f"LF8001 {ALONE}",
    layer="signatures",
    trust="certificate",
    comment="A certificate that did not sign the one before it.",
)
def chain_that_is_none() -> bytes:
    return tail().oms(LEAF.key, certificates=[LEAF, FALSE_LEAF]).done()


@vector(
    "chain-with-a-bit",
    rules=f"LF8001 {ALONE}",
    layer="signatures",
    trust="certificate",
    comment="A bit of the root that the record brings has flipped; nothing signed covers it but itself.",
)
def chain_with_a_bit() -> bytes:
    der = ROOT.der
    flipped = der[:-1] + bytes([der[-1] ^ 1])

    def change(value: Any) -> None:
        value["verificationMaterial"]["x509CertificateChain"]["certificates"][1] = {"rawBytes": b64(flipped)}

    return tail().oms(LEAF.key, certificates=[LEAF, ROOT], change=change).done()
