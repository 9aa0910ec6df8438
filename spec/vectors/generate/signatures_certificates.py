"""Certificates of the signature vectors: fixed serials, dates and keys, signed deterministically."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from spec.vectors.generate.signatures_keys import CURVES, Key, private

CODE, STAMPING, SERVER = (
    ExtendedKeyUsageOID.CODE_SIGNING,
    ExtendedKeyUsageOID.TIME_STAMPING,
    ExtendedKeyUsageOID.SERVER_AUTH,
)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate to be made. ``usage`` None makes an authority; ``issuer`` None one that signs itself.

    ``permitted`` and ``excluded`` are name constraints (critical unless they are directory names, which libraries do
    not know), ``more`` is the content of an extension that nobody knows.
    """

    key: Key
    name: str
    serial: int
    issuer: Certificate | None = None
    usage: x509.ObjectIdentifier | None = None
    san: tuple[x509.GeneralName, ...] = ()
    permitted: tuple[x509.GeneralName, ...] = ()
    excluded: tuple[x509.GeneralName, ...] = ()
    more: bytes = b""
    begin: datetime = BEGIN
    end: datetime = datetime(2056, 1, 1, tzinfo=UTC)

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return _made(self).public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate, PEM."""
        return _made(self).public_bytes(Encoding.PEM).decode()


@functools.cache
def _made(what: Certificate) -> x509.Certificate:
    issuer = what.issuer or what
    public = private(what.key).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(what.name))
        .issuer_name(_name(issuer.name))
        .public_key(public)
        .serial_number(what.serial)
        .not_valid_before(what.begin)
        .not_valid_after(what.end)
    )
    authority = what.usage is None
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if what.issuer is not None:
        above = private(issuer.key).public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    if what.usage is not None:
        critical = what.usage == STAMPING
        builder = builder.add_extension(x509.ExtendedKeyUsage([what.usage]), critical=critical)
    if what.permitted or what.excluded:
        limits = x509.NameConstraints(list(what.permitted) or None, list(what.excluded) or None)
        known = not any(isinstance(name, x509.DirectoryName) for name in (*what.permitted, *what.excluded))
        builder = builder.add_extension(limits, critical=known)
    if what.more:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), what.more)
        builder = builder.add_extension(unknown, critical=False)
    if what.san:
        builder = builder.add_extension(x509.SubjectAlternativeName(what.san), critical=False)
    return builder.sign(private(issuer.key), CURVES[issuer.key.kind][1], ecdsa_deterministic=True)


def revocations(issuer: Certificate, *serials: int, day: datetime = datetime(2026, 6, 1, tzinfo=UTC)) -> bytes:
    """A certificate revocation list of ``issuer``, DER."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(_name(issuer.name))
    builder = builder.last_update(day).next_update(datetime(2056, 1, 1, tzinfo=UTC))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(day).build()
        builder = builder.add_revoked_certificate(entry)
    algorithm = CURVES[issuer.key.kind][1]
    return builder.sign(private(issuer.key), algorithm, ecdsa_deterministic=True).public_bytes(Encoding.DER)


MAIL = (x509.RFC822Name("curator@example.org"),)
ROOT = Certificate(Key("p384", "root"), "Vectors Root", 1)
LEAF = Certificate(Key("p256", "leaf"), "Curator", 2, ROOT, CODE, MAIL)
SERVER_LEAF = Certificate(Key("p256", "server"), "www.example.org", 3, ROOT, SERVER, (x509.DNSName("www.example.org"),))
OTHER_LEAF = Certificate(Key("p256", "other"), "Somebody", 4, ROOT, CODE, (x509.RFC822Name("somebody@example.org"),))
FALSE_ROOT = Certificate(Key("p384", "false root"), "Vectors Root", 1)
FALSE_LEAF = Certificate(Key("p256", "false leaf"), "Curator", 2, FALSE_ROOT, CODE, MAIL)

NOBODY_LEAF = Certificate(Key("p256", "nobody"), "curator@example.org", 5, ROOT, CODE)
URI_LEAF = Certificate(
    Key("p256", "uri"), "Somebody", 6, ROOT, CODE, (x509.UniformResourceIdentifier("urn:curator@example.org"),)
)
HOST_LEAF = Certificate(Key("p256", "host"), "Somebody", 7, ROOT, CODE, (x509.DNSName("curator.example.org"),))


def confined(
    number: int, san: tuple[x509.GeneralName, ...] = MAIL, **limits: tuple[x509.GeneralName, ...]
) -> Certificate:
    """A signer's certificate of an authority below the root whose names are confined."""
    name = f"confined {number}"
    authority = Certificate(Key("p384", name), f"Confined Authority {number}", 70 + number, ROOT, **limits)  # type: ignore[arg-type]
    return Certificate(Key("p256", name), "Somebody", 80 + number, authority, CODE, san)


STAMP_ROOT = Certificate(Key("p256", "stamp root"), "Vectors Time Root", 10)
STAMP_LEAF = Certificate(
    Key("p256", "stamp leaf"), "Vectors Time Stamps", 11, STAMP_ROOT, STAMPING, end=datetime(2036, 1, 1, tzinfo=UTC)
)
LATER_ROOT = Certificate(Key("p521", "later root"), "Later Time Root", 20)
LATER_LEAF = Certificate(
    Key("p256", "later leaf"), "Later Time Stamps", 21, LATER_ROOT, STAMPING, end=datetime(2046, 1, 1, tzinfo=UTC)
)
FALSE_STAMP_ROOT = Certificate(Key("p256", "false stamp root"), "Vectors Time Root", 10)
FALSE_STAMP_LEAF = Certificate(Key("p256", "false stamp leaf"), "Vectors Time Stamps", 11, FALSE_STAMP_ROOT, STAMPING)
