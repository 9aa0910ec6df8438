"""Vectors of time stamps: tokens that are none, that stamp nothing here, and that prove nothing (LF802, LF82)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import encode
from spec.vectors.generate.signatures import signed
from spec.vectors.generate.signatures_certificates import (
    FALSE_STAMP_LEAF,
    ROOT,
    STAMP_LEAF,
    STAMP_ROOT,
    revocations,
)
from spec.vectors.generate.signatures_forge import b64
from spec.vectors.generate.timestamps_forge import LATER, oid, sequence, set_of, tlv

CHAPTER = "signatures"
T = "level-t"


def stamped(**more: Any) -> Callable[[], bytes]:
    """Makes the signed container with a stamp that has one fault."""
    return lambda: signed().stamp(**more).done()


def respelt(change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """Makes the signed and stamped container with the token's bytes changed."""

    def make() -> bytes:
        made = signed().stamp()
        before = made.records[1].data
        made.records[1].data = change(before)
        assert made.records[1].data != before
        return made.done()

    return make


def _long(data: bytes) -> bytes:
    """The outermost length in four bytes where two are enough."""
    assert data[:2] == b"\x30\x82"
    return b"\x30\x83\x00" + data[2:]


def _indefinite(data: bytes) -> bytes:
    return b"\x30\x80" + data[4:] + b"\0\0"


CRITICAL = tlv(0xA1, sequence(oid("1.3.6.1.4.1.99999.3"), b"\x01\x01\xff", tlv(4, b"x")))
UNSIGNED = tlv(0xA1, sequence(oid("1.3.6.1.4.1.99999.2"), set_of(0x31, [tlv(0x0C, b"unsigned words")])))

_FORM = [
    ("token-junk", "Not DER.", lambda: signed().add("tsr", b"granted\n").done()),
    ("token-empty", "No byte.", lambda: signed().add("tsr", b"").done()),
    ("token-trailing", "A byte behind the response.", respelt(lambda data: data + b"\0")),
    ("token-length-long", "A length that is not the shortest.", respelt(_long)),
    ("token-length-indefinite", "A length that is not told.", respelt(_indefinite)),
    ("token-status", "Granted, with changes.", stamped(status=1)),
    ("token-status-words", "Granted, with words that nothing covers.", stamped(words="unsigned words")),
    ("token-unsigned-attribute", "An attribute that nothing covers.", stamped(unsigned=UNSIGNED)),
    ("token-with-list", "A revocation list that nothing covers.", stamped(lists=(revocations(STAMP_ROOT),))),
    ("token-other-certificate", "A certificate of another chain.", stamped(certificates=(STAMP_LEAF, ROOT))),
    ("token-without-certificate", "No certificate.", stamped(certificates=())),
    (
        "token-false-certificate",
        "Another certificate of the same name and serial number.",
        stamped(certificates=(FALSE_STAMP_LEAF,)),
    ),
    ("token-version", "Signed data of version 1.", stamped(version=1)),
    ("token-digest", "The signed digest is not that of the contents.", stamped(digest_flip=True)),
    ("token-signature", "A bit of the signature has flipped.", stamped(signature_flip=True)),
    ("token-sha1", "An imprint by SHA-1.", stamped(function="sha1")),
    ("token-time-local", "A time without zone.", stamped(clock="20261121150000")),
    ("token-time-none", "The 31st of February.", stamped(clock="20260231150000Z")),
    ("token-critical-extension", "A critical extension of tomorrow.", stamped(extra=CRITICAL)),
]
for _name, _comment, _maker in _FORM:
    vector(_name, rules="LF8020 LF8104 LF8116 LF8204", layer="signatures", trust=T, comment=_comment)(_maker)


@vector(
    "token-certificate-bit",
    rules="LF8020 LF8104 LF8116 LF8204",
    layer="signatures",
    trust=T,
    comment="The token brings the root too, and a bit of the root's signature has flipped; only it covers itself.",
)
def token_certificate_bit() -> bytes:
    made = signed().stamp(certificates=(STAMP_LEAF, STAMP_ROOT))
    data, root = made.records[1].data, STAMP_ROOT.der
    assert data.count(root) == 1
    made.records[1].data = data.replace(root, root[:-1] + bytes([root[-1] ^ 1]))
    return made.done()


@vector("good-token-with-root", near="LF8020", trust=T, comment="A token that brings its root.")
def good_token_with_root() -> bytes:
    return signed().stamp(certificates=(STAMP_LEAF, STAMP_ROOT)).done()


# LF8021: imprints


@vector(
    "stamp-of-nothing",
    rules="LF8021 LF8104 LF8116 LF8204",
    layer="signatures",
    trust=T,
    comment="A genuine token over bytes that are not here.",
)
def stamp_of_nothing() -> bytes:
    from spec.vectors.generate.timestamps_forge import Stamp

    return signed().add("tsr", Stamp(b"\xab" * 32).encode()).done()


@vector(
    "stamp-of-a-later-record",
    rules="LF8021 LF8104 LF8116 LF8204",
    layer="signatures",
    trust=T,
    comment="The token stands in front of the record that it stamps.",
)
def stamp_of_a_later_record() -> bytes:
    made = signed().stamp()
    made.records.reverse()
    return made.done()


@vector(
    "renewal-moved",
    rules="LF8021 LF8104 LF8116 LF8204",
    layer="signatures",
    trust="level-lta",
    comment="A renewal behind a record that was not there when it was made.",
)
def renewal_moved() -> bytes:
    made = signed().stamp().renewal()
    made.vm([STAMP_ROOT.der])
    made.records[2], made.records[3] = made.records[3], made.records[2]
    return made.done()


@vector(
    "renewal-under-a-removed-record",
    rules="LF8021 LF8104 LF8116 LF8204",
    layer="signatures",
    trust="level-lta",
    comment="A record in front of the renewal was taken out.",
)
def renewal_under_a_removed_record() -> bytes:
    made = signed().stamp().renewal()
    del made.records[1]
    return made.done()


@vector(
    "renewal-at-a-glance",
    rules="LF8023 LF8122 LF8204 LF9001 LF9006",
    well_formed="undetermined",
    valid="undetermined",
    authentic="undetermined",
    trust="level-lta",
    comment="A renewal that level quick does not recompute (verified at level quick).",
)
def renewal_at_a_glance() -> bytes:
    return signed().stamp().renewal().done()


# LF8022: validation material


def material(**fields: Any) -> Callable[[], bytes]:
    """Makes the signed container with material of which some fields are others."""

    def make() -> bytes:
        value: dict[str, Any] = {
            "certificate_revocation_lists": [b64(revocations(STAMP_ROOT))],
            "certificates": [b64(STAMP_ROOT.der)],
            "format": "llamafile-validation-material/1.0",
        }
        value.update(fields)
        return signed().add("vm", encode(value)).done()

    return make


_MATERIAL = [
    ("material-twice", "A certificate twice.", material(certificates=[b64(ROOT.der)] * 2)),
    ("material-junk", "A certificate that is none.", material(certificates=[b64(b"hello")])),
    ("material-list-junk", "A revocation list that is none.", material(certificate_revocation_lists=[b64(b"hello")])),
    ("material-trailing", "A certificate with a byte behind it.", material(certificates=[b64(STAMP_ROOT.der + b"\0")])),
    ("material-unknown-field", "A field of the packer's choice.", material(note="words")),
    ("material-trusted-root", "A field that asks for trust.", material(trusted_roots=[b64(ROOT.der)])),
    ("material-format", "Material of another version.", material(format="llamafile-validation-material/2.0")),
    ("material-not-a-list", "A certificate where a list is due.", material(certificates=b64(ROOT.der))),
]
for _name, _comment, _maker in _MATERIAL:
    vector(_name, rules="LF8022 LF8116", layer="signatures", trust="curator", comment=_comment)(_maker)


# LF8201 to LF8206: what a sound token proves


@vector(
    "stamped-by-a-stranger",
    rules="LF8104 LF8201 LF8204",
    layer="trust",
    trust=T,
    comment="An authority that the policy does not name; its name is that of one that it does.",
)
def stamped_by_a_stranger() -> bytes:
    return signed().stamp(signer=FALSE_STAMP_LEAF).done()


@vector(
    "stamped-by-a-stranger-with-material",
    rules="LF8104 LF8201 LF8204",
    layer="trust",
    trust=T,
    comment="The file brings the stranger's root as material: nothing inside a file makes anything in it trusted.",
)
def stamped_by_a_stranger_with_material() -> bytes:
    from spec.vectors.generate.signatures_certificates import FALSE_STAMP_ROOT

    return signed().stamp(signer=FALSE_STAMP_LEAF).vm([FALSE_STAMP_ROOT.der]).done()


@vector(
    "authority-expired",
    rules="LF8104 LF8117 LF8202 LF8204",
    layer="trust",
    trust=T,
    as_of="2040-01-01",
    comment="The authority's certificate has ended, and nobody renewed the stamp in time.",
)
def authority_expired() -> bytes:
    return signed().stamp().done()


@vector(
    "renewed-too-late",
    rules="LF8104 LF8109 LF8202",
    layer="trust",
    trust="p384-falls-in-2040",
    as_of="2042-01-01",
    comment="The first authority's certificate ended in 2036, P-384 fell in 2040, and the renewal came in 2041.",
)
def renewed_too_late() -> bytes:
    later: dict[str, Any] = {**LATER, "time": datetime(2041, 1, 1, tzinfo=UTC)}
    return signed().stamp().renewal(**later).done()


@vector(
    "good-renewed-in-time",
    near="LF8109 LF8202",
    trust="p384-falls-in-2040",
    as_of="2042-01-01",
    comment="The same, renewed in 2035.",
)
def good_renewed_in_time() -> bytes:
    return signed().stamp().renewal(**LATER).done()


@vector(
    "token-algorithm-broken",
    rules="LF8104 LF8203 LF8204",
    layer="trust",
    trust="p256-broken",
    comment="The token is signed with P-256, which has fallen by the day of verification.",
)
def token_algorithm_broken() -> bytes:
    return signed().stamp().done()


@vector(
    "stamped-tomorrow",
    rules="LF8104 LF8204 LF8205",
    layer="trust",
    trust=T,
    as_of="2026-11-01",
    comment="A token from after the day of verification.",
)
def stamped_tomorrow() -> bytes:
    return signed().stamp().done()


@vector(
    "level-too-low",
    rules="LF8104 LF8204",
    layer="trust",
    trust="level-lt",
    comment="Stamped, but without the material that the policy wants.",
)
def level_too_low() -> bytes:
    return signed().stamp().done()


@vector("good-level-lt", near="LF8204", trust="level-lt", comment="Stamped, and with material.")
def good_level_lt() -> bytes:
    return signed().stamp().vm([STAMP_ROOT.der], [revocations(STAMP_ROOT)]).done()


@vector(
    "too-old",
    rules="LF8104 LF8206",
    layer="trust",
    trust="young",
    comment="Signed more than 30 days ago, by its own word.",
)
def too_old() -> bytes:
    return signed().done()


@vector("good-young", near="LF8206", trust="young", as_of="2026-12-01", comment="Signed less than 30 days ago.")
def good_young() -> bytes:
    return signed().done()
