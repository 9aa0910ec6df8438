"""Keys of the signature vectors: fixed private keys, made from their names, so that every signature is the same again.

They are published with the vectors and vouch for nothing. Signing is deterministic: ECDSA by RFC 6979, ML-DSA with the
all-zero randomiser of FIPS 204. ML-DSA is computed by an implementation that the library does not use.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import textwrap
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "p256": (ec.SECP256R1(), hashes.SHA256()),
    "p384": (ec.SECP384R1(), hashes.SHA384()),
    "p521": (ec.SECP521R1(), hashes.SHA512()),
}
_ML_DSA = {"ml-dsa-65": bytes.fromhex("0609608648016503040312"), "ml-dsa-87": bytes.fromhex("0609608648016503040313")}


@dataclass(frozen=True, slots=True)
class Key:
    """A private key: ``kind`` is p256, p384, p521, ed25519, ml-dsa-65 or ml-dsa-87; ``name`` decides its bits."""

    kind: str
    name: str

    @property
    def seed(self) -> bytes:
        """64 bytes that nobody should use for anything."""
        return hashlib.sha512(f"vectors of llamafile-format: {self.kind} {self.name}".encode()).digest()

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return _spki(self)

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo, PEM: 64 columns, LF at the end."""
        body = "\n".join(textwrap.wrap(base64.b64encode(self.spki).decode(), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"

    @property
    def id(self) -> str:
        """The key id: SHA-256 of the DER."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def hint(self) -> str:
        """The hint of OMS: SHA-256 of the PEM text."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    @property
    def record(self) -> str:
        """The kind of the record that a signature of this key goes into."""
        return "oms" if self.kind in CURVES else "sig"

    def sign(self, data: bytes) -> bytes:
        """The one signature of this key over ``data``."""
        return _sign(self, data)


@functools.cache
def private(key: Key) -> Any:
    """The private key as an object of the package cryptography (not for ML-DSA)."""
    if key.kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(key.seed[:32])
    curve = CURVES[key.kind][0]
    return ec.derive_private_key(int.from_bytes(key.seed[: curve.key_size // 8 - 1], "big"), curve)


@functools.cache
def _ml_dsa(key: Key) -> tuple[Any, bytes, bytes]:
    from dilithium_py.ml_dsa import ML_DSA_65, ML_DSA_87

    scheme = {"ml-dsa-65": ML_DSA_65, "ml-dsa-87": ML_DSA_87}[key.kind]
    public, secret = scheme.key_derive(key.seed[:32])
    return scheme, public, secret


@functools.cache
def _spki(key: Key) -> bytes:
    if key.kind in _ML_DSA:
        public = _ml_dsa(key)[1]
        bits = b"\0" + public
        algorithm = b"\x30" + bytes([len(_ML_DSA[key.kind])]) + _ML_DSA[key.kind]
        body = algorithm + b"\x03\x82" + len(bits).to_bytes(2, "big") + bits
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der: bytes = private(key).public_key().public_bytes(serialization.Encoding.DER, form)
    return der


@functools.cache
def _sign(key: Key, data: bytes) -> bytes:
    signature: bytes
    if key.kind in _ML_DSA:
        scheme, _, secret = _ml_dsa(key)
        signature = scheme.sign(secret, data, deterministic=True)
    elif key.kind == "ed25519":
        signature = private(key).sign(data)
    else:
        signature = private(key).sign(data, ec.ECDSA(CURVES[key.kind][1], deterministic_signing=True))
    return signature


CURATOR = Key("p384", "curator")
"""Signs most vectors; trusted where somebody is."""
CURATOR_PQ = Key("ml-dsa-65", "curator")
"""The post-quantum half of the curator's pair."""
ARCHIVE = Key("ed25519", "archive")
"""An archive that countersigns."""
SECOND = Key("p256", "second")
"""Another assembler, for thresholds."""
OLD = Key("p521", "old")
"""A key whose owner's rule has ended."""
STRANGER = Key("p384", "stranger")
"""Nobody trusts this one."""
PUBLISHER = Key("p256", "publisher")
"""The maker of the weights."""
