"""RFC 3161 time stamps: the strict reader of a ``tsr`` record, and what a token says (spec/1, 13.6)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509 import cms, der
from llamafile_format.signing.x509.cms_algorithms import digest, digest_function, hash_name
from llamafile_format.signing.x509.cms_certificates import chain_within, self_issued
from llamafile_format.signing.x509.der import Element, Fields

if TYPE_CHECKING:
    from llamafile_format.signing.keys.algorithms import Agility
    from llamafile_format.signing.records.record import Record

__all__ = ["GRANTED", "MAX_RESPONSE", "Token", "digest", "hash_name", "read_response", "stamped", "trusted_chain"]

MAX_RESPONSE = 1 << 20  # clause 13.2.3: what a record may have
TST_INFO = "1.2.840.113549.1.9.16.1.4"
GRANTED = der.sequence(der.integer(0))
_TIME = re.compile(rb"(\d{14})(?:\.(\d{0,8}[1-9]))?Z")  # RFC 3161, 2.4.2: no zeros at the end of a fraction
_MAX_SERIAL = 1 << 160


@dataclass(frozen=True, slots=True)
class Token:
    """What a time-stamping authority signed: that at ``time`` there was something whose digest is ``imprint``.

    ``data`` is the whole record. ``algorithm``, ``digest_algorithm`` and ``imprint_algorithm`` are ids of the registry
    (11.6, 11.7): of the signature, of the digest inside it, and of the imprint. ``signer`` is one of ``certificates``.
    """

    data: bytes
    imprint_algorithm: str
    imprint: bytes
    time: datetime
    serial: int
    policy: str
    certificates: tuple[bytes, ...]
    signer: bytes
    algorithm: str
    digest_algorithm: str
    nonce: int | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Every algorithm that must not be broken for the token to prove anything."""
        return tuple(dict.fromkeys((self.imprint_algorithm, self.digest_algorithm, self.algorithm)))


def read_response(data: bytes) -> Token:
    """The token of a ``tsr`` record: strict DER, status granted, and a signature that holds under its own certificate.

    Says nothing of whether that certificate is to be trusted: see :func:`trusted_chain`. FormatError (clause 13.6.4)
    for everything else.
    """
    if len(data) > MAX_RESPONSE:
        raise FormatError("larger than a record may be", found=len(data), allowed=str(MAX_RESPONSE), clause="13.2.3")
    try:
        return _read(data)
    except FormatError as error:
        error.clause = error.clause or "13.6.4"
        raise


def _read(data: bytes) -> Token:
    response = Fields(der.parse(data, "the time stamp"), "the time stamp")
    status = response.take(der.SEQUENCE, "status")
    if status.encoded != GRANTED:
        raise FormatError("its status is not the bare word granted", hint="`timestamp attach` writes it so")
    token = response.take(der.SEQUENCE, "token")
    response.end()
    signed = cms.read_signed(token, TST_INFO)
    return _info(data, signed)


def _info(data: bytes, signed: cms.SignedContent) -> Token:
    fields = Fields(der.parse(signed.content, "what the time stamp says"), "what the time stamp says")
    if fields.take(der.INTEGER, "version").integer() != 1:
        raise FormatError("the time stamp has another version than 1")
    policy = fields.take(der.OID, "policy").oid()
    algorithm, imprint = _imprint(fields.take(der.SEQUENCE, "imprint"))
    serial = fields.take(der.INTEGER, "serial number").integer()
    if not 0 <= serial < _MAX_SERIAL:
        raise FormatError("the time stamp has a serial number out of range")
    time = _time(fields.take(der.GENERALIZED_TIME, "time").content)
    fields.optional(der.SEQUENCE)  # accuracy
    fields.optional(der.BOOLEAN)  # ordering
    nonce = fields.optional(der.INTEGER)
    fields.optional(der.context(0))  # name of the authority; its certificate says it too
    _check_extensions(fields.optional(der.context(1)))
    fields.end()
    return Token(
        data,
        algorithm,
        imprint,
        time,
        serial,
        policy,
        signed.certificates,
        signed.signer,
        signed.algorithm,
        signed.digest_algorithm,
        None if nonce is None else nonce.integer(),
    )


def _imprint(element: Element) -> tuple[str, bytes]:
    fields = Fields(element, "the imprint")
    algorithm = digest_function(fields.take(der.SEQUENCE, "function"), "the imprint")
    value = fields.take(der.OCTET_STRING, "digest").content
    fields.end()
    if len(value) != hashlib.new(hash_name(algorithm)).digest_size:
        raise FormatError(f"the imprint has {len(value)} bytes, which is not the length of {algorithm}")
    return algorithm, value


def _time(text: bytes) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise FormatError("the time is not in the form YYYYMMDDhhmmssZ", found=text[:32])
    try:
        whole = datetime.strptime(found[1].decode("ascii"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise FormatError("the time is none", found=text[:32]) from error
    return whole.replace(microsecond=int((found[2] or b"").ljust(6, b"0")[:6]))


def _check_extensions(extensions: Element | None) -> None:
    for item in extensions.children if extensions is not None else ():
        fields = Fields(item, "an extension of the time stamp")
        number = fields.take(der.OID, "type").oid()
        critical = fields.optional(der.BOOLEAN)
        fields.take(der.OCTET_STRING, "value")
        fields.end()
        if critical is not None and critical.content != b"\x00":
            raise FormatError("the time stamp has a critical extension that this version does not know", found=number)


def trusted_chain(
    token: Token,
    roots: Sequence[bytes],
    *,
    at: datetime,
    extra: Sequence[bytes] = (),
    revocations: Sequence[bytes] = (),
    agility: Agility,
) -> tuple[bytes, ...]:
    """The certificates from the token's signer to one of ``roots``, all valid ``at`` that time; FormatError.

    ``extra`` and ``revocations`` are untrusted help (DER certificates and revocation lists). Whether the algorithms of
    the token itself are still sound is the caller's question: ``token.algorithms``. The chain must use the last
    certificate of the token's own, unless that signed itself: nobody else would have checked its signature.
    """
    from llamafile_format.signing.x509.certificates import Purpose, verify_chain

    chain = verify_chain(
        token.signer,
        (*token.certificates, *extra),
        roots,
        at=at,
        purpose=Purpose.TIME_STAMPING,
        revocations=revocations,
        agility=agility,
    )
    last = chain_within(token.signer, token.certificates)[-1]
    if not self_issued(last) and last not in chain:
        raise FormatError("the token brings a certificate that the chain to the trusted root does not use")
    return chain


def stamped(token: Token, records_before: Sequence[Record], own_header: int) -> Record | None:
    """The earlier record whose bytes ``token`` stamps; None if it can only be a renewal (13.6.2).

    ``own_header`` is where the local header of the token's own record begins; nothing from there on is earlier. Of
    records with the same bytes it is the first.
    """
    return next(
        (
            record
            for record in records_before
            if (record.detached or record.header_offset < own_header)
            and digest(token.imprint_algorithm, record.data) == token.imprint
        ),
        None,
    )
