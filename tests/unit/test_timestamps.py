"""Tokens: what is read from them, and that nothing else passes (spec 13.6.4)."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.time.timestamp_request import accept_response, build_query
from llamafile_format.signing.time.timestamps import Token, digest, read_response, stamped, trusted_chain
from llamafile_format.signing.trust.material import Material, encode_material, read_material
from llamafile_format.signing.x509 import der
from tests.authorities import EARLY, NULL, Authority, TokenParts, algorithm, attribute, make_token, stamp, token_parts

TIME = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
DIGEST = hashlib.sha256(b"data").digest()
ROOT = Authority.create("Root")
MIDDLE = ROOT.intermediate("Middle")
TSA = MIDDLE.tsa("Stamps")
TOKEN = make_token(TSA, "sha256", DIGEST, TIME)
KINDS = ["p256", "p384", "p521", "ed25519", "ml-dsa-65", "ml-dsa-87", "rsa2048"]


@pytest.mark.parametrize("answer", [b"<!DOCTYPE html>\n<html></html>", b' {"error": "no"}'])
def test_a_web_page_is_told_as_one(answer: bytes) -> None:
    with pytest.raises(FormatError, match="a web page, and no time stamp"):
        accept_response(answer)


def parts(**said: object) -> TokenParts:
    return token_parts(TSA, "sha256", DIGEST, TIME, **said)  # type: ignore[arg-type]


def chain(token: Token, **more: object) -> tuple[bytes, ...]:
    options = {"at": TIME, "agility": Agility(), "extra": (MIDDLE.der,)} | more
    return trusted_chain(token, (ROOT.der,), **options)  # type: ignore[arg-type]


def refused(data: bytes, match: str = ".") -> None:
    with pytest.raises(FormatError, match=match) as caught:
        read_response(data)
    assert caught.value.clause


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("brought", [1, 2, 3])
def test_kinds_of_keys(kind: str, brought: int) -> None:
    tsa = Authority.create(f"Root {kind}", kind).intermediate(f"Middle {kind}", kind).tsa(f"Stamps {kind}", kind)
    data = make_token(tsa, "sha3-512", hashlib.sha3_512(b"x").digest(), TIME, certificates=tsa.chain[:brought])
    token = read_response(data)
    assert token.time == TIME
    assert token.imprint == digest("sha3-512", b"x")
    assert set(token.certificates) == {one.der for one in tsa.chain[:brought]}
    assert token.signer == tsa.der
    assert token.algorithm.startswith({"p": "ecdsa-", "r": "rsa-"}.get(kind[0], kind))
    assert not any(Agility().broken(name, TIME) for name in token.algorithms)


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512", "sha3-256", "sha3-512"])
def test_imprints(name: str) -> None:
    token = read_response(stamp(TSA, b"data", TIME, name))
    assert (token.imprint_algorithm, token.imprint) == (name, digest(name, b"data"))


def test_fractions_of_seconds_and_numbers() -> None:
    token = read_response(make_token(TSA, "sha256", DIGEST, TIME.replace(microsecond=120000), serial=1 << 150, nonce=9))
    assert (token.time.microsecond, token.serial, token.nonce) == (120000, 1 << 150, 9)
    assert read_response(make_token(TSA, "sha256", DIGEST, TIME)).nonce is None


# What a token may not be


def test_status() -> None:
    token = der.parse(parts().encode(), "it").children[1].encoded
    for status in (
        der.sequence(der.integer(1)),
        der.sequence(der.integer(0), der.sequence(der.encode(0x0C, b"Operation Okay"))),
        der.sequence(der.integer(0), der.encode(der.BIT_STRING, b"\x00")),
        der.sequence(),
    ):
        refused(der.sequence(status, token), "granted")
    refused(der.sequence(der.sequence(der.integer(0))), "no token")
    refused(der.sequence(der.sequence(der.integer(0)), token, NULL), "more than")
    refused(token)
    refused(parts().encode() + b"\x00", "not DER")
    refused(bytes((1 << 20) + 1), "larger")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"unsigned": der.encode(der.context(1), attribute("1.2.3", NULL))}, "more than"),
        ({"lists": der.encode(der.context(1), ROOT.revocation_list())}, "revocation lists"),
        ({"certificates": ()}, "no certificate"),
        ({"certificates": (ROOT.der,)}, "not in the token"),
        ({"certificates": (TSA.der, ROOT.der)}, "chain of its signer"),
        ({"certificates": (TSA.der, Authority.create("Else").der)}, "chain of its signer"),
        ({"certificates": (TSA.der, MIDDLE.der, Authority.create("Root", "p384").der)}, "chain of its signer"),
        ({"certificates": (TSA.der, TSA.der)}, "order of DER"),
        ({"certificates": tuple(sorted((TSA.der, MIDDLE.der), reverse=True)), "ordered": False}, "order of DER"),
        ({"certificates": tuple(Authority.create(f"R{n}").der for n in range(17))}, "more than 16"),
        ({"digest": "sha512", "signer": replace(TSA, key=ROOT.key)}, "does not hold"),
        ({"attributes": ()}, "no signed attributes|type"),
    ],
)
def test_what_no_signature_covers(change: dict[str, object], match: str) -> None:
    refused(replace(parts(), **change).encode(), match)  # type: ignore[arg-type]


def test_signed_attributes() -> None:
    whole = parts()
    kind, told, bound = whole.signed_attributes()
    extra = attribute("1.2.840.113549.1.9.5", der.encode(der.UTC_TIME, b"310203040506Z"))
    read_response(replace(whole, attributes=(kind, told, bound, extra)).encode())
    v1 = der.sequence(der.sequence(der.sequence(der.octets(hashlib.sha1(TSA.der).digest()))))
    read_response(replace(whole, attributes=(kind, told, attribute("1.2.840.113549.1.9.16.2.12", v1))).encode())
    number = TSA.certificate.serial_number
    issuer = der.sequence(der.sequence(der.encode(der.context(4), MIDDLE.certificate.subject.public_bytes())))[2:]
    for serial, right in ((number, True), (number + 1, False)):
        named = der.sequence(der.octets(hashlib.sha256(TSA.der).digest()), der.sequence(issuer, der.integer(serial)))
        binding = attribute("1.2.840.113549.1.9.16.2.47", der.sequence(der.sequence(named)))
        data = replace(whole, attributes=(kind, told, binding)).encode()
        if right:
            read_response(data)
        else:
            refused(data, "another issuer")
    other = der.sequence(der.sequence(der.sequence(der.octets(hashlib.sha256(ROOT.der).digest()))))
    for attributes, match in (
        ((kind, told), "do not bind"),
        ((told, bound), "what type"),
        ((kind, bound), "not that of the contents"),
        ((kind, attribute("1.2.840.113549.1.9.4", der.octets(bytes(32))), bound), "not that of the contents"),
        ((attribute("1.2.840.113549.1.9.3", der.oid("1.2.840.113549.1.7.1")), told, bound), "what type"),
        ((kind, told, bound, attribute("1.2.3.4", der.octets(b"room for words"))), "does not know"),
        ((kind, told, bound, attribute("1.2.840.113549.1.9.5", der.octets(b"now"))), "does not know"),
        ((kind, told, bound, bound), "order of DER"),
        ((kind, told, attribute("1.2.840.113549.1.9.16.2.47", other)), "another certificate"),
        ((kind, told, attribute("1.2.840.113549.1.9.16.2.47", der.sequence(der.sequence()))), "is empty"),
        ((kind, der.sequence(der.oid("1.2.840.113549.1.9.4"), der.encode(der.SET)), bound), "exactly one value"),
    ):
        refused(replace(whole, attributes=attributes).encode(), match)


def test_protection_of_algorithms() -> None:
    whole = parts()
    named = algorithm("2.16.840.1.101.3.4.2.1", NULL), der.encode(der.context(1), der.oid("1.2.840.10045.4.3.2"))
    right = attribute("1.2.840.113549.1.9.52", der.sequence(*named))
    read_response(replace(whole, attributes=(*whole.signed_attributes(), right)).encode())
    wrong = attribute("1.2.840.113549.1.9.52", der.sequence(named[0], der.encode(der.context(1), der.oid("1.2.3"))))
    refused(replace(whole, attributes=(*whole.signed_attributes(), wrong)).encode(), "other algorithms")


def info(*fields: bytes) -> bytes:
    """A token whose contents are these fields."""
    return replace(parts(), info=der.sequence(*fields)).encode()


def test_contents() -> None:
    policy, serial = der.oid("1.2.3"), der.integer(1)
    imprint = der.sequence(algorithm("2.16.840.1.101.3.4.2.1", NULL), der.octets(DIGEST))
    time = der.encode(der.GENERALIZED_TIME, b"20310203040506Z")
    start = (der.integer(1), policy, imprint, serial, time)
    accuracy = der.sequence(der.integer(1), der.encode(0x80, b"\x01"))
    name = der.encode(der.context(0), der.encode(der.context(4), der.sequence()))
    note = der.encode(der.context(1), der.sequence(der.oid("1.2.3"), der.octets(b"")))
    read_response(info(*start))
    read_response(info(*start, accuracy, der.boolean(True), der.integer(5), name, note))
    critical = der.encode(der.context(1), der.sequence(der.oid("1.2.3"), der.boolean(True), der.octets(b"")))
    for fields, match in (
        ((der.integer(2), *start[1:]), "another version"),
        ((*start, critical), "critical extension"),
        ((*start, NULL), "more than"),
        ((*start[:2], der.sequence(algorithm("1.3.14.3.2.26", NULL), der.octets(bytes(20))), *start[3:]), "not know"),
        ((*start[:2], der.sequence(algorithm("2.16.840.1.101.3.4.2.1"), der.octets(b"")), *start[3:]), "0 bytes"),
        ((*start[:2], der.sequence(algorithm("2.16.840.1.101.3.4.2.3"), der.octets(DIGEST)), *start[3:]), "32 bytes"),
        (
            (*start[:2], der.sequence(algorithm("2.16.840.1.101.3.4.2.1", NULL, NULL), der.octets(DIGEST)), *start[3:]),
            "more than",
        ),
        ((*start[:3], der.integer(-1), time), "serial number"),
        ((*start[:3], der.integer(1 << 160), time), "serial number"),
    ):
        refused(info(*fields), match)


TIMES = """
20310203040506 2031020304Z 203102030405Z 20310203040506.10Z 20310203040506.Z 20310203040506+0100 20311303040506Z
20310203246060Z 00000203040506Z 20310203040506,5Z \uff12031020304050Z 20310203040506.123456789012Z
"""


@pytest.mark.parametrize("text", TIMES.split())
def test_times(text: str) -> None:
    imprint = der.sequence(algorithm("2.16.840.1.101.3.4.2.1", NULL), der.octets(DIGEST))
    time = der.encode(der.GENERALIZED_TIME, text.encode())
    refused(info(der.integer(1), der.oid("1.2.3"), imprint, der.integer(1), time), "time")


def test_weak_keys_and_other_uses() -> None:
    weak = Authority.create("Weak", "rsa1024").tsa("Weak stamps", "rsa1024")
    refused(stamp(weak, b"data", TIME), "1024 bits")


@pytest.mark.parametrize("brought", [(TSA,), (TSA, MIDDLE), TSA.chain])
def test_no_bit_is_free(brought: tuple[Authority, ...]) -> None:
    data = make_token(TSA, "sha256", DIGEST, TIME, certificates=brought)
    chain(read_response(data))
    flipped = bytearray(data)
    for at in range(len(data)):
        for bit in (0, 5) if len(brought) > 1 else range(8):
            flipped[at] ^= 1 << bit
            try:
                chain(read_response(bytes(flipped)))
            except FormatError:
                pass
            else:
                pytest.fail(f"bit {bit} of byte {at} is free")
            flipped[at] ^= 1 << bit


def test_unused_bits_of_a_certificate() -> None:
    """If the last bit of its signature is 0, parsers take it as one that is not used, and verify the same bytes."""
    middle = next(one for number in range(64) if not (one := ROOT.intermediate(f"M{number}")).der[-1] & 1)
    leaf, count = middle.tsa("Stamps"), len(middle.certificate.signature)
    changed = bytearray(middle.der)
    changed[-count - 1] = 1
    read_response(replace(parts(), signer=leaf, certificates=(leaf.der, middle.der)).encode())
    refused(replace(parts(), signer=leaf, certificates=(leaf.der, bytes(changed))).encode(), "whole number of bytes")


def test_material_is_read_to_its_last_field() -> None:
    """Libraries read names and extensions late: nothing but FormatError may come of a bit, then or later."""
    lists = ROOT.revocation_list((MIDDLE, EARLY))
    for data, kind in ((lists, "revocations"), (MIDDLE.der, "certificates")):
        for at in range(0, len(data) * 8, 3):
            flipped = bytearray(data)
            flipped[at // 8] ^= 1 << at % 8
            with contextlib.suppress(FormatError):
                found = read_material(encode_material(Material(**{kind: (bytes(flipped),)})))
                with contextlib.suppress(FormatError):
                    chain(read_response(TOKEN), extra=(MIDDLE.der, *found.certificates), revocations=found.revocations)


@given(st.data())
def test_nothing_but_format_errors(data: st.DataObject) -> None:
    token = bytearray(make_token(TSA, "sha256", DIGEST, TIME, certificates=TSA.chain))
    start = data.draw(st.integers(0, len(token)))
    token[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    for read in (read_response, accept_response):
        with contextlib.suppress(FormatError):
            read(bytes(token))


# Trust


def test_trusted_chains() -> None:
    token = read_response(parts(certificates=(TSA, MIDDLE)).encode())
    assert chain(token) == (TSA.der, MIDDLE.der, ROOT.der)
    other = Authority.create("Middle 2").tsa("Stamps")
    with pytest.raises(FormatError):
        chain(read_response(stamp(other, b"x", TIME)))
    with pytest.raises(FormatError, match="revoked"):
        chain(token, revocations=(MIDDLE.revocation_list((TSA, datetime(2025, 1, 1, tzinfo=UTC))),))
    with pytest.raises(FormatError):
        chain(token, at=datetime(2061, 1, 1, tzinfo=UTC))


def test_the_last_certificate_must_be_used() -> None:
    """Two authorities' certificates for one name and key: only one of them leads to the root that is trusted."""
    elsewhere = Authority.create("Elsewhere")
    crossed = elsewhere.intermediate("Middle")
    assert crossed.key.private_numbers() == MIDDLE.key.private_numbers()
    token = read_response(parts(certificates=(TSA, crossed)).encode())
    with pytest.raises(FormatError, match="does not use"):
        chain(token)
    assert trusted_chain(token, (elsewhere.der,), at=TIME, agility=Agility())[1] == crossed.der


def test_a_signer_of_other_things_stamps_nothing() -> None:
    signer = ROOT.leaf("Signer", "p256")
    token = read_response(stamp(signer, b"data", TIME))
    with pytest.raises(FormatError, match="not made for this"):
        trusted_chain(token, (ROOT.der,), at=TIME, agility=Agility())


# Requests and answers


def test_requests() -> None:
    query = build_query("sha384", bytes(48))
    assert 0 < query.nonce < 1 << 64
    assert build_query("sha384", bytes(48)).nonce != query.nonce
    fields = der.parse(query.data, "it").children
    assert [field.tag for field in fields] == [der.INTEGER, der.SEQUENCE, der.INTEGER, der.BOOLEAN]


def answer(status: int, *more: bytes, token: bytes = b"") -> bytes:
    return der.sequence(der.sequence(der.integer(status), *more), token)


def test_answers_are_put_in_order() -> None:
    unsigned = der.encode(der.context(1), attribute("1.2.3", NULL))
    lists = der.encode(der.context(1), ROOT.revocation_list())
    stranger = Authority.create("Stranger")
    brought = tuple(sorted((TSA.der, MIDDLE.der, stranger.der), reverse=True))
    made = replace(parts(), unsigned=unsigned, lists=lists, certificates=brought, ordered=False)
    token = der.parse(made.encode(), "it").children[1].encoded
    text = der.sequence(der.encode(0x0C, b"fine"))
    for data in (answer(0, token=token), answer(1, text, token=token), token):
        accepted = accept_response(data)
        assert accepted.left_out == ("revocation lists", "1 of 3 certificates", "unsigned attributes")
        assert set(read_response(accepted.data).certificates) == {TSA.der, MIDDLE.der}
    assert accept_response(accepted.data) == replace(accepted, left_out=())
    kept = accept_response(accepted.data, keep=(TSA.der,))
    assert read_response(kept.data).certificates == (TSA.der,)


def test_refusals() -> None:
    text = der.sequence(der.encode(0x0C, b"come back later"))
    failure = der.encode(der.BIT_STRING, bytes((7, 0x80)))
    with pytest.raises(FormatError, match=r"status 2.: come back later; it does not know the digest function"):
        accept_response(answer(2, text, failure))
    with pytest.raises(FormatError, match=r"refused to stamp \(status 3\)$"):
        accept_response(answer(3))
    for nothing in (b"", b"<html>", answer(0), der.sequence(), bytes((1 << 20) + 1)):
        with pytest.raises((FormatError, LimitExceeded)):
            accept_response(nothing)


# What a token stamps


def record(number: int, data: bytes, header: int = 0, *, detached: bool = False) -> Record:
    return Record(number, RecordKind.OMS, f"{number}", header, header + 90, data, detached)


def test_what_is_stamped() -> None:
    records = [record(1, b"one", 100), record(2, b"data", 300), record(3, b"data", 500), record(4, b"four", 700)]
    token = read_response(stamp(TSA, b"data", TIME))
    assert stamped(token, records, 900) is records[1]
    assert stamped(token, records[:1], 900) is None
    assert stamped(token, records, 300) is None
    alone = record(1, b"data", detached=True)
    assert stamped(token, [alone], 0) is alone
