"""Files that hold keys: what opens, what is refused and why, and that nothing is ever replaced (spec 13.8)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from llamafile_format.errors import FormatError, UsageError
from llamafile_format.signing.keys.algorithms import Algorithm
from llamafile_format.signing.keys.key import pem_text
from llamafile_format.signing.keys.key_files import (
    DEFAULT_KIND,
    KINDS,
    MAX_FILE,
    generate,
    parse_public,
    read_private,
    read_public,
    write_keys,
)

DATA = b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
SINGLE = [kind for kind in KINDS if "+" not in kind]


def pem(private: object, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    encoded = private.private_bytes(Encoding.PEM, form, encryption)  # type: ignore[attr-defined]
    assert isinstance(encoded, bytes)
    return encoded


def public_pem(private: object) -> bytes:
    encoded = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    assert isinstance(encoded, bytes)
    return encoded


@pytest.mark.parametrize("kind", KINDS)
def test_files_open(kind: str, tmp_path: Path) -> None:
    made = generate(kind)
    assert tuple(one.public.algorithm for one in made) == KINDS[kind]
    private, public = write_keys(tmp_path / "key", made, None)
    assert [one.public for one in read_private(private)] == [one.public for one in made]
    assert read_public(public) == tuple(one.public for one in made)
    assert public.name == "key.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub"]


def test_files_encrypted(tmp_path: Path) -> None:
    made = generate("ed25519+ml-dsa-65")
    private, _ = write_keys(tmp_path / "key", made, "Größe 7".encode())
    assert b"BEGIN PRIVATE" not in private.read_bytes()
    assert private.read_bytes().count(b"BEGIN ENCRYPTED PRIVATE KEY") == 2
    asked = []

    def passphrase() -> bytes:
        asked.append(1)
        return "Größe 7".encode()

    assert [one.public for one in read_private(private, passphrase)] == [one.public for one in made]
    assert asked == [1], "one passphrase for both halves"
    with pytest.raises(UsageError, match="does not open"):
        read_private(private, lambda: b"wrong")
    with pytest.raises(UsageError, match="is encrypted"):
        read_private(private)


def test_an_open_key_asks_nobody(tmp_path: Path) -> None:
    write_keys(tmp_path / "key", generate("p256"), None)
    read_private(tmp_path / "key", lambda: pytest.fail("asked for a passphrase"))


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1001])
def test_passphrase_of_an_odd_length(passphrase: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="passphrase is"):
        write_keys(tmp_path / "key", generate("p256"), passphrase)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["key", "key.pub"])
def test_nothing_is_replaced(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        write_keys(tmp_path / "key", generate("p256"), None)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_dangling_link_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists"):
        write_keys(tmp_path / "key", generate("p256"), None)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("late", ["key", "key.pub"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_name_taken_at_the_last_moment(
    late: str, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever creates the name between check and link keeps his file, and neither of ours is left."""
    import os

    link = os.link

    def racing(source: Path, target: Path) -> None:
        if target.name == late:
            target.write_text("precious")
        if not links:
            raise PermissionError(1, "no links here")
        link(source, target)

    monkeypatch.setattr(os, "link", racing)
    with pytest.raises(UsageError, match="appeared meanwhile"):
        write_keys(tmp_path / "key", generate("p256"), None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(late, "precious")]


def test_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def no_links(_source: Path, _target: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    private, public = write_keys(tmp_path / "key", generate("p256"), None)
    assert read_private(private)[0].public == read_public(public)[0]
    assert private.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    from llamafile_format.errors import SourceError

    with pytest.raises(SourceError, match="neither was left"):
        write_keys(tmp_path / "no" / "key", generate("p256"), None)


def test_a_name_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        write_keys(tmp_path, generate("p256"), None)
    with pytest.raises(UsageError, match="folder"):
        write_keys("/", generate("p256"), None)


def test_unknown_kind() -> None:
    with pytest.raises(UsageError, match="no kind of key rsa"):
        generate("rsa")
    assert DEFAULT_KIND == "p384"


A, B, C = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
M = mldsa.MLDSA65PrivateKey.generate()
E384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no private key"),
        (b"hello\n", "holds no private key"),
        (public_pem(A), "holds PUBLIC KEY"),
        (pem(A) + public_pem(A), "holds PUBLIC KEY"),
        (pem(A) + pem(B), "which are no pair"),
        (pem(A) + pem(A), "which are no pair"),
        (pem(A) + pem(E384), "which are no pair"),
        (pem(M) + pem(mldsa.MLDSA87PrivateKey.generate()), "which are no pair"),
        (pem(A) + pem(M) + pem(B), "holds 3 keys"),
        (pem(M) + pem(A)[:-30], "incomplete"),
        (pem(M)[:40] + pem(A), "incomplete"),
        (pem(A) + b"-----BEGIN ", "incomplete"),
        (pem_text("PRIVATE KEY", b"\x30\x03\x02\x01\x00").encode(), "cannot be read"),
        (pem(A).replace(b"\nM", b"\n!", 1), "cannot be read"),
        (pem_text("RSA PRIVATE KEY", b"\x30\x03\x02\x01\x00").encode(), "holds RSA PRIVATE KEY"),
        (bytes(MAX_FILE + 1), "too long"),
    ],
)
def test_private_files_that_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        read_private(tmp_path / "k", lambda: b"x")
    assert str(tmp_path / "k") in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no public key"),
        (pem(A), "holds PRIVATE KEY"),
        (pem(A, passphrase=b"x"), "holds ENCRYPTED PRIVATE KEY"),
        (b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", "holds CERTIFICATE"),
        (public_pem(A) * 2, "which are no pair"),
        (public_pem(A) + public_pem(M) + public_pem(B), "holds 3 keys"),
        (public_pem(A)[:-10], "incomplete"),
        (public_pem(A).replace(b"M", b"!", 1), "not PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "not a public key"),
        (b"ssh-ed25519 AAAA me\n", "cannot be read"),
        (b"ssh-foo AAAA me\n", "cannot be read"),
    ],
)
def test_public_files_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_public(data, "k.pub")


def test_pairs_in_any_order_and_with_comments(tmp_path: Path) -> None:
    text = b"the post-quantum half\n" + pem(M) + b"\r\nand the other\n" + pem(A).replace(b"\n", b"\r\n") + b"the end"
    (tmp_path / "k").write_bytes(text)
    found = [one.public.algorithm for one in read_private(tmp_path / "k")]
    assert found == [Algorithm.ML_DSA_65, Algorithm.ECDSA_P256]
    assert [one.algorithm for one in parse_public(public_pem(M) + b"x\n" + public_pem(A), "k")] == found


@pytest.mark.parametrize("passphrase", [b"", b"secret"])
def test_traditional_keys_of_openssl(passphrase: bytes, tmp_path: Path) -> None:
    """`openssl ecparam -genkey` writes the name of the curve in front."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    (tmp_path / "k").write_bytes(parameters + pem(A, PrivateFormat.TraditionalOpenSSL, passphrase))
    assert read_private(tmp_path / "k", lambda: passphrase)[0].public.pem.encode() == public_pem(A)


@pytest.mark.parametrize(
    "private", [A, E384, ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_ssh_keys(private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(pem(private, PrivateFormat.OpenSSH))
    (found,) = read_private(tmp_path / "k")
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" somebody@somewhere\n"
    assert parse_public(b"# my key\n" + line, "k") == (found.public,)
    assert found.public.pem.encode() == public_pem(private)
    assert found.public.verify(found.sign(DATA), DATA)


def test_ssh_keys_of_other_kinds() -> None:
    line = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    with pytest.raises(FormatError, match="RSA keys are not used here"):
        parse_public(line, "k")
