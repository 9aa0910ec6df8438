"""Validation material: certificates and revocation lists that help to build chains later (spec/1, 13.6.7).

They are carried because the places that publish them will be gone. They are helpers: no chain ends in one of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.signing.x509.cms_certificates import names

FORMAT = "llamafile-validation-material/1.0"
CLAUSE = "13.6.7"
MAX_PIECES = 100  # of each sort: chains are short, and each piece costs a signature check
MAX_IN_ALL = 200  # of each sort in all records of a file: each signature looks through all of them


@dataclass(frozen=True, slots=True)
class Material:
    """DER certificates and DER revocation lists, in the order of the record."""

    certificates: tuple[bytes, ...] = ()
    revocations: tuple[bytes, ...] = ()


def encode_material(material: Material) -> bytes:
    """The bytes of a ``vm`` record."""
    return encode(
        {
            "certificate_revocation_lists": [base64.b64encode(data).decode() for data in material.revocations],
            "certificates": [base64.b64encode(data).decode() for data in material.certificates],
            "format": FORMAT,
        }
    )


def read_material(data: bytes) -> Material:
    """The material in a ``vm`` record; FormatError unless every piece is what it should be, once, in one spelling."""
    value = decode(data)
    fields = {"certificate_revocation_lists", "certificates", "format"}
    if not isinstance(value, dict) or value.keys() != fields or value["format"] != FORMAT:
        raise FormatError("not validation material", allowed=f"format {FORMAT}", clause=CLAUSE)
    certificates = _pieces(value, "certificates", _certificate)
    lists = _pieces(value, "certificate_revocation_lists", _revocation_list)
    if not certificates and not lists:
        raise FormatError("validation material without anything in it", clause=CLAUSE)
    return Material(certificates, lists)


def _pieces(value: dict[str, Any], name: str, load: Callable[[bytes], Any]) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    odd = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
    texts: Sequence[Any] = value[name]
    if not isinstance(texts, list) or len(texts) > MAX_PIECES or len({str(text) for text in texts}) != len(texts):
        raise FormatError(f"{name} is wrong", allowed=f"at most {MAX_PIECES}, each once", clause=CLAUSE)
    found = []
    for index, text in enumerate(texts):
        try:
            data = base64.b64decode(text.encode("ascii"), validate=True)
            whole = load(data).public_bytes(Encoding.DER) == data and base64.b64encode(data).decode() == text
        except (AttributeError, UnicodeEncodeError, binascii.Error, ValueError, *odd) as error:
            raise FormatError(f"{name}[{index}] cannot be read: {error}", clause=CLAUSE) from error
        if not whole:
            raise FormatError(f"{name}[{index}] has more in it than it should", clause=CLAUSE)
        found.append(data)
    return tuple(found)


def _certificate(data: bytes) -> Any:
    """A certificate in DER, read to its last field: the library reads extensions only when they are asked for."""
    from cryptography import x509

    names(data)
    found = x509.load_der_x509_certificate(data)
    _ = found.subject, found.issuer, found.extensions
    return found


def _revocation_list(data: bytes) -> Any:
    """A revocation list, read to its last entry."""
    from cryptography import x509

    found = x509.load_der_x509_crl(data)
    _ = found.issuer, found.extensions, [entry.extensions for entry in found]
    return found
