"""Algorithms in CMS structures: their identifiers, spelt in one way each, and the check of a signature value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509 import der
from llamafile_format.signing.x509.cms_certificates import load
from llamafile_format.signing.x509.der import Element, Fields

DIGESTS = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.8": "sha3-256",
    "2.16.840.1.101.3.4.2.10": "sha3-512",
}
"""Object identifier of a digest function -> its id in the registry (11.6)."""
DIGEST_OIDS = {name: number for number, name in DIGESTS.items()}

_RSA, _MGF1, _PSS = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.8", "1.2.840.113549.1.1.10"
_RSA_WITH = {
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ECDSA_WITH = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
_ED25519, _ML_DSA_65, _ML_DSA_87 = "1.3.101.112", "2.16.840.1.101.3.4.3.18", "2.16.840.1.101.3.4.3.19"
_CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
_LEAST_RSA = 2048
NULL = der.encode(der.NULL)


def digest_function(identifier: Element, what: str) -> str:
    """The id of the digest function that an AlgorithmIdentifier names; parameters are NULL or absent."""
    fields = Fields(identifier, what)
    number = fields.take(der.OID, "object identifier").oid()
    fields.optional(der.NULL)
    fields.end()
    if number not in DIGESTS:
        raise FormatError(f"{what} names a function that this version does not know", found=number)
    return DIGESTS[number]


def digest(function: str, data: bytes) -> bytes:
    """The digest of ``data``. SHA-1 too, which RFC 5816 still has for naming a certificate beside other checks."""
    return hashlib.new(hash_name(function), data, usedforsecurity=False).digest()


def hash_name(function: str) -> str:
    """What Python calls a digest function of the registry."""
    return function.replace("-", "_")


def verify_value(certificate: bytes, function: str, identifier: Element, value: bytes, signed: bytes) -> str:
    """Check that ``value`` signs ``signed`` with the key of ``certificate``; the algorithm's id in the registry.

    ``function`` is the digest function that the signature names, ``identifier`` its AlgorithmIdentifier, which has to
    agree with it and with the kind of key. FormatError if it does not, or if the signature does not hold.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    number = Fields(identifier, "the algorithm of the signature").take(der.OID, "object identifier").oid()
    check = _checks(load(certificate).public_key(), function).get(identifier.encoded)
    if check is None:
        raise FormatError("the algorithm of the signature does not fit its key and digest function", found=number)
    name, verify = check
    try:
        verify(value, signed)
    except InvalidSignature:
        raise FormatError("the signature of the token does not hold") from None
    except UnsupportedAlgorithm as error:
        raise FormatError(f"the signature of the token cannot be checked: {error}") from error
    return name


_Check = tuple[str, Callable[[bytes, bytes], object]]


def _checks(key: object, function: str) -> dict[bytes, _Check]:
    """What a key of this kind may sign with: encoded AlgorithmIdentifier -> id in the registry, and the check.

    An identifier that is not spelt exactly so is refused: no signature covers it.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

    known: dict[str, hashes.HashAlgorithm] = {
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }
    if function not in known:
        return {}
    digest = known[function]
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _LEAST_RSA:
            raise FormatError(f"an RSA key of {key.key_size} bits", allowed=f"at least {_LEAST_RSA}")
        salted = padding.PSS(padding.MGF1(digest), digest.digest_size)
        plain = (f"rsa-{function}", lambda value, signed: key.verify(value, signed, padding.PKCS1v15(), digest))
        pss = (f"rsa-pss-{function}", lambda value, signed: key.verify(value, signed, salted, digest))
        return {
            _identifier(_RSA, NULL): plain,
            _identifier(_RSA_WITH[function], NULL): plain,
            _pss(function, digest.digest_size, NULL): pss,
            _pss(function, digest.digest_size, b""): pss,
        }
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        name = f"ecdsa-{_CURVES[key.curve.name]}-{function}"
        ecdsa = (name, lambda value, signed: key.verify(value, signed, ec.ECDSA(digest)))
        return {_identifier(_ECDSA_WITH[function]): ecdsa}
    if function == "sha512":  # RFC 8419, 3; RFC 9882, 3.3
        if isinstance(key, ed25519.Ed25519PublicKey):
            return {_identifier(_ED25519): ("ed25519", key.verify)}
        if isinstance(key, mldsa.MLDSA65PublicKey):
            return {_identifier(_ML_DSA_65): ("ml-dsa-65", key.verify)}
        if isinstance(key, mldsa.MLDSA87PublicKey):
            return {_identifier(_ML_DSA_87): ("ml-dsa-87", key.verify)}
    return {}


def _identifier(number: str, *parameters: bytes) -> bytes:
    return der.sequence(der.oid(number), *parameters)


def _pss(function: str, salt: int, parameters: bytes) -> bytes:
    """RSA-PSS with ``function`` for everything and a salt as long as the digest (RFC 4055)."""
    inner = _identifier(DIGEST_OIDS[function], parameters)
    return _identifier(
        _PSS,
        der.sequence(
            der.encode(der.context(0), inner),
            der.encode(der.context(1), _identifier(_MGF1, inner)),
            der.encode(der.context(2), der.integer(salt)),
        ),
    )
