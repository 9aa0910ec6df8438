"""Vectors of chapter 13: records that hold. Each is the neighbour of the faults that are one change away from it."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part
from spec.vectors.generate.signatures_certificates import LEAF, ROOT, STAMP_ROOT, revocations
from spec.vectors.generate.signatures_forge import Tail, unsigned
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, CURATOR_PQ, OLD, SECOND, STRANGER, Key
from spec.vectors.generate.timestamps_forge import LATER

PAIR = (CURATOR, CURATOR_PQ)
PROVENANCE = "https://slsa.dev/provenance/v1"


def tail(*more: Part, **spec: object) -> Tail:
    """The container that most vectors are about, without records yet."""
    return Tail(unsigned(*more, **spec))


def signed(key: Key = CURATOR, **more: object) -> Tail:
    """That container, signed by ``key``."""
    return tail().oms(key, **more)  # type: ignore[arg-type]


def pair() -> Tail:
    """That container, signed by both halves of the curator's pair, each naming both."""
    return tail().oms(CURATOR, PAIR).oms(CURATOR_PQ, PAIR)


@vector(
    "good",
    near="LF8001 LF8002 LF8003 LF8101 LF8102 LF8103 LF8108 LF8109 LF8114 LF8115 LF8116 LF8117 LF8118 LF8122 LF9005",
    trust="curator",
    comment="Signed with a P-384 key that the policy trusts.",
)
def good() -> bytes:
    return signed().done()


@vector("good-unsigned", near="LF9005", comment="No record, and nobody asked for authenticity.")
def good_unsigned() -> bytes:
    return tail().done()


@vector(
    "good-unsigned-allowed",
    near="LF8101",
    trust="unsigned-allowed",
    authentic="-",
    comment="No record, by a policy that allows that.",
)
def good_unsigned_allowed() -> bytes:
    return tail().done()


@vector("good-p256", near="LF8102", trust="second", comment="Signed with a P-256 key.")
def good_p256() -> bytes:
    return signed(SECOND).done()


@vector("good-p521", near="LF8107 LF8102", trust="curator", as_of="2026-03-01", comment="Signed with a P-521 key.")
def good_p521() -> bytes:
    return signed(OLD).done()


@vector("good-ed25519", near="LF8102", trust="archive", comment="A sig record: Ed25519, which OMS does not know.")
def good_ed25519() -> bytes:
    return signed(ARCHIVE).done()


@vector(
    "good-pair",
    near="LF8105 LF8106 LF8114 LF8119",
    trust="curator",
    comment="P-384 and ML-DSA-65 over the same statement, which names both.",
)
def good_pair() -> bytes:
    return pair().done()


@vector("good-threshold", near="LF8104", trust="two", comment="Two of two assemblers have signed.")
def good_threshold() -> bytes:
    return signed().oms(SECOND).done()


@vector(
    "good-stranger-too",
    rules="LF8103",
    near="LF8102",
    trust="curator",
    comment="A trusted signature, and one by a key that nobody here knows.",
)
def good_stranger_too() -> bytes:
    return signed().oms(STRANGER).done()


@vector("good-countersigned", near="LF8004", trust="curator", comment="An archive countersigns the curator's record.")
def good_countersigned() -> bytes:
    return signed().cnt(ARCHIVE).done()


@vector("good-attested", near="LF8005", trust="curator", comment="Signed, and an attestation about the weights.")
def good_attested() -> bytes:
    made = signed()
    weights = next(item["digest"] for item in made.resources() if item["name"] == "tiny.gguf")
    return made.att(CURATOR, PROVENANCE, {"buildDefinition": {"buildType": "urn:x-test"}}, weights).done()


@vector(
    "good-certificate",
    near="LF8006 LF8110 LF8111",
    trust="certificate",
    comment="Signed by certificate: the chain leads to the policy's root and names the identity due.",
)
def good_certificate() -> bytes:
    return tail().oms(LEAF.key, certificates=[LEAF]).done()


@vector(
    "good-certificate-with-root", near="LF8006 LF8110", trust="certificate", comment="The record brings the root too."
)
def good_certificate_with_root() -> bytes:
    return tail().oms(LEAF.key, certificates=[LEAF, ROOT]).done()


@vector(
    "good-stamped",
    near="LF8020 LF8021 LF8201 LF8202 LF8203 LF8204 LF8205 LF8206",
    trust="level-t",
    comment="Signed, and the record stamped by an authority of the policy.",
)
def good_stamped() -> bytes:
    return signed().stamp().done()


@vector("good-material", near="LF8022", trust="level-t", comment="Signed, stamped, and the authority's root and list.")
def good_material() -> bytes:
    return signed().stamp().vm([STAMP_ROOT.der], [revocations(STAMP_ROOT)]).done()


@vector(
    "good-renewed",
    near="LF8021 LF8023 LF8204",
    trust="level-lta",
    as_of="2035-07-01",
    comment="Stamped, with material, and renewed over every byte by another authority with SHA-512.",
)
def good_renewed() -> bytes:
    return signed().stamp().vm([STAMP_ROOT.der], [revocations(STAMP_ROOT)]).renewal(**LATER).done()


@vector(
    "good-renewed-in-2040",
    near="LF8107 LF8109 LF8202",
    trust="level-lta",
    as_of="2040-01-01",
    comment="The same in 2040: the first authority's certificate has ended, the renewal holds what it proved.",
)
def good_renewed_later() -> bytes:
    return good_renewed()


@vector("good-empty-name", near="LF8003", trust="curator", comment="A model without name: the subject is 'llamafile'.")
def good_empty_name() -> bytes:
    return tail(labels={"default": "tiny.gguf"}).oms(CURATOR).done()


@vector(
    "good-many",
    rules="LF8103",
    near="LF3104",
    trust="curator",
    comment="Records of all kinds, in an order that nobody would choose.",
)
def good_many() -> bytes:
    made = tail().vm([STAMP_ROOT.der]).oms(STRANGER).stamp(2).oms(CURATOR).cnt(ARCHIVE)
    return made.att(SECOND, PROVENANCE, {}).stamp(4).renewal().done()


def weights_digest() -> str:
    """SHA-256 of the model in it."""
    return next(item["digest"] for item in tail().resources() if item["name"] == "tiny.gguf")
