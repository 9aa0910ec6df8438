"""Name constraints: what an authority may call those whom it certifies (RFC 5280, 4.2.1.10; spec/1, 13.9.1).

Every authority of a chain is looked at, whether or not it marks the constraint critical, and every name of every
certificate below it. What cannot be compared refuses the chain. Beyond the RFC, an authority that is confined to some
names gives no others: it has been told what it may certify, and the kinds that its list leaves out are not a gift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from llamafile_format.errors import FormatError
from llamafile_format.signing.x509.identities import Identity, NameKind, host_of, identities, is_host

if TYPE_CHECKING:
    from cryptography import x509

CLAUSE = "13.9.1"
_MAX_SUBTREES = 1024  # of one authority; each is compared with each name


def check_constraints(chain: Sequence[x509.Certificate]) -> None:
    """FormatError if a certificate of ``chain`` (leaf first, root last) has a name that one above it may not give."""
    from cryptography import x509

    for above in range(1, len(chain)):
        authority = chain[above]
        try:
            limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            continue
        if limits.public_bytes() not in authority.tbs_certificate_bytes:  # minimum and maximum, which RFC 5280 forbids
            raise _refused(authority, "constraints with more in them than names", "subtrees alone")
        permitted, excluded = list(limits.permitted_subtrees or ()), list(limits.excluded_subtrees or ())
        if len(permitted) + len(excluded) > _MAX_SUBTREES:
            raise _refused(authority, "more than can be compared", f"{_MAX_SUBTREES} name constraints")
        for subtree in (*permitted, *excluded):
            _known(authority, subtree)
        for certificate in chain[:above]:
            for name in _names(certificate):
                _check(authority, name, permitted, excluded, confined=False)
        for identity in identities(chain[0]):
            _check(authority, _general(identity), permitted, excluded, confined=True)


def _check(
    authority: x509.Certificate, name: Any, permitted: list[Any], excluded: list[Any], *, confined: bool
) -> None:
    """``confined``: where anything is permitted at all, a name of a kind that is not in the list is not."""
    same = [subtree for subtree in permitted if type(subtree) is type(name)]
    if any(_within(name, subtree, excluding=True) for subtree in excluded if type(subtree) is type(name)):
        raise _refused(authority, _shown(name), "names that are not excluded")
    if (same or (confined and permitted)) and not any(_within(name, subtree) for subtree in same):
        raise _refused(authority, _shown(name), "names within " + ", ".join(map(_shown, permitted[:3])))


def _names(certificate: x509.Certificate) -> Iterable[Any]:
    """Every name of ``certificate``: alternative names of all kinds, its subject, and addresses in the subject."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    with suppress(x509.ExtensionNotFound):
        yield from certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
    for part in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name(str(part.value))


def _general(identity: Identity) -> Any:
    from cryptography import x509

    kinds: dict[NameKind, Any] = {
        NameKind.EMAIL: x509.RFC822Name,
        NameKind.URI: x509.UniformResourceIdentifier,
        NameKind.DNS: x509.DNSName,
    }
    return kinds[identity.kind](identity.text)


def _known(authority: x509.Certificate, subtree: Any) -> None:
    """Refuse a constraint of a kind, or of a form, that could not be enforced."""
    from cryptography import x509

    good = isinstance(subtree, x509.IPAddress) and isinstance(subtree.value, IPv4Network | IPv6Network)
    good = good or (isinstance(subtree, x509.DirectoryName) and bool(subtree.value.rdns))
    if isinstance(subtree, x509.DNSName):
        good = not subtree.value or is_host(subtree.value.removeprefix("."))
    if isinstance(subtree, x509.UniformResourceIdentifier):
        good = is_host(subtree.value.removeprefix("."))
    if isinstance(subtree, x509.RFC822Name):
        good = is_host(subtree.value.removeprefix(".").rpartition("@")[2])
    if not good:
        raise _refused(authority, _shown(subtree), "constraints that can be enforced")


def _within(name: Any, subtree: Any, *, excluding: bool = False) -> bool:
    """True if ``name`` lies in ``subtree``, which is of its kind. What cannot be told is within what is excluded."""
    from cryptography import x509

    if isinstance(name, x509.IPAddress):
        return bool(name.value in subtree.value) if name.value.version == subtree.value.version else excluding
    if isinstance(name, x509.DirectoryName):
        wanted = _attributes(subtree.value)
        return _attributes(name.value)[: len(wanted)] == wanted
    if isinstance(name, x509.RFC822Name) and "@" in subtree.value:
        local, _, host = subtree.value.rpartition("@")
        own, _, at = name.value.rpartition("@")
        same = own.casefold() == local.casefold() if excluding else own == local
        return bool(same and at.lower() == host.lower())
    kind = NameKind.EMAIL if isinstance(name, x509.RFC822Name) else NameKind.DNS
    kind = NameKind.URI if isinstance(name, x509.UniformResourceIdentifier) else kind
    host = host_of(Identity(kind, name.value))
    if not is_host(host):
        return excluding
    limit = subtree.value.lower()
    below = not limit or host.endswith(f".{limit.removeprefix('.')}")
    if limit.startswith(".") and not excluding:
        return bool(below)
    # A DNS name stands for all below it; in an address or a URI it is this very host (RFC 5280, 4.2.1.10).
    return bool(host == limit.removeprefix(".") or (below and (kind is NameKind.DNS or limit.startswith("."))))


def _attributes(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    """The relative names of ``name`` as they are compared: blanks and case mean nothing (RFC 5280, 7.1)."""
    return [
        frozenset((part.oid.dotted_string, " ".join(str(part.value).casefold().split())) for part in each)
        for each in name.rdns
    ]


def _shown(name: Any) -> str:
    from cryptography import x509

    kinds = {x509.RFC822Name: "e-mail", x509.UniformResourceIdentifier: "URI", x509.DNSName: "DNS"}
    value = name.value.rfc4514_string() if isinstance(name, x509.DirectoryName) else getattr(name, "value", "")
    return f"{kinds.get(type(name), type(name).__name__)} {value!s:.80}"


def _refused(authority: x509.Certificate, found: str, allowed: str) -> FormatError:
    return FormatError(
        f"{authority.subject.rfc4514_string() or 'an authority'} may not give this name (name constraints)",
        found=found,
        allowed=allowed,
        clause=CLAUSE,
    )
