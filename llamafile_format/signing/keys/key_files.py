"""Files that hold keys: PEM blocks, one for each key, two for a pair (spec/1, 13.8).

A private key file is PKCS#8, encrypted or not, or what ssh-keygen writes. A public key file is PEM, or a line as
ssh-keygen writes it. A pair is two keys of one signer, one classical and one post-quantum, in one file.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.signing.keys.algorithms import Algorithm
from llamafile_format.signing.keys.key import PrivateKey, PublicKey, pem_text, public_key_of
from llamafile_format.source import read_small

MAX_FILE = 65_536  # bytes; a file of two keys has some 6,000
MAX_KEYS = 2
MAX_PASSPHRASE = 1000  # bytes; openssl takes 1,023

_SINGLE = {
    "p256": Algorithm.ECDSA_P256,
    "p384": Algorithm.ECDSA_P384,
    "p521": Algorithm.ECDSA_P521,
    "ed25519": Algorithm.ED25519,
    "ml-dsa-65": Algorithm.ML_DSA_65,
    "ml-dsa-87": Algorithm.ML_DSA_87,
}
KINDS: Mapping[str, tuple[Algorithm, ...]] = {
    **{name: (algorithm,) for name, algorithm in _SINGLE.items()},
    **{
        f"{classical}+{second}": (_SINGLE[classical], _SINGLE[second])
        for classical in ("p256", "p384", "p521", "ed25519")
        for second in ("ml-dsa-65", "ml-dsa-87")
    },
}
"""What can be made, by the names that ``keygen --type`` takes; the classical half of a pair comes first."""
DEFAULT_KIND = "p384"

_BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n(.{1,60000}?)^-----END \1-----[ \t\r]*$", re.DOTALL | re.MULTILINE
)
_PRIVATE_LABELS = frozenset({b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"EC PRIVATE KEY", b"OPENSSH PRIVATE KEY"})
_IGNORED = b"EC PARAMETERS"  # `openssl ecparam -genkey` puts the name of the curve in front of the key
_SSH_KINDS = (b"ssh-", b"ecdsa-", b"sk-")


def generate(kind: str) -> tuple[PrivateKey, ...]:
    """New keys of ``kind``, one of KINDS, from the system's source of randomness. UsageError for another kind."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind of key {kind}", hint=f"kinds: {', '.join(KINDS)}")
    return tuple(_generate(algorithm) for algorithm in KINDS[kind])


def read_private(path: str | os.PathLike[str], passphrase: Callable[[], bytes] | None = None) -> tuple[PrivateKey, ...]:
    """The one or two private keys in the file ``path``, in its order.

    ``passphrase`` is called once at most, and only if a key is encrypted. UsageError if the file holds no keys that can
    be used here, if a passphrase is needed and there is none, or if it is not the right one.
    """
    name = os.fspath(path)
    try:
        blocks = [(label, block) for label, block in _blocks(_read(path), name) if label != _IGNORED]
    except FormatError as error:
        raise UsageError(error.message) from error
    if not blocks:
        raise UsageError(f"{name} holds no private key", hint="name a PEM file; keygen writes one")
    unlock = _Once(passphrase, name)
    keys = []
    for label, block in blocks:
        if label not in _PRIVATE_LABELS:
            raise UsageError(f"{name} holds {label.decode()}, not a private key", hint="name the private half")
        keys.append(_load_private(label, block, name, unlock))
    _check_pair([key.public for key in keys], name, UsageError)
    return tuple(keys)


def read_public(path: str | os.PathLike[str]) -> tuple[PublicKey, ...]:
    """The one or two public keys in the file ``path``. UsageError if it holds none that can be used here."""
    try:
        return parse_public(_read(path), os.fspath(path))
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from error


def parse_public(data: bytes, name: str) -> tuple[PublicKey, ...]:
    """The one or two public keys that ``data`` holds: PEM blocks, or lines of ssh-keygen.

    FormatError, which names ``name``, if there are none that can be used here, or two that are no pair.
    """
    keys = []
    blocks = _blocks(data, name)
    for label, block in blocks:
        if label != b"PUBLIC KEY":
            raise FormatError(
                f"{name} holds {label.decode()}, not PUBLIC KEY",
                clause="13.8",
                hint=_PUBLIC_HINTS.get(label, ""),
            )
        keys.append(_pem_public(block, name))
    if not blocks:
        keys = [_ssh_public(line, name) for line in data.splitlines() if line.strip().startswith(_SSH_KINDS)]
    if not keys:
        raise FormatError(f"{name} holds no public key", clause="13.8", hint="name a PEM file; keygen writes KEY.pub")
    _check_pair(keys, name, FormatError)
    return tuple(keys)


def key_paths(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where a private key ``path`` and its public half would be written. UsageError if either name is taken."""
    secret = Path(path)
    if not secret.name:
        raise UsageError(f"{secret} is a folder", hint="name a file to write")
    public = secret.with_name(f"{secret.name}.pub")
    for wanted in (secret, public):
        if os.path.lexists(wanted):
            raise UsageError(f"{wanted} exists", hint="keys are never replaced: choose another name with -o")
    return secret, public


def write_keys(path: str | os.PathLike[str], keys: Sequence[PrivateKey], passphrase: bytes | None) -> tuple[Path, Path]:
    """Write ``keys`` to ``path`` and their public halves to ``path``.pub; the two paths.

    With ``passphrase`` each key is encrypted PKCS#8, with None it lies open. The private file can be read by its owner
    only, from its first byte on. Nothing that exists is replaced (UsageError): an overwritten key is lost for ever.
    Either both files are there afterwards or neither is.
    """
    if passphrase is not None and not 0 < len(passphrase) <= MAX_PASSPHRASE:
        raise UsageError(
            "the passphrase is too long" if passphrase else "the passphrase is empty",
            hint=f"1 to {MAX_PASSPHRASE} bytes; to leave the key unencrypted, say so: --no-passphrase",
        )
    secret, public = key_paths(path)
    private_text = "".join(_private_pem(key, passphrase) for key in keys).encode()
    public_text = "".join(key.public.pem for key in keys).encode()
    try:
        with _draft(public, public_text, 0o644) as first, _draft(secret, private_text, 0o600) as second:
            _give_name(first, public)
            try:
                _give_name(second, secret)
            except BaseException:
                public.unlink()  # our own: it did not exist before
                raise
            _synchronise(secret.parent)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"cannot write {secret} and {public}: {error.strerror or error}; neither was left",
            hint="choose a folder that you may write to",
        ) from error
    return secret, public


# Reading


class _Once:
    """A passphrase that is asked for when it is first needed, and then remembered for the second half of a pair."""

    __slots__ = ("_ask", "_found", "_name")

    def __init__(self, ask: Callable[[], bytes] | None, name: str) -> None:
        self._ask = ask
        self._name = name
        self._found: bytes | None = None

    def __call__(self) -> bytes:
        if self._found is None:
            if self._ask is None:
                raise UsageError(f"{self._name} is encrypted", hint="give its passphrase with --passphrase-file")
            self._found = self._ask()
        return self._found


def _read(path: str | os.PathLike[str]) -> bytes:
    data = read_small(path, MAX_FILE)
    if len(data) > MAX_FILE:
        raise UsageError(f"{os.fspath(path)} is too long for a file of keys", hint=f"at most {MAX_FILE} bytes")
    return data


def _blocks(data: bytes, name: str) -> list[tuple[bytes, bytes]]:
    """Label and whole text of each PEM block, in order; text between them is a comment (RFC 7468, 2).

    FormatError for a block that is cut off: half a pair would pass for a single key.
    """
    found = [(match[1], match[0].rstrip() + b"\n") for match in _BLOCK.finditer(data)]
    if len(found) != data.count(b"-----BEGIN "):
        raise FormatError(f"a block in {name} is incomplete", clause="13.8")
    return found


def _load_private(label: bytes, block: bytes, name: str, unlock: _Once) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    ssh = label.startswith(b"OPENSSH")
    load: Callable[[bytes, bytes | None], Any] = load_ssh_private_key if ssh else load_pem_private_key
    try:
        try:
            key = load(block, None)
        except TypeError:  # it is encrypted
            key = _unlocked(load, block, name, unlock())
    except UnsupportedAlgorithm as error:
        hint = (
            "keys that ssh-keygen encrypted need the package bcrypt: pip install bcrypt"
            if "bcrypt" in str(error)
            else ""
        )
        raise UsageError(
            f"the private key in {name} is of a kind that is not used here", hint=hint or _KINDS
        ) from error
    except ValueError as error:
        raise UsageError(f"the private key in {name} cannot be read", hint=_KINDS) from error
    try:
        return PrivateKey(key)
    except FormatError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from error


_KINDS = f"keys are {', '.join(_SINGLE)}; keygen makes one"


def _unlocked(load: Callable[[bytes, bytes | None], Any], block: bytes, name: str, passphrase: bytes) -> Any:
    try:
        return load(block, passphrase)
    except (ValueError, TypeError) as error:
        raise UsageError(f"the passphrase does not open {name}", hint="try again; it cannot be recovered") from error


_PUBLIC_HINTS = {
    b"CERTIFICATE": "take the key out: openssl x509 -in CERTIFICATE -noout -pubkey",
    **dict.fromkeys(_PRIVATE_LABELS, "name the public half: KEY.pub"),
}


def _pem_public(block: bytes, name: str) -> PublicKey:
    from base64 import b64decode
    from binascii import Error

    body = b"".join(block.split(b"\n")[1:-2]).replace(b"\r", b"")
    try:
        der = b64decode(body, validate=True)
    except Error as error:
        raise FormatError(f"the public key in {name} is not PEM", clause="13.8") from error
    try:
        return PublicKey.from_spki(der)
    except FormatError as error:
        raise FormatError(f"{name}: {error.message}", clause="13.8", hint=error.hint) from error


def _ssh_public(line: bytes, name: str) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        return public_key_of(load_ssh_public_key(line.strip()))
    except FormatError as error:
        raise FormatError(f"{name}: {error.message}", clause="13.8", hint=error.hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FormatError(f"the SSH key in {name} cannot be read", clause="13.8", hint=_KINDS) from error


def _check_pair(keys: Sequence[PublicKey], name: str, error: type[FormatError] | type[UsageError]) -> None:
    """Two keys in a file are one classical and one post-quantum: anything else is not a pair but a mistake."""
    if len(keys) > MAX_KEYS:
        raise error(f"{name} holds {len(keys)} keys", hint="a file holds one key, or a pair")
    if len(keys) == MAX_KEYS and keys[0].algorithm.post_quantum == keys[1].algorithm.post_quantum:
        raise error(
            f"{name} holds {keys[0].algorithm.value} and {keys[1].algorithm.value}, which are no pair",
            hint="a pair is one classical key and one ML-DSA key",
        )


# Writing


def _generate(algorithm: Algorithm) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

    makers: dict[Algorithm, Callable[[], object]] = {
        Algorithm.ECDSA_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
        Algorithm.ECDSA_P384: lambda: ec.generate_private_key(ec.SECP384R1()),
        Algorithm.ECDSA_P521: lambda: ec.generate_private_key(ec.SECP521R1()),
        Algorithm.ED25519: ed25519.Ed25519PrivateKey.generate,
        Algorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
        Algorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
    }
    return PrivateKey(makers[algorithm]())


def _private_pem(key: PrivateKey, passphrase: bytes | None) -> str:
    der = key.pkcs8()
    if passphrase is None:
        return pem_text("PRIVATE KEY", der)
    from llamafile_format.signing.keys.key_encryption import encrypt

    return pem_text("ENCRYPTED PRIVATE KEY", encrypt(der, passphrase))


@contextlib.contextmanager
def _draft(final: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A complete, synchronised file beside ``final`` under a name of its own; gone at the end of the block."""
    path = final.with_name(f".{final.name[:80]}.{secrets.token_hex(6)}.partial")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _give_name(draft: Path, final: Path) -> None:
    """Let the complete file ``draft`` appear as ``final``, unless somebody took that name meanwhile."""
    try:
        os.link(draft, final)  # fails if the name is taken, where a rename would overwrite a key
    except FileExistsError:
        raise UsageError(f"{final} appeared meanwhile", hint="keys are never replaced: choose another name") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(final):
            raise UsageError(
                f"{final} appeared meanwhile", hint="keys are never replaced: choose another name"
            ) from None
        draft.rename(final)


def _synchronise(folder: Path) -> None:
    """Make the new names durable, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
