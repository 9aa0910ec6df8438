"""Keys: what they verify and what not, how they are named, and the files they come from (spec 13.8, 11.6, 11.7)."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from llamafile_format.errors import FormatError, UsageError
from llamafile_format.signing.keys.algorithms import Agility, Algorithm, AlgorithmKind, Status, registry
from llamafile_format.signing.keys.key import PrivateKey, PublicKey
from llamafile_format.signing.keys.key_files import (
    KINDS,
    generate,
    parse_public,
    read_private,
    read_public,
)
from tests.conftest import ROOT

SINGLE = [kind for kind in KINDS if "+" not in kind]
DATA = b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
ORDER = {
    Algorithm.ECDSA_P256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    Algorithm.ECDSA_P384: (1 << 384) - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    Algorithm.ECDSA_P521: (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}


@cache
def key(kind: str) -> PrivateKey:
    return generate(kind)[0]


def at(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def pem(private: object, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    encoded = private.private_bytes(Encoding.PEM, form, encryption)  # type: ignore[attr-defined]
    assert isinstance(encoded, bytes)
    return encoded


def public_pem(private: object) -> bytes:
    encoded = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    assert isinstance(encoded, bytes)
    return encoded


# Signatures


@pytest.mark.parametrize("kind", SINGLE)
def test_round_trip(kind: str) -> None:
    private = key(kind)
    signature = private.sign(DATA)
    assert private.public.algorithm is KINDS[kind][0]
    assert private.public.verify(signature, DATA)
    assert not private.public.verify(signature, DATA + b" ")
    assert not private.public.verify(signature, b"")
    assert not generate(kind)[0].public.verify(signature, DATA)


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize(
    "change",
    [
        lambda signature: signature + b"\0",
        lambda signature: b"\0" + signature,
        lambda signature: signature[:-1],
        lambda signature: b"",
        lambda signature: bytes(len(signature)),
        lambda signature: signature * 2,
        lambda signature: b"\x30\x06\x02\x01\x00\x02\x01\x00",
        lambda signature: b"\x30\x06\x02\x01\x01\x02\x01\x01",
        lambda signature: b"\xff" * len(signature),
        lambda signature: signature.hex().encode(),
    ],
)
def test_other_bytes_are_no_signature(kind: str, change: Callable[[bytes], bytes]) -> None:
    private = key(kind)
    assert not private.public.verify(change(private.sign(DATA)), DATA)


@pytest.mark.parametrize("kind", SINGLE)
def test_no_flipped_bit_holds(kind: str) -> None:
    private = key(kind)
    signature = private.sign(DATA)
    step = 1 if len(signature) < 200 else 97  # a signature of ML-DSA has some 30,000 bits
    for bit in range(0, 8 * len(signature), step):
        forged = bytearray(signature)
        forged[bit // 8] ^= 1 << bit % 8
        assert not private.public.verify(bytes(forged), DATA), bit


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_ecdsa_has_one_spelling(kind: str) -> None:
    """Longer numbers, longer lengths, something behind, numbers without DER, numbers beyond the order of the curve."""
    private = key(kind)
    signature = private.sign(DATA)
    r, s = utils.decode_dss_signature(signature)
    size = (ORDER[private.public.algorithm].bit_length() + 7) // 8

    def number(value: int, zeros: int = 0) -> bytes:
        text = bytes(zeros) + value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes([2, len(text)]) + text

    def sequence(content: bytes, long: bool = False) -> bytes:
        short = len(content) < 128 and not long
        return b"\x30" + (b"" if short else b"\x81") + bytes([len(content)]) + content

    assert sequence(number(r) + number(s)) == signature
    for forged in (
        sequence(number(r, 1) + number(s)),
        sequence(number(r) + number(s, 1)),
        sequence(number(r) + number(s) + b"\x05\x00"),
        sequence(number(r) + number(s)) + b"\x05\x00",
        b"\x30\x80" + number(r) + number(s) + b"\0\0",
        b"\x30\x82" + len(signature[2:]).to_bytes(2, "big") + number(r) + number(s),
        r.to_bytes(size, "big") + s.to_bytes(size, "big"),
        utils.encode_dss_signature(s, r),
        utils.encode_dss_signature(r + ORDER[private.public.algorithm], s),
        utils.encode_dss_signature(r, s + ORDER[private.public.algorithm]),
    ):
        assert not private.public.verify(forged, DATA), forged.hex()


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_the_other_s_holds(kind: str) -> None:
    """Clause 13.8.2: (r, n - s) is a signature too, and signers elsewhere produce either."""
    private = key(kind)
    r, s = utils.decode_dss_signature(private.sign(DATA))
    other = utils.encode_dss_signature(r, ORDER[private.public.algorithm] - s)
    assert private.public.verify(other, DATA)


def test_ed25519_of_a_larger_s_does_not_hold() -> None:
    """S + L verifies where nobody looks at its size (RFC 8032, 5.1.7)."""
    private = key("ed25519")
    signature = private.sign(DATA)
    order = (1 << 252) + 27742317777372353535851937790883648493
    larger = int.from_bytes(signature[32:], "little") + order
    assert not private.public.verify(signature[:32] + larger.to_bytes(32, "little"), DATA)


@pytest.mark.parametrize(
    ("curve", "secret", "r", "s"),
    [
        (
            ec.SECP256R1(),
            "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            ec.SECP384R1(),
            "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
            "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        ),
        (
            ec.SECP521R1(),
            "0FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538",
            "0C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA",
            "0617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A",
        ),
    ],
    ids=["p256", "p384", "p521"],
)
def test_nonces_come_from_key_and_data(curve: ec.EllipticCurve, secret: str, r: str, s: str) -> None:
    """RFC 6979, A.2.5 to A.2.7: message "sample", the digest of the curve."""
    private = PrivateKey(ec.derive_private_key(int(secret, 16), curve))
    assert private.sign(b"sample") == utils.encode_dss_signature(int(r, 16), int(s, 16))


def test_ed25519_is_pure() -> None:
    """RFC 8032, 7.1, test 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    private = PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    assert private.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_ml_dsa_has_an_empty_context() -> None:
    raw = mldsa.MLDSA65PrivateKey.generate()
    public = PrivateKey(raw).public
    assert public.verify(raw.sign(DATA, context=b""), DATA)
    assert not public.verify(raw.sign(DATA, context=b"llamafile"), DATA)


# Names


@pytest.mark.parametrize("kind", SINGLE)
def test_names_of_a_key(kind: str) -> None:
    public = key(kind).public
    assert public.key_id == hashlib.sha256(public.spki).hexdigest()
    assert public.hint == hashlib.sha256(public.pem.encode()).hexdigest()
    lines = public.pem.split("\n")
    assert lines[-1] == ""
    assert {len(line) for line in lines[1:-3]} <= {64}
    assert parse_public(public.pem.encode(), "k") == (public,)
    assert PublicKey.from_spki(public.spki) == public


def test_pem_is_that_of_the_library() -> None:
    private = mldsa.MLDSA87PrivateKey.generate()
    assert PrivateKey(private).public.pem.encode() == public_pem(private)


def test_properties_of_algorithms() -> None:
    assert [algorithm.digest for algorithm in Algorithm] == ["sha256", "sha384", "sha512", "", "", ""]
    assert [algorithm.oms for algorithm in Algorithm] == [True, True, True, False, False, False]
    assert [algorithm.post_quantum for algorithm in Algorithm] == [False, False, False, False, True, True]


def test_a_secret_is_not_shown() -> None:
    private = key("p256")
    assert repr(private) == f"PrivateKey(ecdsa-p256-sha256, {private.public.key_id})"
    assert str(private) == repr(private)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(private)


@pytest.mark.parametrize(
    ("private", "name"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (mldsa.MLDSA44PrivateKey.generate(), "MLDSA44"),
        (dsa.generate_private_key(2048), "DSA"),
    ],
    ids=["rsa", "ed448", "secp256k1", "ml-dsa-44", "dsa"],
)
def test_other_kinds_are_refused(private: object, name: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(pem(private))
    (tmp_path / "k.pub").write_bytes(public_pem(private))
    with pytest.raises(UsageError, match=f"{name} keys are not used here"):
        read_private(tmp_path / "k")
    with pytest.raises(UsageError, match=f"{name} keys are not used here"):
        read_public(tmp_path / "k.pub")


def test_a_key_has_one_spelling() -> None:
    """A compressed point, explicit parameters, trailing bytes: another DER would be another id for the same key."""
    private = ec.generate_private_key(ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    with pytest.raises(FormatError, match="not spelt as it should be"):
        PublicKey.from_spki(head + point)
    spki = PrivateKey(private).public.spki
    for der in (
        spki + b"\0",
        spki[:-1],
        b"",
        b"\x30\x00",
        bytes(20_000),
        spki.replace(b"\x03\x01\x07", b"\x03\x01\x06"),
    ):
        with pytest.raises(FormatError):
            PublicKey.from_spki(der)


# The registry


def test_registry() -> None:
    table = registry()
    for algorithm in Algorithm:
        row = table[algorithm]
        assert row.kind is AlgorithmKind.SIGNATURE
        assert row.status in (Status.MUST, Status.MAY)
        assert row.rests_on == algorithm.digest
        assert (row.retired is None) == algorithm.post_quantum
    for row in table.values():
        assert not row.rests_on or table[row.rests_on].kind is AlgorithmKind.DIGEST
        assert row.since >= date(2026, 11, 20)
        assert row.broken is None
    digests = {name for name, row in table.items() if row.kind is AlgorithmKind.DIGEST}
    assert digests == {"sha256", "sha384", "sha512", "sha3-256", "sha3-512"}


def test_registry_and_chapter_agree() -> None:
    chapter = (
        (ROOT / "spec" / "1" / "11-registries.md").read_text("utf-8").partition("## 11.6")[2].partition("## 11.8")[0]
    )
    for row in registry().values():
        if row.kind is not AlgorithmKind.TIME_STAMP:
            assert f"`{row.id}`" in chapter, row.id
    for algorithm in Algorithm:
        row = registry()[algorithm]
        line = next(line for line in chapter.splitlines() if line.startswith(f"| `{algorithm.value}`"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[2:] == [row.status.value, str(row.retired or "–"), str(row.broken or "–")]


def test_agility() -> None:
    agility = Agility()
    assert not agility.broken("ecdsa-p384-sha384", at(2055))
    assert agility.broken("md5", at(2000))
    assert agility.broken("slh-dsa-128s", at(2026)), "reserved"
    assert not agility.retired("ed25519", at(2035, 12, 31))
    assert agility.retired("ed25519", at(2036))
    assert not agility.retired("ml-dsa-65", at(2099))
    assert agility.retired("md5", at(2000))


def test_agility_of_a_policy() -> None:
    agility = Agility({"sha384": date(2040, 5, 1), "ed25519": date(2030, 1, 1)})
    assert not agility.broken("sha384", at(2040, 4, 30) + timedelta(hours=23, minutes=59))
    assert agility.broken("sha384", at(2040, 5, 1))
    assert agility.broken("ecdsa-p384-sha384", at(2040, 5, 1)), "rests on the digest"
    assert agility.broken("rsa-sha384", at(2041))
    assert not agility.broken("ecdsa-p256-sha256", at(2041))
    assert agility.broken("ed25519", at(2030))
    assert not Agility({"slh-dsa-128s": date(2100, 1, 1)}).broken("sha256", at(2026))
    assert Agility({"slh-dsa-128s": date(2100, 1, 1)}).broken("slh-dsa-128s", at(2026)), "a policy revives nothing"


def test_days_are_those_of_utc() -> None:
    agility = Agility({"sha256": date(2040, 1, 1)})
    evening = datetime(2039, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert agility.broken("sha256", evening)
    with pytest.raises(ValueError, match="time zone"):
        agility.broken("sha256", datetime(2040, 1, 1))
