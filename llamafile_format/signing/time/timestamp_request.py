"""Asking a time-stamping authority, and making a record of its answer (RFC 3161; spec/1, 13.6.3)."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass

from llamafile_format.errors import FormatError
from llamafile_format.signing.time.timestamps import GRANTED, MAX_RESPONSE
from llamafile_format.signing.x509 import der
from llamafile_format.signing.x509.cms import SIGNED_DATA, read_sid
from llamafile_format.signing.x509.cms_algorithms import DIGEST_OIDS, NULL
from llamafile_format.signing.x509.cms_certificates import chain_within
from llamafile_format.signing.x509.der import Element, Fields

_NONCE_BYTES = 8
_ACCEPTED = (0, 1)  # granted, and granted with modifications: the token says for itself what it says
_FAILURES = {
    0: "it does not know the digest function",
    2: "it calls the request malformed",
    5: "it calls the data malformed",
    14: "its clock is not available",
    15: "it does not stamp under the policy asked for",
    16: "it does not know an extension",
    17: "it cannot give what was asked for besides",
    25: "it has failed",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A request: the digest of what is to be stamped, a number that the answer has to repeat, and the DER of both."""

    algorithm: str
    digest: bytes
    nonce: int
    data: bytes


def build_query(algorithm: str, digest: bytes, nonce: int | None = None) -> Query:
    """The request to stamp ``digest``, which is by the registered function ``algorithm``; asks for the certificate."""
    number = int.from_bytes(secrets.token_bytes(_NONCE_BYTES), "big") | 1 if nonce is None else nonce
    imprint = der.sequence(der.sequence(der.oid(DIGEST_OIDS[algorithm]), NULL), der.octets(digest))
    data = der.sequence(der.integer(1), imprint, der.integer(number), der.boolean(True))
    return Query(algorithm, digest, number, data)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record made of an answer, and in words what of the answer is not in it."""

    data: bytes
    left_out: tuple[str, ...] = ()


def accept_response(answer: bytes, keep: Collection[bytes] | None = None) -> Accepted:
    """The record for the token in ``answer``, a TimeStampResp or a bare token; FormatError if the authority refused.

    The status becomes the bare word *granted*. What the token's signature does not cover is put in order: certificates
    are sorted, and those outside the signer's chain (or, with ``keep``, not among these), revocation lists and unsigned
    attributes are left out. Nothing signed changes. The result has yet to be read by ``read_response``.
    """
    if len(answer) > MAX_RESPONSE:
        raise FormatError("the answer is larger than a record may be", found=len(answer), clause="13.2.3")
    if answer.lstrip()[:1] in (b"<", b"{"):  # what a server sends in place of an answer
        first = answer.lstrip()[:60].decode("ascii", "replace").split("\n")[0]
        raise FormatError(
            "the answer is a text such as a web page, and no time stamp",
            found=f"{first!r}",
            allowed="a TimeStampResp (RFC 3161)",
            hint="the address is wrong, or the authority wants the request as application/timestamp-query",
        )
    try:
        outer = der.parse(answer, "the answer")
    except FormatError as error:
        error.hint = error.hint or "name what the authority sent, a .tsr file as it came; or ask it again"
        raise
    fields = Fields(outer, "the answer")
    if outer.children[:1] and outer.children[0].tag == der.OID:
        token = outer  # as `openssl ts -reply -token_out` and other tools keep it
    else:
        _check_status(fields.take(der.SEQUENCE, "status"))
        token = fields.take(der.SEQUENCE, "token")
        fields.end()
    left_out: list[str] = []
    data = _token(token, keep, left_out)
    return Accepted(der.sequence(GRANTED, data), tuple(left_out))


def _check_status(status: Element) -> None:
    fields = Fields(status, "the status")
    number = fields.take(der.INTEGER, "number").integer()
    if number in _ACCEPTED:
        return
    texts = fields.optional(der.SEQUENCE)
    said = [part.content.decode("utf-8", "replace") for part in texts.children] if texts else []
    failure = fields.optional(der.BIT_STRING)
    bits = failure.content[1:] if failure else b""
    said += [text for bit, text in _FAILURES.items() if bit // 8 < len(bits) and bits[bit // 8] & 0x80 >> bit % 8]
    raise FormatError(f"the authority refused to stamp (status {number}){': ' if said else ''}{'; '.join(said)}")


def _token(token: Element, keep: Collection[bytes] | None, left_out: list[str]) -> bytes:
    fields = Fields(token, "the token")
    kind = fields.take(der.OID, "content type")
    wrapped = fields.take(der.context(0), "signed data").children
    fields.end()
    if kind.oid() != SIGNED_DATA or len(wrapped) != 1:
        raise FormatError("the token is not CMS signed data")
    inner = Fields(wrapped[0], "the token")
    inner.take(der.INTEGER, "version")
    digests = inner.take(der.SET, "list of digest functions")
    content = inner.take(der.SEQUENCE, "contents")
    certificates = inner.optional(der.context(0))
    if inner.optional(der.context(1)) is not None:
        left_out.append("revocation lists")
    signers = inner.take(der.SET, "signature")
    inner.end()
    if certificates is None or len(signers.children) != 1:
        raise FormatError(
            "the token has not one signature and its certificate",
            hint="let the authority send its certificate: requests by `timestamp request` ask for it",
        )
    there = tuple(item.encoded for item in certificates.children if item.tag == der.SEQUENCE)
    signer = read_sid(signers.children[0], there)
    kept = [item for item in chain_within(signer, there) if keep is None or item == signer or item in keep]
    if len(kept) < len(certificates.children):
        left_out.append(f"{len(certificates.children) - len(kept)} of {len(certificates.children)} certificates")
    data = der.sequence(
        der.integer(3),
        digests.encoded,
        content.encoded,
        der.set_of(kept, der.context(0)),
        der.encode(der.SET, _signer(signers.children[0], left_out)),
    )
    return der.sequence(kind.encoded, der.encode(der.context(0), data))


def _signer(info: Element, left_out: list[str]) -> bytes:
    """The signature without its unsigned attributes."""
    parts = info.children
    if parts and parts[-1].tag == der.context(1):
        left_out.append("unsigned attributes")
        parts = parts[:-1]
    return der.sequence(*(part.encoded for part in parts))
