"""Public and private keys: one kind of key, one algorithm, one encoding of signatures (spec/1, 13.8).

Nothing here asks a file how to verify it. A key says what it is; a signature is a byte string that holds or does not.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.algorithms import Algorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

MAX_SPKI = 16_384  # bytes; the largest key here, ML-DSA-87, has 2,614
_LENGTHS = {Algorithm.ED25519: 64, Algorithm.ML_DSA_65: 3309, Algorithm.ML_DSA_87: 4627}
_CURVES = {"secp256r1": Algorithm.ECDSA_P256, "secp384r1": Algorithm.ECDSA_P384, "secp521r1": Algorithm.ECDSA_P521}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as its SubjectPublicKeyInfo in DER (RFC 5280), and the algorithm that follows from it."""

    algorithm: Algorithm
    spki: bytes

    @classmethod
    def from_spki(cls, der: bytes) -> PublicKey:
        """Read ``der`` strictly. FormatError if it is not one key of a known kind, spelt the one way DER allows."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        if len(der) > MAX_SPKI:
            raise FormatError("the public key is too long", found=f"{len(der)} bytes", clause="13.8")
        try:
            key = load_der_public_key(der)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise FormatError("not a public key that can be used here", clause="13.8", hint=_KINDS_HINT) from error
        public = public_key_of(key)
        if public.spki != der:  # a second spelling would be a second key id for the same key
            raise FormatError(
                "the public key is not spelt as it should be",
                allowed="DER with an uncompressed point",
                clause="13.8",
                hint="write it anew: openssl pkey -pubin -in KEY.pub -pubout -ec_conv_form uncompressed",
            )
        return public

    @property
    def key_id(self) -> str:
        """The name of the key here: SHA-256 of its DER, in hexadecimal."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def hint(self) -> str:
        """The name of the key in OpenSSF Model Signing: SHA-256 of its PEM text, in hexadecimal."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    @property
    def pem(self) -> str:
        """The key as PEM: lines of 64 columns, each with its line feed (RFC 7468)."""
        return pem_text("PUBLIC KEY", self.spki)

    def verify(self, signature: bytes, data: bytes) -> bool:
        """True if ``signature`` is this key's signature of ``data``, in the one encoding of its algorithm.

        Anything else is False, never an exception: a signature comes from a file that nobody vouched for yet.
        """
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

        if not _well_formed(self.algorithm, signature):
            return False
        try:
            key = _loaded(self.spki)
            if self.algorithm.oms:
                key.verify(signature, data, _ecdsa(self.algorithm))
            else:
                key.verify(signature, data)  # ML-DSA: pure, with an empty context
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            return False
        return True


def pem_text(label: str, der: bytes) -> str:
    """``der`` as a PEM block with lines of 64 columns (RFC 7468)."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


class Signer(Protocol):
    """Whatever can sign: a key in memory, a command that reaches a token."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this signs."""

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``, in the encoding of the key's algorithm."""


class PrivateKey:
    """A private key in memory. Its secret is never shown: not by repr, not by str."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Any) -> None:
        """Take a private key object of the package cryptography; FormatError if it is of a kind not used here."""
        self._key = key
        self.public = public_key_of(key.public_key())

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.algorithm.value}, {self.public.key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``. ECDSA takes its nonce from key and data (RFC 6979): the same file, the same bytes.

        A nonce that repeats or leaks gives the key away; one that is computed cannot come from a poor source.
        """
        algorithm = self.public.algorithm
        signature: bytes = self._key.sign(data, _ecdsa(algorithm)) if algorithm.oms else self._key.sign(data)
        return signature

    def pkcs8(self) -> bytes:
        """The key as unencrypted PKCS#8 in DER (RFC 5958); ML-DSA keys as their seed."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        der: bytes = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return der


def public_key_of(key: Any) -> PublicKey:
    """The PublicKey for a public key object of the package cryptography; FormatError if its kind is not used here."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    algorithm: Algorithm | None = None
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = _CURVES.get(key.curve.name)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        algorithm = Algorithm.ED25519
    elif isinstance(key, mldsa.MLDSA65PublicKey):
        algorithm = Algorithm.ML_DSA_65
    elif isinstance(key, mldsa.MLDSA87PublicKey):
        algorithm = Algorithm.ML_DSA_87
    if algorithm is None:
        raise FormatError(f"{_kind_name(key)} keys are not used here", clause="13.8", hint=_KINDS_HINT)
    return PublicKey(algorithm, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _kind_name(key: Any) -> str:
    curve = getattr(getattr(key, "curve", None), "name", "")
    return curve or type(key).__name__.removesuffix("PublicKey").lstrip("_")


_KINDS_HINT = "keys are P-256, P-384, P-521, Ed25519, ML-DSA-65 or ML-DSA-87; make one with keygen"


def _well_formed(algorithm: Algorithm, signature: bytes) -> bool:
    """Whether the bytes are the one encoding of some signature: fixed length, or minimal DER of two numbers."""
    if algorithm in _LENGTHS:
        return len(signature) == _LENGTHS[algorithm]
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    try:
        return encode_dss_signature(*decode_dss_signature(signature)) == signature
    except (ValueError, TypeError, OverflowError):
        return False


def _ecdsa(algorithm: Algorithm) -> ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    digests: dict[str, hashes.HashAlgorithm] = {
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }
    return ec.ECDSA(digests[algorithm.digest], deterministic_signing=True)


@lru_cache(maxsize=1024)
def _loaded(spki: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(spki)
