"""Vectors of chapter 13: records in order, and nobody who counts by them (LF8101 to LF8119)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from spec.vectors.generate import vector
from spec.vectors.generate.forge import encode, gguf, weights
from spec.vectors.generate.load import NOBODY
from spec.vectors.generate.signatures import PROVENANCE, pair, signed, tail
from spec.vectors.generate.signatures_certificates import (
    FALSE_LEAF,
    FALSE_ROOT,
    HOST_LEAF,
    LEAF,
    MAIL,
    NOBODY_LEAF,
    OTHER_LEAF,
    ROOT,
    SERVER_LEAF,
    STAMP_ROOT,
    URI_LEAF,
    Certificate,
    confined,
    revocations,
)
from spec.vectors.generate.signatures_forge import SIGNATURE, at, b64, pae
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, OLD, SECOND, STRANGER, private

CHAPTER = "signatures"

_NOBODY_COUNTS = [
    ("unsigned", "LF8101", "curator", "No record at all.", tail),
    (
        "attested-only",
        "LF8101",
        "curator",
        "The curator attests something; that is no approval.",
        lambda: tail().att(CURATOR, PROVENANCE, {}),
    ),
    (
        "material-only",
        "LF8101",
        "curator",
        "Nothing but a stamp and its certificates.",
        lambda: tail().renewal().vm([STAMP_ROOT.der]),
    ),
    ("stamped-only", "LF8101", "level-t", "A stamp over everything, and nobody who signed.", lambda: tail().renewal()),
    ("stranger", "LF8103 LF8104", "curator", "Signed by a key that nobody here knows.", lambda: signed(STRANGER)),
    ("one-of-two", "LF8104", "two", "One of the two assemblers that are wanted.", signed),
    ("one-twice", "LF8104", "two", "One assembler, twice.", lambda: signed().oms(CURATOR, time="2026-11-22T00:00:00Z")),
    (
        "archive-is-no-assembler",
        "LF8103 LF8104",
        "two",
        "An archive's countersignature under a stranger's record.",
        lambda: signed(STRANGER).cnt(SECOND),
    ),
]
for _name, _rules, _trust, _comment, _maker in _NOBODY_COUNTS:
    vector(_name, rules=_rules, layer="trust", trust=_trust, comment=_comment)(lambda maker=_maker: maker().done())


# LF8102, LF8114: a key that is claimed


@vector(
    "forged",
    rules="LF8102 LF8104",
    layer="trust",
    trust="curator",
    comment="A record that names the curator's key, signed with another.",
)
def forged() -> bytes:
    return signed(signer=STRANGER).done()


@vector(
    "forged-beside-a-good-one",
    rules="LF8102",
    layer="trust",
    trust="curator",
    comment="The same behind a genuine record: somebody lies about a key that counts here.",
)
def forged_beside() -> bytes:
    return signed().oms(CURATOR, signer=STRANGER, time="").done()


@vector(
    "forged-by-hint",
    rules="LF8102 LF8104",
    layer="trust",
    trust="curator",
    comment="A stranger's record with the hint of the curator's key, by which other tools choose.",
)
def forged_by_hint() -> bytes:
    return signed(STRANGER, change=at("verificationMaterial", "publicKey", hint=CURATOR.hint)).done()


@vector(
    "other-hint",
    rules="LF8104 LF8114",
    layer="trust",
    trust="curator",
    comment="The curator's record with the hint of a stranger's key; the signature does not cover it.",
)
def other_hint() -> bytes:
    return signed(change=at("verificationMaterial", "publicKey", hint=STRANGER.hint)).done()


@vector(
    "other-keyid",
    rules="LF8104 LF8114",
    layer="trust",
    trust="curator",
    comment="The curator's record with the key id of a stranger.",
)
def other_keyid() -> bytes:
    return signed(change=at(*SIGNATURE, keyid=STRANGER.id)).done()


@vector(
    "good-without-names",
    near="LF8114",
    trust="curator",
    comment="A record that names no key, as other tools write them: the policy's keys are tried.",
)
def good_without_names() -> bytes:
    def change(value: Any) -> None:
        del value["dsseEnvelope"]["signatures"][0]["keyid"]
        value["verificationMaterial"]["publicKey"] = {}

    return signed(change=change).done()


@vector(
    "algorithm-of-another-curve",
    rules="LF8102 LF8104",
    layer="trust",
    trust="curator",
    comment="The curator's key over SHA-256 instead of SHA-384: the key decides, never the record.",
)
def algorithm_of_another_curve() -> bytes:

    made = tail()
    covered = pae(encode(made.oms_statement()))
    other = private(CURATOR).sign(covered, ec.ECDSA(SHA256(), deterministic_signing=True))
    return made.oms(CURATOR, change=at(*SIGNATURE, sig=b64(other))).done()


@vector(
    "payload-signed-bare",
    rules="LF8102 LF8104",
    layer="trust",
    trust="curator",
    comment="The signature is over the payload without the DSSE envelope around it.",
)
def payload_signed_bare() -> bytes:
    made = tail()
    bare = CURATOR.sign(encode(made.oms_statement()))
    return made.oms(CURATOR, change=at(*SIGNATURE, sig=b64(bare))).done()


# LF8105, LF8106, LF8119: who was meant to sign too


@vector(
    "cosigner-absent",
    rules="LF8105",
    layer="trust",
    trust="curator",
    comment="The archive was meant to sign too; its record was taken out.",
)
def cosigner_absent() -> bytes:
    return tail().oms(CURATOR, [CURATOR, ARCHIVE]).done()


@vector(
    "cosigner-claimed",
    rules="LF8102 LF8105",
    layer="trust",
    trust="curator",
    comment="In place of the archive's record stands a forgery in its name.",
)
def cosigner_claimed() -> bytes:
    return tail().oms(CURATOR, [CURATOR, ARCHIVE]).oms(ARCHIVE, signer=STRANGER).done()


@vector(
    "post-quantum-half-absent",
    rules="LF8104 LF8106",
    layer="trust",
    trust="curator",
    comment="The post-quantum half of the pair was taken out.",
)
def half_absent() -> bytes:
    made = pair()
    del made.records[1]
    return made.done()


@vector(
    "post-quantum-always",
    rules="LF8104 LF8106",
    layer="trust",
    trust="post-quantum",
    comment="A policy that wants a post-quantum record from everybody, and a signer who declared none.",
)
def post_quantum_always() -> bytes:
    return signed().done()


@vector("good-post-quantum-always", near="LF8106", trust="post-quantum", comment="A pair under that policy.")
def good_post_quantum_always() -> bytes:
    return pair().done()


@vector(
    "post-quantum-half-never-declared",
    rules="LF8104 LF8106",
    layer="trust",
    trust="pair",
    comment="The policy names a pair, and one half has signed alone: whoever forges it declares nothing.",
)
def half_never_declared() -> bytes:
    return signed().done()


@vector("good-pair-of-the-policy", near="LF8106", trust="pair", comment="Both halves of the policy's pair.")
def pair_of_the_policy() -> bytes:
    return pair().done()


@vector(
    "cosigner-unknown",
    rules="LF8103 LF8119",
    trust="curator",
    near="LF8105",
    comment="A declared co-signer has signed whose key this policy does not have: it cannot be checked.",
)
def cosigner_unknown() -> bytes:
    return tail().oms(CURATOR, [CURATOR, STRANGER]).oms(STRANGER).done()


# LF8107 to LF8109, LF8117, LF8118: a key that does not count, or not any more


@vector(
    "key-of-yesterday",
    rules="LF8104 LF8107",
    layer="trust",
    trust="curator",
    comment="A key that the policy believes until June 2026, and no stamp that proves an earlier time.",
)
def key_of_yesterday() -> bytes:
    return signed(OLD).done()


@vector(
    "key-of-yesterday-backdated",
    rules="LF8104 LF8107",
    layer="trust",
    trust="curator",
    comment="The same with a declared time before June: a claim proves nothing.",
)
def key_of_yesterday_backdated() -> bytes:
    return signed(OLD, time="2026-02-01T00:00:00Z").done()


@vector(
    "good-key-of-yesterday-stamped",
    near="LF8107",
    trust="curator",
    comment="The same, stamped in February.",
)
def key_of_yesterday_stamped() -> bytes:
    return signed(OLD).stamp(time=datetime(2026, 2, 1, tzinfo=UTC)).done()


@vector("key-denied", rules="LF8104 LF8108", layer="trust", trust="key-denied", comment="A key that was lost.")
def key_denied() -> bytes:
    return signed().done()


@vector("good-key-denied-later", near="LF8108", trust="key-denied", comment="The same, stamped before it was lost.")
def key_denied_later() -> bytes:
    return signed().stamp().done()


@vector("algorithm-broken", rules="LF8104 LF8109", layer="trust", trust="p384-broken", comment="P-384 has fallen.")
def algorithm_broken() -> bytes:
    return signed().done()


@vector("good-algorithm-broken-later", near="LF8109", trust="p384-broken", comment="The same, renewed before.")
def algorithm_broken_later() -> bytes:
    return signed().stamp().renewal().done()


@vector(
    "algorithm-retired",
    rules="LF8117",
    near="LF8109",
    trust="curator",
    as_of="2037-01-01",
    comment="In 2037, elliptic curves should no longer be used; nobody has broken them.",
)
def algorithm_retired() -> bytes:
    return signed().done()


@vector(
    "another-model", rules="LF8104 LF8118", layer="trust", trust="other-models", comment="A signer of other models."
)
def another_model() -> bytes:
    return signed().done()


@vector("good-this-model", near="LF8118", trust="these-models", comment="A signer of models of this name.")
def this_model() -> bytes:
    return signed().done()


# LF8110 to LF8113: certificates and Sigstore


_CERTIFICATES: list[tuple[str, str, str, Certificate, list[Certificate]]] = [
    ("certificate-common-name", "LF8111", "The identity due stands in the common name.", NOBODY_LEAF, []),
    ("certificate-address-in-a-uri", "LF8111", "The address due stands in a URI.", URI_LEAF, []),
    ("certificate-host-for-an-address", "LF8111", "A host of the domain.", HOST_LEAF, []),
    ("certificate-of-a-stranger", "LF8110", "A chain to a root of the same name.", FALSE_LEAF, []),
    ("certificate-with-its-root", "LF8110", "A chain to a root that the file brings.", FALSE_LEAF, [FALSE_ROOT]),
    ("certificate-for-a-web-server", "LF8110", "A certificate for a web server.", SERVER_LEAF, []),
    ("certificate-of-somebody-else", "LF8111", "A certificate of another person.", OTHER_LEAF, []),
]
for _name, _rules, _comment, _leaf, _more in _CERTIFICATES:
    vector(_name, rules=f"{_rules} LF8103 LF8104", layer="trust", trust="certificate", comment=_comment)(
        lambda leaf=_leaf, more=_more: tail().oms(leaf.key, certificates=[leaf, *more]).done()  # type: ignore[misc]
    )


_HERE, _ELSEWHERE = x509.RFC822Name("example.org"), x509.RFC822Name("evil.example")
_CONFINED: list[tuple[str, str, Certificate]] = [
    ("addresses", "An authority that may give addresses elsewhere only.", confined(1, permitted=(_ELSEWHERE,))),
    ("address-excluded", "An authority that may give no addresses here.", confined(2, excluded=(_HERE,))),
    ("hosts", "An authority for hosts gives an address.", confined(3, permitted=(x509.DNSName("example.org"),))),
    (
        "directory",
        "An authority for people of one organisation names somebody else, by a constraint that is not critical.",
        confined(4, permitted=(x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "E")])),)),
    ),
    (
        "identifiers",
        "A constraint of a kind that nobody compares.",
        confined(5, permitted=(_HERE,), excluded=(x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),)),
    ),
    (
        "other-names-too",
        "Beside the address due stands a host that the authority may not give.",
        confined(6, (*MAIL, x509.DNSName("evil.example")), permitted=(_HERE, x509.DNSName("example.org"))),
    ),
]
for _name, _comment, _leaf in _CONFINED:
    vector(
        f"certificate-confined-{_name}",
        rules="LF8103 LF8104 LF8110",
        layer="trust",
        trust="certificate",
        comment=_comment,
    )(lambda leaf=_leaf: tail().oms(leaf.key, certificates=[leaf, leaf.issuer]).done())  # type: ignore[misc]


@vector(
    "good-certificate-confined",
    near="LF8110",
    trust="certificate",
    comment="An authority that may give addresses of this domain and hosts, and gives the one due.",
)
def certificate_confined() -> bytes:
    leaf = confined(7, permitted=(_HERE, x509.DNSName("example.org")))
    assert leaf.issuer is not None
    return tail().oms(leaf.key, certificates=[leaf, leaf.issuer]).done()


@vector(
    "certificate-root-as-material",
    rules="LF8103 LF8104 LF8110",
    layer="trust",
    trust="certificate",
    comment="The stranger's root among the validation material.",
)
def certificate_root_as_material() -> bytes:
    return tail().oms(FALSE_LEAF.key, certificates=[FALSE_LEAF]).vm([FALSE_ROOT.der]).done()


@vector(
    "certificate-revoked",
    rules="LF8103 LF8104 LF8110",
    layer="trust",
    trust="certificate",
    comment="A revocation list of the root, in the file, names the certificate.",
)
def certificate_revoked() -> bytes:
    return tail().oms(LEAF.key, certificates=[LEAF]).vm([], [revocations(ROOT, LEAF.serial)]).done()


@vector(
    "sigstore-without-a-log",
    rules="LF8103 LF8104 LF8113",
    layer="trust",
    trust="sigstore",
    comment="A Sigstore bundle of a certificate that its instance did not make, and without an entry of its log.",
)
def sigstore_without_a_log() -> bytes:
    def change(value: Any) -> None:
        value["verificationMaterial"] = {"certificate": {"rawBytes": b64(LEAF.der)}, "tlogEntries": []}

    return tail().oms(LEAF.key, change=change).done()


@vector("good-beside-sigstore", near="LF8112 LF8113", trust="sigstore", comment="Signed with a key of that policy.")
def good_beside_sigstore() -> bytes:
    return signed().done()


# LF8115, LF8116


@vector(
    "nobody-to-trust",
    rules="LF8115 LF9005",
    layer="none",
    trust=NOBODY,
    authentic="undetermined",
    policy="-",
    comment="A signature was asked for, and nobody to trust named.",
)
def nobody_to_trust() -> bytes:
    return signed().done()


@vector(
    "damaged",
    rules="LF4001 LF8116",
    layer="chunks",
    valid="yes",
    trust="curator",
    comment="A genuine signature on a file of which a bit of the weights has flipped.",
)
def damaged() -> bytes:
    data = signed().done()
    at = data.index(gguf()) + len(gguf()) - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@vector(
    "re-signed",
    rules="LF8103 LF8104",
    layer="trust",
    trust="curator",
    comment="Other weights, every digest mended, signed again by the attacker.",
)
def re_signed() -> bytes:
    return tail(weights(data=gguf("evil"))).oms(STRANGER).done()
