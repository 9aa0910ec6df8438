"""Certificates in a time-stamp token: what they say of themselves, and whether each was signed by the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509 import der
from llamafile_format.signing.x509.der import Fields

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_CERTIFICATE = 65_536  # bytes; those with the largest keys and signatures here have 8,000
_LIST_END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True)
class Names:
    """Serial number, issuer and subject of a certificate, encoded, and its two statements of the algorithm."""

    serial: bytes
    issuer: bytes
    subject: bytes
    algorithms: tuple[bytes, bytes]


def names(certificate: bytes) -> Names:
    """What a certificate says of itself; FormatError if it is not a certificate in DER of a size that one has."""
    if len(certificate) > MAX_CERTIFICATE:
        allowed = f"{MAX_CERTIFICATE} bytes"
        raise FormatError("a certificate is too long", found=len(certificate), allowed=allowed, clause="13.9.12")
    outer = Fields(der.parse(certificate, "a certificate"), "a certificate")
    body = Fields(outer.take(der.SEQUENCE, "body"), "a certificate")
    algorithm = outer.take(der.SEQUENCE, "algorithm").encoded
    if outer.take(der.BIT_STRING, "signature").content[0]:
        raise FormatError("the signature of a certificate is no whole number of bytes")  # parsers ignore this count
    outer.end()
    body.optional(der.context(0))
    serial = body.take(der.INTEGER, "serial number")
    if serial.integer() <= 0:
        raise FormatError("the serial number of a certificate is not positive (RFC 5280, 4.1.2.2)")
    inner = body.take(der.SEQUENCE, "algorithm").encoded
    issuer = body.take(der.SEQUENCE, "issuer").encoded
    body.take(der.SEQUENCE, "validity")
    return Names(serial.encoded, issuer, body.take(der.SEQUENCE, "subject").encoded, (inner, algorithm))


def load(certificate: bytes) -> Certificate:
    """``certificate`` for use; FormatError if it is not one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import InvalidVersion, load_der_x509_certificate

    try:
        loaded = load_der_x509_certificate(certificate)
        loaded.public_key()
    except (ValueError, InvalidVersion, UnsupportedAlgorithm) as error:
        raise FormatError(f"a certificate cannot be read: {error}") from error
    return loaded


def issued(certificate: bytes, issuer: bytes) -> bool:
    """Whether ``issuer`` names and signed ``certificate``."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    about = names(certificate)
    if about.issuer != names(issuer).subject or about.algorithms[0] != about.algorithms[1]:
        return False
    try:
        load(certificate).verify_directly_issued_by(load(issuer))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def chain_within(leaf: bytes, certificates: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """``leaf`` and its issuers as far as ``certificates`` has them, each signed by the next; a root signs itself."""
    chain, left = [leaf], [item for item in certificates if item != leaf]
    while not self_issued(chain[-1]):
        issuer = next((item for item in left if issued(chain[-1], item)), None)
        if issuer is None:
            break
        left.remove(issuer)
        chain.append(issuer)
    return tuple(chain)


def self_issued(certificate: bytes) -> bool:
    """Whether subject and issuer are the same."""
    about = names(certificate)
    return about.issuer == about.subject


def read_revocation_lists(data: bytes, name: str) -> tuple[bytes, ...]:
    """The revocation lists in ``data``, as DER, in order: PEM blocks, or one list in DER. ``name`` is for messages."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_crl, load_pem_x509_crl

    try:
        if _LIST_END not in data:
            return (load_der_x509_crl(data).public_bytes(Encoding.DER),)
        blocks = [block + _LIST_END for block in data.split(_LIST_END)[:-1]]
        return tuple(load_pem_x509_crl(block).public_bytes(Encoding.DER) for block in blocks)
    except ValueError as error:
        raise FormatError(f"{name} holds no readable revocation list: {error}", clause="13.9") from error
