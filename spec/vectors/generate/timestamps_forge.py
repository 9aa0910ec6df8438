"""Time stamps (RFC 3161) written by hand, byte by byte, in DER: no tool makes tokens with the faults that are needed.

Every part is a plain argument, so that a vector's fault is one of them. Digests and signature are computed after the
changes, as a faulty or hostile authority would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from spec.vectors.generate.signatures_certificates import LATER_LEAF, STAMP_LEAF, Certificate

OIDS = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "sha3-256": "2.16.840.1.101.3.4.2.8",
    "sha3-512": "2.16.840.1.101.3.4.2.10",
    "sha1": "1.3.14.3.2.26",
    "ecdsa-sha256": "1.2.840.10045.4.3.2",
    "ecdsa-sha384": "1.2.840.10045.4.3.3",
    "ecdsa-sha512": "1.2.840.10045.4.3.4",
    "signed-data": "1.2.840.113549.1.7.2",
    "content-type": "1.2.840.113549.1.9.3",
    "message-digest": "1.2.840.113549.1.9.4",
    "signing-certificate-2": "1.2.840.113549.1.9.16.2.47",
    "time-stamp": "1.2.840.113549.1.9.16.1.4",
    "policy": "1.3.6.1.4.1.99999.1",
}
HASHES = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
    "sha3-256": hashlib.sha3_256,
    "sha3-512": hashlib.sha3_512,
}
DIGEST_OF = {"p256": "sha256", "p384": "sha384", "p521": "sha512"}
TIME = datetime(2026, 11, 21, 15, 0, 0, tzinfo=UTC)


def tlv(tag: int, *content: bytes) -> bytes:
    """Tag, shortest length, content."""
    body = b"".join(content)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(body).to_bytes(size, "big") + body


def sequence(*content: bytes) -> bytes:
    """SEQUENCE."""
    return tlv(0x30, *content)


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(data: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(4, data)


def oid(name: str) -> bytes:
    """OBJECT IDENTIFIER, by its name in ``OIDS`` or as numbers."""
    first, second, *rest = map(int, OIDS.get(name, name).split("."))
    out = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 127]
        while number := number >> 7:
            groups.append(number & 127 | 128)
        out += bytes(reversed(groups))
    return tlv(6, bytes(out))


def set_of(tag: int, items: Sequence[bytes]) -> bytes:
    """SET OF, in DER's order."""
    return tlv(tag, *sorted(items))


def algorithm(name: str) -> bytes:
    """AlgorithmIdentifier without parameters."""
    return sequence(oid(name))


@dataclass
class Stamp:
    """A token over ``imprint`` (of function ``function``), and what may be wrong with it."""

    imprint: bytes
    function: str = "sha256"
    signer: Certificate = STAMP_LEAF
    time: datetime = TIME
    serial: int = 1001
    certificates: tuple[Certificate, ...] | None = None
    unsigned: bytes = b""
    lists: tuple[bytes, ...] = ()
    status: int = 0
    words: str = ""
    clock: str = ""
    version: int = 3
    signature_flip: bool = False
    digest_flip: bool = False
    extra: bytes = b""
    nonce: int | None = None

    def info(self) -> bytes:
        """TSTInfo."""
        clock = self.clock or self.time.strftime("%Y%m%d%H%M%SZ")
        return sequence(
            integer(1),
            oid("policy"),
            sequence(algorithm(self.function), octets(self.imprint)),
            integer(self.serial),
            tlv(0x18, clock.encode()),
            b"" if self.nonce is None else integer(self.nonce),
            self.extra,
        )

    def encode(self) -> bytes:
        """TimeStampResp."""
        key, info = self.signer.key, self.info()
        function = DIGEST_OF[key.kind]
        digest = HASHES[function](info).digest()
        if self.digest_flip:
            digest = bytes([digest[0] ^ 1]) + digest[1:]
        own = sequence(octets(hashlib.sha256(self.signer.der).digest()))  # SHA-256 is the default of ESSCertIDv2
        attributes = [
            sequence(oid("content-type"), set_of(0x31, [oid("time-stamp")])),
            sequence(oid("message-digest"), set_of(0x31, [octets(digest)])),
            sequence(oid("signing-certificate-2"), set_of(0x31, [sequence(sequence(own))])),
        ]
        signature = key.sign(set_of(0x31, attributes))
        if self.signature_flip:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        issuer = x509.load_der_x509_certificate(self.signer.der).issuer.public_bytes()
        signer_info = sequence(
            integer(1),
            sequence(issuer, integer(self.signer.serial)),
            algorithm(function),
            set_of(0xA0, attributes),
            algorithm(f"ecdsa-{function}"),
            octets(signature),
            self.unsigned,
        )
        held = (self.signer,) if self.certificates is None else self.certificates
        data = sequence(
            integer(self.version),
            set_of(0x31, [algorithm(function)]),
            sequence(oid("time-stamp"), tlv(0xA0, octets(info))),
            set_of(0xA0, [certificate.der for certificate in held]) if held else b"",
            set_of(0xA1, self.lists) if self.lists else b"",
            set_of(0x31, [signer_info]),
        )
        words = sequence(tlv(0x0C, self.words.encode())) if self.words else b""
        token = sequence(oid("signed-data"), tlv(0xA0, data))
        return sequence(sequence(integer(self.status), words), token)


LATER = {"signer": LATER_LEAF, "time": datetime(2035, 6, 1, 12, 0, 0, tzinfo=UTC), "serial": 2001}
"""A renewal by another authority, before the first one's certificate ends."""
