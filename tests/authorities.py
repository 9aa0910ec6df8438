"""Certificate authorities, signers and time-stamping authorities for tests: at any date, without a clock.

Keys come from names, elliptic-curve signatures are deterministic and serial numbers are counted, so the same calls make
the same bytes (but for RSA and ML-DSA). Everything here but the DER writer is built apart from the code under test.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from llamafile_format.signing.x509 import der

EARLY, LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
DIGEST_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "sha3-256": "2.16.840.1.101.3.4.2.8",
    "sha3-512": "2.16.840.1.101.3.4.2.10",
}
NULL = der.encode(der.NULL)


@cache
def private_key(kind: str, name: str) -> Any:
    """The key of a name; ``kind`` is p256, p384, p521, ed25519, ml-dsa-65, ml-dsa-87, or rsa with its bits."""
    seed = hashlib.sha512(f"{kind} {name}".encode()).digest()
    if kind in CURVES:
        return ec.derive_private_key(int.from_bytes(seed[:30], "big") + 1, CURVES[kind])
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed[:32])
    if kind == "ml-dsa-65":
        return mldsa.MLDSA65PrivateKey.from_seed_bytes(seed[:32])
    if kind == "ml-dsa-87":
        return mldsa.MLDSA87PrivateKey.from_seed_bytes(seed[:32])
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


def natural_hash(key: Any) -> str:
    """The digest function that belongs to a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "sha256", 384: "sha384"}.get(key.curve.key_size, "sha512")
    return "sha256" if isinstance(key, rsa.RSAPrivateKey) else "sha512"


@dataclass(frozen=True)
class Authority:
    """Whoever has a key and a certificate: a root, an authority under it, a time-stamping authority, a signer."""

    name: str
    key: Any
    certificate: x509.Certificate
    issuer: Authority | None = None

    @classmethod
    def create(
        cls, name: str, key: str = "p256", not_before: datetime = EARLY, not_after: datetime = LATE
    ) -> Authority:
        """A root that signs itself."""
        return _issue(None, name, key, (not_before, not_after), _authority_extensions())

    def intermediate(
        self, name: str, key: str = "p256", not_before: datetime = EARLY, not_after: datetime = LATE
    ) -> Authority:
        """An authority under this one."""
        return _issue(self, name, key, (not_before, not_after), _authority_extensions())

    def tsa(
        self, name: str = "", key: str = "p256", not_before: datetime = EARLY, not_after: datetime = LATE
    ) -> Authority:
        """A time-stamping authority under this one (RFC 3161, 2.3)."""
        extensions = _leaf_extensions()
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True))
        return _issue(self, name or f"{self.name} stamps", key, (not_before, not_after), extensions)

    def leaf(
        self,
        name: str,
        key: str = "p384",
        not_before: datetime = EARLY,
        not_after: datetime = LATE,
        *,
        email: str = "",
        uri: str = "",
        usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CODE_SIGNING,),
    ) -> Authority:
        """A signer under this one, for code signing unless told otherwise."""
        names: list[x509.GeneralName] = [x509.RFC822Name(email)] if email else []
        names += [x509.UniformResourceIdentifier(uri)] if uri else []
        extensions = _leaf_extensions()
        extensions += [(x509.ExtendedKeyUsage(usages), False)] if usages else []
        extensions += [(x509.SubjectAlternativeName(names), False)] if names else []
        return _issue(self, name, key, (not_before, not_after), extensions)

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate as text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8 text, not encrypted."""
        return self.key.private_bytes(  # type: ignore[no-any-return]
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def chain(self) -> tuple[Authority, ...]:
        """This one and everybody above it, the root last."""
        return (self, *(self.issuer.chain if self.issuer else ()))

    def revocation_list(self, *revoked: tuple[Authority, datetime], at: datetime = EARLY) -> bytes:
        """A revocation list (DER) of this authority, made ``at``."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(at).next_update(LATE)
        for whom, when in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(whom.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(when).build())
        made = builder.sign(self.key, _x509_hash(self.key), ecdsa_deterministic=_deterministic(self.key))
        return made.public_bytes(serialization.Encoding.DER)


def _authority_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage(key_cert_sign=True, crl_sign=True), True),
    ]


def _leaf_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True), True),
    ]


def _key_usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every})


def _x509_hash(key: Any) -> Any:
    return HASHES[natural_hash(key)] if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None


def _deterministic(key: Any) -> bool | None:
    return True if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _issue(
    issuer: Authority | None,
    name: str,
    kind: str,
    validity: tuple[datetime, datetime],
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> Authority:
    key = private_key(kind, name)
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = issuer.key if issuer else key
    said = f"{issuer.name if issuer else ''}/{name}/{kind}/{validity[0]:%Y%m%d}-{validity[1]:%Y%m%d}"
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(issuer.certificate.subject if issuer else own)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(said.encode()).digest()[:12], "big") | 1)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(signing, _x509_hash(signing), ecdsa_deterministic=_deterministic(signing))
    return Authority(name, key, certificate, issuer)


# -- time stamps ------------------------------------------------------------------------------------------------------


def algorithm(oid: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier."""
    return der.sequence(der.oid(oid), *parameters)


def attribute(oid: str, *values: bytes) -> bytes:
    """An attribute with its values."""
    return der.sequence(der.oid(oid), der.set_of(list(values)))


def sign(key: Any, digest: str, data: bytes) -> tuple[bytes, bytes]:
    """(AlgorithmIdentifier, signature) over ``data``."""
    function = HASHES[digest]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = {"sha256": "2", "sha384": "3", "sha512": "4"}[digest]
        return algorithm(f"1.2.840.10045.4.3.{number}"), key.sign(data, ec.ECDSA(function, deterministic_signing=True))
    if isinstance(key, rsa.RSAPrivateKey):
        return algorithm("1.2.840.113549.1.1.1", NULL), key.sign(data, padding.PKCS1v15(), function)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return algorithm("1.3.101.112"), key.sign(data)
    number = "18" if isinstance(key, mldsa.MLDSA65PrivateKey) else "19"
    return algorithm(f"2.16.840.1.101.3.4.3.{number}"), key.sign(data)


def time_stamp_info(
    digest_algorithm: str,
    digest: bytes,
    time: datetime,
    *,
    serial: int = 1,
    nonce: int | None = None,
    more: bytes = b"",
    policy: str = "1.2.3.4.1",
) -> bytes:
    """A TSTInfo (RFC 3161, 2.4.2); ``more`` is appended to its fields."""
    fraction = f".{time.microsecond:06d}".rstrip("0") if time.microsecond else ""
    return der.sequence(
        der.integer(1),
        der.oid(policy),
        der.sequence(algorithm(DIGEST_OIDS[digest_algorithm], NULL), der.octets(digest)),
        der.integer(serial),
        der.encode(der.GENERALIZED_TIME, f"{time.astimezone(UTC):%Y%m%d%H%M%S}{fraction}Z".encode()),
        *([] if nonce is None else [der.integer(nonce)]),
        more,
    )


@dataclass(frozen=True)
class TokenParts:
    """Everything that a token is made of; a test replaces a part and encodes the rest as it is."""

    info: bytes
    signer: Authority
    certificates: tuple[bytes, ...]
    digest: str = "sha256"
    status: bytes = der.sequence(der.integer(0))
    attributes: tuple[bytes, ...] | None = None
    unsigned: bytes = b""
    lists: bytes = b""
    ordered: bool = True

    def signed_attributes(self) -> list[bytes]:
        """Content type, digest of the contents, binding of the signer's certificate."""
        bound = der.sequence(der.sequence(der.octets(hashlib.sha256(self.signer.der).digest())))
        return [
            attribute("1.2.840.113549.1.9.3", der.oid("1.2.840.113549.1.9.16.1.4")),
            attribute("1.2.840.113549.1.9.4", der.octets(hashlib.new(self.digest, self.info).digest())),
            attribute("1.2.840.113549.1.9.16.2.47", der.sequence(bound)),
        ]

    def encode(self) -> bytes:
        """The TimeStampResp."""
        attributes = list(self.attributes) if self.attributes is not None else self.signed_attributes()
        signed = der.set_of(attributes)
        identifier, value = sign(self.signer.key, self.digest, signed)
        certificate = self.signer.certificate
        digest = algorithm(DIGEST_OIDS[self.digest], NULL)
        info = der.sequence(
            der.integer(1),
            der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number)),
            digest,
            der.set_of(attributes, der.context(0)),
            identifier,
            der.octets(value),
            self.unsigned,
        )
        listed = sorted(self.certificates) if self.ordered else list(self.certificates)
        content = der.sequence(der.oid("1.2.840.113549.1.9.16.1.4"), der.encode(der.context(0), der.octets(self.info)))
        data = der.sequence(
            der.integer(3),
            der.encode(der.SET, digest),
            content,
            der.encode(der.context(0), *listed) if listed else b"",
            self.lists,
            der.encode(der.SET, info),
        )
        token = der.sequence(der.oid("1.2.840.113549.1.7.2"), der.encode(der.context(0), data))
        return der.sequence(self.status, token)


def token_parts(
    authority: Authority,
    digest_algorithm: str,
    digest: bytes,
    time: datetime,
    *,
    certificates: tuple[Authority, ...] | None = None,
    **said: Any,
) -> TokenParts:
    """The parts of a token of ``authority``; it brings the authority's certificate alone unless told otherwise."""
    info = time_stamp_info(digest_algorithm, digest, time, **said)
    brought = (authority,) if certificates is None else certificates
    return TokenParts(info, authority, tuple(item.der for item in brought), natural_hash(authority.key))


def make_token(
    authority: Authority,
    digest_algorithm: str,
    digest: bytes,
    time: datetime,
    *,
    certificates: tuple[Authority, ...] | None = None,
    **said: Any,
) -> bytes:
    """A TimeStampResp of ``authority`` over ``digest``, made at ``time``; ``said`` goes to :func:`time_stamp_info`."""
    return token_parts(authority, digest_algorithm, digest, time, certificates=certificates, **said).encode()


def stamp(authority: Authority, data: bytes, time: datetime, digest_algorithm: str = "sha256") -> bytes:
    """A TimeStampResp over ``data``."""
    digest = hashlib.new(digest_algorithm.replace("-", "_"), data).digest()
    return make_token(authority, digest_algorithm, digest, time)
