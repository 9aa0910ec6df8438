"""Does validation material belong to anything? (spec/1, 13.6.9)

Certificates and revocation lists are carried for those who check a chain later. One that stands above no certificate of
a signature or a stamp helps nobody, and can hold anything: everybody makes certificates that sign themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509.cms_certificates import issued, names
from llamafile_format.signing.x509.revocations import signs_list

if TYPE_CHECKING:
    pass

MAX_LIST_ALONE = 65_536
"""Bytes of a revocation list whose issuer's certificate is not in the file: nobody could check its signature here."""
_TRIED = 4  # certificates that name one issuer are tried, those first that were there first: each costs a check


def belonging(
    used: Iterable[bytes], certificates: Sequence[bytes], revocations: Sequence[bytes]
) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Those of ``certificates`` and ``revocations`` (DER) that help with ``used``, the certificates that signed.

    A certificate helps if it issued one of them, or one that helps; a list if it is by the issuer of one of these.
    """
    known = [certificate for certificate in dict.fromkeys(used) if _readable(certificate)]
    by_issuer: dict[bytes, list[bytes]] = {}
    for certificate in known:
        by_issuer.setdefault(names(certificate).issuer, []).append(certificate)
    left = [certificate for certificate in dict.fromkeys(certificates) if certificate not in known]
    found: set[bytes] = set(certificates) & set(known)
    while step := [certificate for certificate in left if _issues(certificate, by_issuer)]:
        found |= set(step)
        left = [certificate for certificate in left if certificate not in found]
        for certificate in step:
            if names(certificate).issuer != names(certificate).subject:
                by_issuer.setdefault(names(certificate).issuer, []).append(certificate)
    authorities: dict[bytes, list[bytes]] = {}
    for certificate in (*known, *found):
        authorities.setdefault(names(certificate).subject, []).append(certificate)
    return frozenset(found), frozenset(data for data in revocations if _lists(data, by_issuer, authorities))


def _issues(certificate: bytes, by_issuer: dict[bytes, list[bytes]]) -> bool:
    below = by_issuer.get(names(certificate).subject, [])[:_TRIED]
    return any(_checked(other, certificate) for other in below)


@lru_cache(maxsize=1024)  # 200 certificates, tried against four each, in every round of the search
def _checked(certificate: bytes, issuer: bytes) -> bool:
    with suppress(FormatError):  # a key of a kind that nobody here can check anything with
        return issued(certificate, issuer)
    return False


def _readable(certificate: bytes) -> bool:
    with suppress(FormatError):
        return bool(names(certificate))
    return False


def _lists(data: bytes, by_issuer: dict[bytes, list[bytes]], authorities: dict[bytes, list[bytes]]) -> bool:
    from cryptography import x509

    try:
        issuer = x509.load_der_x509_crl(data).issuer.public_bytes()
        by = authorities.get(issuer, [])[:_TRIED]
        good = any(signs_list(certificate, data) for certificate in by) if by else len(data) <= MAX_LIST_ALONE
        return issuer in by_issuer and good
    except Exception:  # the library has several for this; what is wrong with it is said by who reads it
        return False
