"""Keys and signatures go both ways between us, openssl, ssh-keygen and OpenSSF's model_signing (spec 13.8)."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.signing.keys.external import CommandSigner
from llamafile_format.signing.keys.key_files import generate, read_private, read_public, write_keys
from tests.conftest import ROOT

pytestmark = pytest.mark.interop
Tool = Callable[[str], Path]
EC = {"p256": ("prime256v1", "sha256"), "p384": ("secp384r1", "sha384"), "p521": ("secp521r1", "sha512")}
MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so"]
DATA = b"DSSEv1 28 application/vnd.in-toto+json 20 {'name': 'a model'}\n" * 40


@pytest.fixture(scope="module")
def openssl(tool: Tool) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = tool("openssl")

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        words = [str(program), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=check, timeout=60, stdin=subprocess.DEVNULL)

    return run


Openssl = Callable[..., "subprocess.CompletedProcess[str]"]


def made(kind: str, folder: Path, passphrase: bytes | None = None) -> tuple[Path, Path]:
    return write_keys(folder / "key", generate(kind), passphrase)


# Signatures


@pytest.mark.parametrize("kind", EC)
def test_openssl_verifies_ecdsa(kind: str, openssl: Openssl, tmp_path: Path) -> None:
    private, public = made(kind, tmp_path)
    data, signature = tmp_path / "data", tmp_path / "signature"
    data.write_bytes(DATA)
    signature.write_bytes(read_private(private)[0].sign(DATA))
    command = ("dgst", f"-{EC[kind][1]}", "-verify", public, "-signature", signature, data)
    assert openssl(*command).stdout == "Verified OK\n"
    data.write_bytes(DATA + b" ")
    assert openssl(*command, check=False).returncode != 0


@pytest.mark.parametrize("kind", EC)
def test_we_verify_ecdsa_of_openssl(kind: str, openssl: Openssl, tmp_path: Path) -> None:
    curve, digest = EC[kind]
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", tmp_path / "key")
    openssl("pkey", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "key.pub")
    (tmp_path / "data").write_bytes(DATA)
    (public,) = read_public(tmp_path / "key.pub")
    for _ in range(20):  # lengths of random signatures differ
        openssl("dgst", f"-{digest}", "-sign", tmp_path / "key", "-out", tmp_path / "signature", tmp_path / "data")
        assert public.verify((tmp_path / "signature").read_bytes(), DATA)
    other = "sha256" if digest != "sha256" else "sha512"
    openssl("dgst", f"-{other}", "-sign", tmp_path / "key", "-out", tmp_path / "signature", tmp_path / "data")
    assert not public.verify((tmp_path / "signature").read_bytes(), DATA), "the key has one digest"


def test_ed25519_both_ways(openssl: Openssl, tmp_path: Path) -> None:
    private, public = made("ed25519", tmp_path)
    (tmp_path / "data").write_bytes(DATA)
    signature = tmp_path / "signature"
    signature.write_bytes(read_private(private)[0].sign(DATA))
    command = ("pkeyutl", "-rawin", "-in", tmp_path / "data")
    done = openssl(*command, "-verify", "-pubin", "-inkey", public, "-sigfile", signature)
    assert "Verified Successfully" in done.stdout
    openssl(*command, "-sign", "-inkey", private, "-out", tmp_path / "theirs")
    assert (tmp_path / "theirs").read_bytes() == signature.read_bytes(), "Ed25519 is deterministic"


# Files


@pytest.mark.parametrize("kind", [*EC, "ed25519"])
def test_openssl_opens_our_keys(kind: str, openssl: Openssl, tmp_path: Path) -> None:
    private, public = made(kind, tmp_path, b"geheim")
    (tmp_path / "pass").write_text("geheim\n")
    done = openssl("pkey", "-in", private, "-passin", f"file:{tmp_path / 'pass'}", "-pubout")
    assert done.stdout == public.read_text()
    (tmp_path / "pass").write_text("falsch\n")
    assert openssl("pkey", "-in", private, "-passin", f"file:{tmp_path / 'pass'}", check=False).returncode != 0


def test_how_our_keys_are_encrypted(openssl: Openssl, tmp_path: Path) -> None:
    """Clause 13.8.8."""
    private, _ = made("p256", tmp_path, b"geheim")
    text = openssl("asn1parse", "-in", private).stdout
    for word in (":PBES2", ":PBKDF2", f":{600_000:06X}", ":hmacWithSHA256", ":aes-256-cbc"):
        assert word in text, text


@pytest.mark.parametrize("scheme", [("-v2", "aes-256-cbc"), ("-scrypt",), ("-v2", "aes-128-cbc", "-iter", "10000")])
def test_we_open_keys_that_openssl_encrypted(scheme: tuple[str, ...], openssl: Openssl, tmp_path: Path) -> None:
    private, public = made("p384", tmp_path)
    openssl("pkcs8", "-topk8", *scheme, "-in", private, "-passout", "pass:geheim", "-out", tmp_path / "theirs")
    assert (read_private(tmp_path / "theirs", lambda: b"geheim")[0].public,) == read_public(public)
    with pytest.raises(UsageError, match="does not open"):
        read_private(tmp_path / "theirs", lambda: b"falsch")


@pytest.mark.parametrize("kind", EC)
def test_traditional_keys(kind: str, openssl: Openssl, tmp_path: Path) -> None:
    """What the manuals of OMS say: `openssl ecparam -genkey` and `openssl ec -pubout`."""
    openssl("ecparam", "-name", EC[kind][0], "-genkey", "-out", tmp_path / "key")
    openssl("ec", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "key.pub")
    assert "BEGIN EC PARAMETERS" in (tmp_path / "key").read_text()
    assert (read_private(tmp_path / "key")[0].public,) == read_public(tmp_path / "key.pub")


def test_a_second_spelling_is_refused_with_the_way_out(openssl: Openssl, tmp_path: Path) -> None:
    _, public = made("p256", tmp_path)
    openssl("pkey", "-pubin", "-in", public, "-pubout", "-ec_conv_form", "compressed", "-out", tmp_path / "short")
    with pytest.raises(UsageError, match="not spelt as it should be") as caught:
        read_public(tmp_path / "short")
    words = shlex.split(caught.value.hint.partition(": openssl ")[2].replace("KEY.pub", str(tmp_path / "short")))
    (tmp_path / "anew").write_text(openssl(*words).stdout)
    assert read_public(tmp_path / "anew") == read_public(public)


# Signers that are commands: the lines of clause 13.8.10


def lines_of_the_clause() -> list[str]:
    text = (ROOT / "spec" / "1" / "13-signatures.md").read_text("utf-8")
    return text.partition("**13.8.10**")[2].split("```\n")[1].splitlines()


@pytest.mark.parametrize("kind", EC)
def test_openssl_as_signer(kind: str, tool: Tool, tmp_path: Path) -> None:
    private, public = made(kind, tmp_path)
    line = lines_of_the_clause()[0]
    command = line.replace("openssl", str(tool("openssl"))).replace("sha384", EC[kind][1]).replace("KEY", str(private))
    (key,) = read_public(public)
    assert key.verify(CommandSigner(command, key).sign(DATA), DATA)


def test_openssl_as_signer_with_the_wrong_digest(tool: Tool, tmp_path: Path) -> None:
    private, public = made("p384", tmp_path)
    signer = CommandSigner(f"{tool('openssl')} dgst -sha256 -sign {private}", read_public(public)[0])
    with pytest.raises(UsageError, match="no signature by the key"):
        signer.sign(DATA)


def test_openssl_as_signer_without_a_key(tool: Tool, tmp_path: Path) -> None:
    _, public = made("p384", tmp_path)
    signer = CommandSigner(f"{tool('openssl')} dgst -sha384 -sign {tmp_path / 'none'}", read_public(public)[0])
    with pytest.raises(SourceError, match=r"exit code 1: .*none"):
        signer.sign(DATA)


def test_openssl_as_signer_of_ed25519(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = made("ed25519", tmp_path)
    tool("openssl")
    monkeypatch.chdir(tmp_path)
    (key,) = read_public(public)
    signature = CommandSigner(lines_of_the_clause()[2].replace("KEY", str(private)), key).sign(DATA)
    assert signature == read_private(private)[0].sign(DATA)


def test_a_token_as_signer(tool: Tool, openssl: Openssl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private key is in a PKCS#11 token, and nowhere else."""
    token = tool("softhsm2-util")
    module = next((path for path in map(Path, MODULES) if path.exists()), None)
    if module is None or openssl("engine", "pkcs11", check=False).returncode:
        pytest.skip("openssl has no engine for PKCS#11 here")
    private, public = made("p384", tmp_path)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "conf"))
    monkeypatch.setenv("PKCS11_MODULE_PATH", str(module))
    for words in (
        ("--init-token", "--free", "--label", "test", "--so-pin", "12345678"),
        ("--import", private, "--token", "test", "--label", "NAME", "--id", "01"),
    ):
        command = [token, *words, "--pin", "1234"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    private.unlink()
    (key,) = read_public(public)
    signer = CommandSigner(lines_of_the_clause()[1] + "';pin-value=1234'", key)
    assert key.verify(signer.sign(DATA), DATA)


# ssh-keygen


@pytest.mark.parametrize(("kind", "bits"), [("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("ed25519", 0)])
def test_ssh_keys(kind: str, bits: int, tool: Tool, tmp_path: Path) -> None:
    size = ["-b", str(bits)] if bits else []
    command = [tool("ssh-keygen"), "-q", "-t", kind, *size, "-N", "", "-C", "somebody", "-f", tmp_path / "key"]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    (private,) = read_private(tmp_path / "key")
    assert read_public(tmp_path / "key.pub") == (private.public,)
    assert private.public.verify(private.sign(DATA), DATA)


def test_encrypted_ssh_key(tool: Tool, tmp_path: Path) -> None:
    """It opens, or the missing library is named; never a traceback."""
    command = [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "geheim", "-f", tmp_path / "key"]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    with pytest.raises(UsageError, match="is encrypted"):
        read_private(tmp_path / "key")
    try:
        import bcrypt  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError) as caught:
            read_private(tmp_path / "key", lambda: b"geheim")
        assert "bcrypt" in caught.value.hint
    else:
        assert (read_private(tmp_path / "key", lambda: b"geheim")[0].public,) == read_public(tmp_path / "key.pub")


# model_signing


@pytest.mark.parametrize("kind", EC)
def test_hint_is_that_of_model_signing(kind: str, tmp_path: Path) -> None:
    upstream = pytest.importorskip("model_signing._signing.sign_ec_key")
    private, public = made(kind, tmp_path)
    material = upstream.Signer(private)._get_verification_material()
    assert material.public_key.hint == read_public(public)[0].hint
