"""CMS signed data as time-stamp tokens have it (RFC 5652, RFC 5816), strict in everything that no signature covers.

A token's signature covers its contents and its signed attributes. Version numbers, the lists of algorithms and of
certificates, revocation lists and unsigned attributes stand outside: each of them must follow from what is signed, or
be absent, so that no bit of a record can change without being noticed (spec/1, 13.6.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509 import der
from llamafile_format.signing.x509.cms_algorithms import digest, digest_function, verify_value
from llamafile_format.signing.x509.cms_certificates import chain_within, issued, names, self_issued
from llamafile_format.signing.x509.der import Element, Fields

SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5"
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"
SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_MAX_CERTIFICATES = 16


@dataclass(frozen=True, slots=True)
class SignedContent:
    """Contents with one signature that holds under ``signer``, one of ``certificates`` (all DER)."""

    content: bytes
    certificates: tuple[bytes, ...]
    signer: bytes
    algorithm: str
    digest_algorithm: str


def read_signed(token: Element, content_type: str) -> SignedContent:
    """The contents of ``content_type`` (an object identifier) that ``token`` holds, its signature checked; FormatError.

    The signature holds under a certificate that the token itself brings, which says nothing about whom to trust.
    """
    data = _signed_data(token)
    fields = Fields(data, "the token")
    if fields.take(der.INTEGER, "version").integer() != 3:
        raise FormatError("the token has another version than 3")
    digests = fields.take(der.SET, "list of digest functions")
    content = _encapsulated(fields.take(der.SEQUENCE, "contents"), content_type)
    certificates = fields.optional(der.context(0))
    if certificates is None:
        raise FormatError("the token brings no certificate", hint="ask the authority with certReq, as `timestamp` does")
    if fields.optional(der.context(1)) is not None:
        raise FormatError("the token brings revocation lists, which its signature does not cover")
    signers = fields.take(der.SET, "signature").children
    fields.end()
    if len(signers) != 1:
        raise FormatError(f"the token has {len(signers)} signatures, not one")
    if len(certificates.children) > _MAX_CERTIFICATES:
        raise FormatError(f"the token brings more than {_MAX_CERTIFICATES} certificates")
    if not der.is_sorted(certificates.children):
        raise FormatError("the certificates of the token do not stand in the order of DER")
    found = tuple(item.encoded for item in certificates.children)
    signed = _signature(signers[0], digests, content, content_type, found)
    _check_chain(signed.signer, found)
    return signed


def _signed_data(token: Element) -> Element:
    fields = Fields(token, "the token")
    if fields.take(der.OID, "content type").oid() != SIGNED_DATA:
        raise FormatError("the token is not CMS signed data")
    inner = fields.take(der.context(0), "signed data")
    fields.end()
    if len(inner.children) != 1 or inner.children[0].tag != der.SEQUENCE:
        raise FormatError("the token is not CMS signed data")
    return inner.children[0]


def _encapsulated(element: Element, content_type: str) -> bytes:
    fields = Fields(element, "the contents of the token")
    if fields.take(der.OID, "type").oid() != content_type:
        raise FormatError("the contents of the token are of another type")
    inner = fields.take(der.context(0), "contents").children
    fields.end()
    if len(inner) != 1 or inner[0].tag != der.OCTET_STRING:
        raise FormatError("the contents of the token are not one octet string")
    return inner[0].content


def _signature(
    info: Element, digests: Element, content: bytes, content_type: str, certificates: tuple[bytes, ...]
) -> SignedContent:
    fields = Fields(info, "the signature")
    if fields.take(der.INTEGER, "version").integer() != 1:
        raise FormatError("the signature has another version than 1")
    signer = _named(fields.take(der.SEQUENCE, "issuer and serial number"), certificates)
    digest_identifier = fields.take(der.SEQUENCE, "digest function")
    function = digest_function(digest_identifier, "the signature")
    if [item.encoded for item in digests.children] != [digest_identifier.encoded]:
        raise FormatError("the list of digest functions is not exactly the signature's one")
    attributes = fields.take(der.context(0), "signed attributes")
    algorithm = fields.take(der.SEQUENCE, "algorithm")
    value = fields.take(der.OCTET_STRING, "value").content
    fields.end()  # unsigned attributes too end here: nothing protects them
    values = _attributes(attributes)
    if values.pop(CONTENT_TYPE, b"") != der.oid(content_type):
        raise FormatError("the signed attributes do not say what type the contents have")
    if values.pop(MESSAGE_DIGEST, b"") != der.octets(digest(function, content)):
        raise FormatError("the signed digest is not that of the contents")
    protection = digest_identifier.encoded + der.encode(der.context(1), algorithm.content)
    if values.pop(ALGORITHM_PROTECTION, None) not in (None, der.sequence(protection)):
        raise FormatError("the signed attributes name other algorithms than the signature")
    _check_binding(values.pop(SIGNING_CERTIFICATE, b""), values.pop(SIGNING_CERTIFICATE_V2, b""), signer)
    if values.pop(SIGNING_TIME, b"\x17")[0] not in (der.UTC_TIME, der.GENERALIZED_TIME) or values:
        raise FormatError("a signed attribute that this version does not know", found=", ".join(values))
    signed = der.encode(der.SET, attributes.content)  # RFC 5652, 5.4: signed as a SET, not under its tag [0]
    name = verify_value(signer, function, algorithm, value, signed)
    return SignedContent(content, certificates, signer, name, function)


def read_sid(info: Element, certificates: tuple[bytes, ...]) -> bytes:
    """The one of ``certificates`` that a SignerInfo names as its signer's; FormatError if it is not there."""
    fields = Fields(info, "the signature")
    fields.take(der.INTEGER, "version")
    return _named(fields.take(der.SEQUENCE, "issuer and serial number"), certificates)


def _named(sid: Element, certificates: tuple[bytes, ...]) -> bytes:
    for certificate in certificates:
        about = names(certificate)
        if sid.content == about.issuer + about.serial:
            return certificate
    raise FormatError("the certificate that the signature names is not in the token")


def _attributes(attributes: Element) -> dict[str, bytes]:
    """The one value of each signed attribute, encoded, by the dotted form of its type."""
    if not der.is_sorted(attributes.children):
        raise FormatError("the signed attributes do not stand in the order of DER")
    values: dict[str, bytes] = {}
    for item in attributes.children:
        fields = Fields(item, "a signed attribute")
        number = fields.take(der.OID, "type").oid()
        inner = fields.take(der.SET, "value").children
        fields.end()
        if number in values or len(inner) != 1:
            raise FormatError("a signed attribute that has not exactly one value", found=number)
        values[number] = inner[0].encoded
    return values


def _check_binding(first: bytes, second: bytes, signer: bytes) -> None:
    """RFC 5816: the signature names its certificate by a digest, so that nobody can put another one in its place."""
    if not first and not second:
        raise FormatError("the signed attributes do not bind the signer's certificate")
    what = "the binding of the certificate"
    for attribute, v2 in ((first, False), (second, True)):
        if not attribute:
            continue
        identifiers = Fields(der.parse(attribute, what), what).take(der.SEQUENCE, "list").children
        if not identifiers:
            raise FormatError("the binding of the certificate is empty")
        fields = Fields(identifiers[0], what)
        function = fields.optional(der.SEQUENCE) if v2 else None
        named_by = digest_function(function, what) if function else "sha256" if v2 else "sha1"
        if fields.take(der.OCTET_STRING, "digest").content != digest(named_by, signer):
            raise FormatError("the signature is bound to another certificate")
        named, about = fields.optional(der.SEQUENCE), names(signer)
        fields.end()
        issuer = der.sequence(der.encode(der.context(4), about.issuer))
        if named is not None and named.content != issuer + about.serial:
            raise FormatError("the signature is bound to a certificate of another issuer")


def _check_chain(signer: bytes, certificates: tuple[bytes, ...]) -> None:
    """Each certificate is the signer's, or the issuer of one that is there: nothing rides along."""
    chain = chain_within(signer, certificates)
    if len(chain) != len(certificates):
        raise FormatError("the token brings a certificate that is not in the chain of its signer")
    if self_issued(chain[-1]) and not issued(chain[-1], chain[-1]):
        raise FormatError("a certificate in the token that names itself as issuer did not sign itself")
