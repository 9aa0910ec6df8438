"""Certificates for tests: an authority, one below it, and signers of every sort, all made from seeded keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from llamafile_format.signing.keys.key import PublicKey
from llamafile_format.signing.records.envelope import encode_bundle, pae

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
PrivateKey = Any
_serials = iter(range(1000, 1 << 20))


def p256() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def when(year: int, month: int = 1, day: int = 1) -> datetime:
    """Midnight of that day in UTC."""
    return datetime(year, month, day, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM, unencrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, payload: bytes, chain: Sequence[Issued] = ()) -> bytes:
        """A bundle around ``payload`` by this certificate (P-256), followed by ``chain``."""
        public = PublicKey.from_spki(spki(self.key))
        signature = self.key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
        return encode_bundle(payload, signature, public=public, certificates=(self.der, *(one.der for one in chain)))


def spki(key: PrivateKey) -> bytes:
    """The public half in DER."""
    from cryptography.hazmat.primitives.serialization import PublicFormat

    data: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    key: PrivateKey = None,
    authority: bool = False,
    usages: Sequence[x509.ObjectIdentifier] = (),
    critical: bool = False,
    email: str = "",
    uri: str = "",
    dns: str = "",
    years: tuple[int, int] = (2020, 2060),
    path_length: int | None = None,
    digest: hashes.HashAlgorithm | None = None,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    serial: int = 0,
) -> Issued:
    """A certificate for ``name``, signed by ``issuer`` or by itself; valid from 1 January to 1 January of ``years``."""
    key = key if key is not None else p256()
    signer = issuer.key if issuer else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or next(_serials))
        .not_valid_before(when(years[0]))
        .not_valid_after(when(years[1]))
        .add_extension(x509.BasicConstraints(authority, path_length if authority else None), critical=True)
        .add_extension(_key_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    names: list[x509.GeneralName] = []
    names += [x509.RFC822Name(email)] if email else []
    names += [x509.UniformResourceIdentifier(uri)] if uri else []
    names += [x509.DNSName(dns)] if dns else []
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not name)  # RFC 5280, 4.2.1.6
    for extension, is_critical in more:
        builder = builder.add_extension(extension, critical=is_critical)
    plain = isinstance(signer, ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey)
    algorithm = None if plain else digest or hashes.SHA256()
    return Issued(builder.sign(signer, algorithm), key)  # type: ignore[arg-type]


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def revoke(
    issuer: Issued, serial: int, day: datetime, *, key: PrivateKey = None, lost: datetime | None = None
) -> bytes:
    """A revocation list in DER that calls ``serial`` revoked on ``day``; ``lost`` is when its key was lost."""
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(day)
    if lost is not None:
        entry = entry.add_extension(x509.InvalidityDate(lost), critical=False)
    built = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(day)
        .next_update(day.replace(year=day.year + 1))
        .add_revoked_certificate(entry.build())
    )
    return built.sign(key or issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class World:
    """A root, an authority below it, and a signer ``release@example.org`` for code."""

    root: Issued
    middle: Issued
    signer: Issued

    @property
    def roots(self) -> tuple[bytes, ...]:
        """What a policy would name."""
        return (self.root.der,)


def world(**signer: Any) -> World:
    """A new world; ``signer`` changes how its signer's certificate is made."""
    root = issue("Example Root", authority=True)
    middle = issue("Example Signing", root, authority=True)
    wanted: dict[str, Any] = {"usages": (CODE_SIGNING,), "email": "release@example.org", **signer}
    return World(root, middle, issue("Release", middle, **wanted))


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A new RSA key."""
    return rsa.generate_private_key(65537, bits)
