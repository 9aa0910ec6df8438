"""Revocation lists: certificates that their own issuer has called back (spec/1, 13.9.6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError

if TYPE_CHECKING:
    from cryptography import x509


def check_revocations(chain: Sequence[x509.Certificate], revocations: Sequence[bytes], at: datetime) -> None:
    """FormatError if one of ``chain`` (leaf first) had been revoked ``at`` that time by the next.

    ``revocations`` are lists in DER; those that no issuer in the chain has signed say nothing.
    """
    lists = [revocation for data in revocations if (revocation := _load(data)) is not None]
    for certificate, issuer in pairwise(chain):
        for revocation in lists:
            if not _signed_list(revocation, issuer):
                continue
            since = _revoked_since(revocation, certificate.serial_number)
            if since is not None and since <= at:
                raise FormatError(
                    f"the certificate of {certificate.subject.rfc4514_string()} was revoked by its issuer",
                    clause="13.9.6",
                    found=f"revoked on {since:%Y-%m-%dT%H:%M:%SZ}",
                    allowed=f"not revoked at {at:%Y-%m-%dT%H:%M:%SZ}",
                )


def all_listed(chain: Sequence[bytes], revocations: Sequence[bytes]) -> bool:
    """True if ``revocations`` have a list by the issuer of each certificate of ``chain`` (DER, leaf first, root last).

    Lists that cannot be read count for nothing.
    """
    from cryptography import x509

    lists = [revocation for data in revocations if (revocation := _load(data)) is not None]
    certificates = [x509.load_der_x509_certificate(data) for data in chain]
    return all(any(_signed_list(each, issuer) for each in lists) for _, issuer in pairwise(certificates))


def signs_list(certificate: bytes, revocation: bytes) -> bool:
    """True if the list (DER) is by the authority of ``certificate`` (DER)."""
    from cryptography import x509

    found = _load(revocation)
    return found is not None and _signed_list(found, x509.load_der_x509_certificate(certificate))


def _revoked_since(revocation: x509.CertificateRevocationList, serial: int) -> datetime | None:
    """From when the list calls this certificate revoked: the entry's date or, if earlier, that of the key's loss."""
    from cryptography import x509

    entry = revocation.get_revoked_certificate_by_serial_number(serial)
    if entry is None:
        return None
    since = entry.revocation_date_utc
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        if reason is x509.ReasonFlags.remove_from_crl:
            return None
    except x509.ExtensionNotFound:
        pass
    try:
        lost = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
        return min(since, lost)
    except x509.ExtensionNotFound:
        return since


@lru_cache(maxsize=256)  # each is looked at for every signature and stamp of a file, which has 200 at most
def _load(data: bytes) -> x509.CertificateRevocationList | None:
    from cryptography import x509

    try:
        return x509.load_der_x509_crl(data)
    except Exception:  # the library has several for this; what nobody can read, nobody has signed
        return None


def _signed_list(revocation: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """True if the list is by ``issuer``. Its parts are only parsed here, so anything may be wrong with them."""
    try:
        return revocation.issuer == issuer.subject and revocation.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except Exception:
        return False
