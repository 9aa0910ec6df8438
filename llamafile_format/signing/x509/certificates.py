"""X.509 certificates: whether a chain leads from one to a root that the user gave (13.9).

The path is found and checked by the ``cryptography`` library's verifier; what is ours are the purposes, which that
library knows only for web servers and their clients, revocation lists, and the table of broken algorithms. There are
no roots but those passed in: the store of the system is never asked, because it holds hundreds of authorities that
vouch for web servers and for nobody's models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.keys.key import PublicKey
from llamafile_format.signing.x509.cms_certificates import MAX_CERTIFICATE
from llamafile_format.signing.x509.constraints import check_constraints
from llamafile_format.signing.x509.identities import Identity, identities
from llamafile_format.signing.x509.revocations import check_revocations

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509 import verification

CLAUSE = "13.9"
MAX_CERTIFICATES = 64  # helpers that are looked at; more would only feed the search for a path
MAX_DEPTH = 8  # certificates between the signer's and the root
_PEM_MARK = b"-----BEGIN CERTIFICATE-----"


class Purpose(Enum):
    """What a certificate must be meant for. The value is the name of its extended key usage (RFC 5280, 4.2.1.12)."""

    CODE_SIGNING = "codeSigning"
    TIME_STAMPING = "timeStamping"


def read_certificates(data: bytes, name: str) -> tuple[bytes, ...]:
    """The certificates in ``data``, as DER, in order: PEM blocks, or one certificate in DER.

    ``name`` is used in messages only. Raises FormatError where there is none, or something is not a certificate.
    """
    from cryptography import x509

    with _readable(f"{name} holds no certificate in PEM or DER that can be read"):
        pem = _PEM_MARK in data
        found = x509.load_pem_x509_certificates(data) if pem else [x509.load_der_x509_certificate(data)]
        return tuple(_der(certificate) for certificate in found)


def public_key(certificate: bytes) -> PublicKey:
    """The key that ``certificate`` (DER) names. FormatError if it is of a kind that signs no models (13.8)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    loaded = _load(certificate, "the signer's certificate")
    with _readable("the certificate's key cannot be read"):
        return PublicKey.from_spki(loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def names_of(certificate: bytes) -> tuple[Identity, ...]:
    """Whom ``certificate`` (DER) names, by the kinds of names that count (13.9.3); FormatError if one is none."""
    with _readable("the certificate's names cannot be read"):
        return identities(_load(certificate, "the signer's certificate"))


def check_own_chain(certificates: Sequence[bytes]) -> None:
    """Each of a record's ``certificates`` (leaf first) must have signed the one before it; FormatError if not (13.9.4).

    Nothing is trusted by this. *Why:* the record's signature covers none of them, so a byte that no signature holds in
    place could be changed unseen.
    """
    if len(set(certificates)) < len(certificates):
        raise FormatError("the record brings a certificate twice", clause="13.9.4", allowed="each once")
    with _readable("the record's certificates cannot be read"):
        chain = _load_all(certificates, "the record's certificate")
        for number, certificate in enumerate(chain):
            issuer = chain[number + 1] if number + 1 < len(chain) else certificate
            if number + 1 == len(chain) and certificate.issuer != certificate.subject:
                return  # its issuer is the root that the verifier brings
            if not _issued_by(certificate, issuer):
                raise FormatError(
                    "the record's certificates are no chain: one is not signed by the next",
                    clause="13.9.4",
                    found=f"certificate {number + 1}, {_name(certificate)}, issued by {_text(certificate.issuer)}",
                    allowed="the signer's certificate first, each followed by its issuer's",
                )


def verify_chain(
    leaf: bytes,
    untrusted: Sequence[bytes],
    roots: Sequence[bytes],
    *,
    at: datetime,
    purpose: Purpose,
    revocations: Sequence[bytes] = (),
    agility: Agility,
) -> tuple[bytes, ...]:
    """The path from ``leaf`` over ``untrusted`` to one of ``roots``, as it stood ``at`` a time: DER, leaf first.

    ``revocations`` are revocation lists in DER; they need no trust, since only what a certificate's issuer has signed
    counts. Raises FormatError with the reason if there is no such path.
    """
    from cryptography.x509 import verification

    if not roots:
        raise FormatError(
            "no root certificates were given, so no certificate is trusted",
            clause=CLAUSE,
            hint="Name the authority's root certificate in the policy; the system's are never used.",
        )
    with _readable("the certificates cannot be followed"):
        first = _load(leaf, "the signer's certificate")
        helpers = _above(first, _load_all(untrusted, "a certificate of the record"))
        anchors = _load_all(roots, "a root certificate")
        _check_leaf(first, at, purpose)
        builder = verification.PolicyBuilder().store(verification.Store(anchors)).time(_naive(at))
        builder = builder.max_chain_depth(MAX_DEPTH).extension_policies(
            ca_policy=_authorities(purpose), ee_policy=verification.ExtensionPolicy.permit_all()
        )
        try:
            chain = builder.build_client_verifier().verify(first, helpers).chain
        except verification.VerificationError as error:
            raise _no_path(first, helpers, anchors, at, error) from error
        check_constraints(chain)
        _check_algorithms(chain, at, agility)
        check_revocations(chain, revocations, at)
        return tuple(_der(certificate) for certificate in chain)


# -- what a signer's certificate must be ------------------------------------------------------------------------------


def _check_leaf(leaf: x509.Certificate, at: datetime, purpose: Purpose) -> None:
    from cryptography import x509

    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        raise _not_valid(leaf, at)
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    key_usage = _extension(leaf, x509.KeyUsage)
    basic = _extension(leaf, x509.BasicConstraints)
    wanted = _oid(purpose)
    purposes = list(usage.value) if usage else []
    if wanted not in purposes:
        # "any purpose" is no purpose either: a certificate for web servers must never sign a model
        raise _wrong_purpose(leaf, purposes, purpose.value)
    if purpose is Purpose.TIME_STAMPING and (usage is None or not usage.critical or purposes != [wanted]):
        raise _wrong_purpose(leaf, purposes, "timeStamping alone, marked critical (RFC 3161, 2.3)")
    if basic is not None and basic.value.ca:
        raise FormatError(
            f"the certificate of {_name(leaf)} is an authority's: it may sign certificates, not this",
            clause=CLAUSE,
            found="basicConstraints CA:TRUE",
            allowed="the certificate of a signer",
        )
    if key_usage is not None and not (key_usage.value.digital_signature or key_usage.value.content_commitment):
        raise FormatError(
            f"the key of {_name(leaf)} is not for signing",
            clause=CLAUSE,
            found="a keyUsage without it",
            allowed="digitalSignature or nonRepudiation",
        )


def _oid(purpose: Purpose) -> x509.ObjectIdentifier:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    code = purpose is Purpose.CODE_SIGNING
    return ExtendedKeyUsageOID.CODE_SIGNING if code else ExtendedKeyUsageOID.TIME_STAMPING


def _authorities(purpose: Purpose) -> verification.ExtensionPolicy:
    """What certificates above the signer's must have. Key identifiers only guide the search: they may be missing."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

    wanted = _oid(purpose)

    def may_sign(_policy: Policy, authority: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        """ValueError if ``authority`` may not sign certificates; a certificate that says nothing may."""
        if usage is not None and not usage.key_cert_sign:
            raise ValueError(f"the key of {_name(authority)} may not sign certificates")

    def for_this(_policy: Policy, authority: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        """ValueError if ``authority`` is confined to other purposes."""
        # an authority confined to web servers cannot make certificates for anything else
        if usage is not None and wanted not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
            raise ValueError(f"{_name(authority)} may not make certificates for {purpose.value}")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, may_sign)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, for_this)
    )


# -- what the library's verifier does not know ------------------------------------------------------------------------


def _check_algorithms(chain: Sequence[x509.Certificate], at: datetime, agility: Agility) -> None:
    """No signature of the path may rest on something broken; the root's own signature on itself proves nothing."""
    for certificate, issuer in pairwise(chain):
        used = signature_algorithm(certificate, issuer)
        if agility.broken(used, at):
            raise FormatError(
                f"the certificate of {_name(certificate)} is signed with an algorithm that was broken by then",
                clause="13.8",
                found=used,
                allowed=f"algorithms sound on {at:%Y-%m-%d}",
            )


def signature_algorithm(certificate: x509.Certificate, issuer: x509.Certificate) -> str:
    """Identifier in the registry (11.7) of the signature that ``issuer`` set on ``certificate``; unknown ones too."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    key, digest = issuer.public_key(), certificate.signature_hash_algorithm
    name = digest.name if digest else "unknown"
    if isinstance(key, rsa.RSAPublicKey):
        scheme = "rsa-pss" if isinstance(certificate.signature_algorithm_parameters, padding.PSS) else "rsa"
        return f"{scheme}-{name}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}.get(key.curve.name, key.curve.name)
        return f"ecdsa-{curve}-{name}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return "ml-dsa-" + type(key).__name__.removeprefix("MLDSA").removesuffix("PublicKey")


def path_through(certificate: bytes, authorities: Sequence[bytes]) -> tuple[bytes, ...]:
    """``certificate`` and its issuers as far as ``authorities`` has them (all DER), each of which may give the names
    of those below it; FormatError if one may not."""
    current, known = _load(certificate, "a certificate"), [_load(data, "an authority's") for data in authorities]
    found = [current]
    while len(found) <= MAX_DEPTH and current.issuer != current.subject:
        issuer = next((one for one in known if _issued_by(current, one)), None)
        if issuer is None:
            break
        found.append(current := issuer)
    with _readable("the names of the certificates cannot be compared"):
        check_constraints(found)
    return tuple(map(_der, found))


def signed_with(path: Sequence[bytes]) -> tuple[str, ...]:
    """Identifiers of the signatures on the certificates of ``path`` (DER, leaf first)."""
    loaded = [_load(data, "a certificate") for data in path]
    return tuple(signature_algorithm(certificate, issuer) for certificate, issuer in pairwise(loaded))


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # wrong name, wrong signature, or an algorithm that the library does not have
        return False
    return True


# -- reading and wording ----------------------------------------------------------------------------------------------


@contextmanager
def _readable(otherwise: str) -> Iterator[None]:
    """Whatever the library makes of hostile bytes becomes a FormatError: it has a dozen exceptions for them, and it
    reads a certificate's parts only when they are asked for."""
    try:
        yield
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{otherwise}: {error}", clause=CLAUSE) from error


def _load(data: bytes, what: str) -> x509.Certificate:
    from cryptography import x509

    if len(data) > MAX_CERTIFICATE:  # room for text, not for a name and a key
        allowed = f"{MAX_CERTIFICATE} bytes"
        raise FormatError(f"{what} is too long", found=len(data), allowed=allowed, clause="13.9.12")
    with _readable(f"{what} is not an X.509 certificate in DER"):
        loaded = x509.load_der_x509_certificate(data)
        if data[-len(loaded.signature) - 1] != 0:  # unused bits of the signature: X.690 leaves them to nobody
            raise FormatError(f"{what} has a signature with unused bits", clause=CLAUSE)
        return loaded


def _load_all(certificates: Sequence[bytes], what: str) -> list[x509.Certificate]:
    return [_load(data, what) for data in dict.fromkeys(certificates)]


def _above(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those of ``known`` that may stand above ``leaf`` by their names, nearest first, at most MAX_CERTIFICATES.

    *Why:* helpers come from anybody, and the search for a path must not grow with what they bring.
    """
    found: list[x509.Certificate] = []
    wanted = {leaf.issuer}
    for _ in range(MAX_DEPTH):
        if not wanted:
            break
        found += (step := [one for one in known if one.subject in wanted and one not in found])
        wanted = {one.issuer for one in step}
    return found[:MAX_CERTIFICATES]


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension | None:  # type: ignore[type-arg]
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)  # the library wants UTC without saying so


def _text(name: x509.Name) -> str:
    return name.rfc4514_string() or "a certificate without a name"


def _name(certificate: x509.Certificate) -> str:
    return _text(certificate.subject)


def _wrong_purpose(leaf: x509.Certificate, purposes: Iterable[x509.ObjectIdentifier], wanted: str) -> FormatError:
    return FormatError(
        f"the certificate of {_name(leaf)} is not made for this",
        clause=CLAUSE,
        found="purpose " + (", ".join(_purpose(oid) for oid in purposes) or "not stated"),
        allowed=wanted,
    )


def _purpose(oid: x509.ObjectIdentifier) -> str:
    return {"1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth"}.get(oid.dotted_string) or next(
        (purpose.value for purpose in Purpose if _oid(purpose) == oid), oid.dotted_string
    )


def _not_valid(certificate: x509.Certificate, at: datetime) -> FormatError:
    return FormatError(
        f"the certificate of {_name(certificate)} was not valid at {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        clause=CLAUSE,
        found=f"valid from {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}",
        allowed="a time within",
    )


def _no_path(
    leaf: x509.Certificate,
    helpers: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    error: Exception,
) -> FormatError:
    """Why there is no path, in words: the library only says that its candidates are exhausted."""
    known = [*roots, *helpers]
    current, walked = leaf, {leaf}
    for _ in range(MAX_DEPTH + 1):  # helpers come from anybody: the explanation must not cost more than the search
        above = (one for one in known if one.subject == current.issuer and one not in walked)
        step = next((one for one in above if _issued_by(current, one)), None)
        if step is None:
            break
        if not step.not_valid_before_utc <= at <= step.not_valid_after_utc:
            return _not_valid(step, at)
        current = step
        walked.add(step)
        if step in roots:
            reason = str(error).removeprefix("validation failed: ").split(" (encountered", 1)[0]
            return FormatError(
                f"the certificates of {_name(leaf)} lead to a root, but not lawfully: {reason}", clause=CLAUSE
            )
    return FormatError(
        f"the certificate of {_name(leaf)} does not lead to a root that was given",
        clause=CLAUSE,
        found=f"the path ends at {_name(current)}, issued by {_text(current.issuer)}",
        allowed="a path to " + "; ".join(_name(root) for root in roots),
    )
