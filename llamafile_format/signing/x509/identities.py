"""Whom a certificate is bound to, and whom a rule means: names of three kinds, never mixed (spec/1, 13.9.3).

A name counts by its kind. An authority that may give out URIs but no e-mail addresses can write the text of an address
into a URI; the common name is free text that no name constraint confines. So neither stands for the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError

if TYPE_CHECKING:
    from cryptography import x509

CLAUSE = "13.9.3"
ANY = "*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*"
_LOCAL = r"[A-Za-z0-9.!#$%&'+/=?^_`{|}~-]{1,64}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_URI = re.compile(rf"{_SCHEME}[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{{1,2048}}")  # the characters of RFC 3986
_AUTHORITY = re.compile(rf"{_SCHEME}//(?P<authority>[^/?#]*)")
_PATTERN_HOST = re.compile(r"[A-Za-z0-9.*-]{1,253}")
_PATTERN_LOCAL = re.compile(_LOCAL.replace("[", "[*", 1))


class NameKind(StrEnum):
    """A kind of name by which a certificate can be meant. The value is for people."""

    EMAIL = "e-mail address"
    URI = "URI"
    DNS = "DNS name"


@dataclass(frozen=True, slots=True)
class Identity:
    """A name of a certificate, well-formed for its kind."""

    kind: NameKind
    text: str

    @property
    def principal(self) -> str:
        """What two names have in common that are one principal: case makes no second person."""
        return f"{self.kind.name} {self.text.casefold()}"


def identities(certificate: x509.Certificate) -> tuple[Identity, ...]:
    """The e-mail addresses, URIs and DNS names of the subject alternative name, in that order; no other name counts.

    FormatError if one of them is no name of its kind: two readers could take it for two things.
    """
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [Identity(NameKind.EMAIL, text) for text in names.get_values_for_type(x509.RFC822Name)]
    found += [Identity(NameKind.URI, text) for text in names.get_values_for_type(x509.UniformResourceIdentifier)]
    found += [Identity(NameKind.DNS, text) for text in names.get_values_for_type(x509.DNSName)]
    for name in found:
        if not _well_formed(name):
            raise FormatError(
                f"the certificate has a name that is no {name.kind}", found=f"{name.text!r:.100}", clause=CLAUSE
            )
    return tuple(found)


def kind_of(pattern: str) -> NameKind:
    """The kind of names that ``pattern`` of a policy means, by its form. FormatError if it has none of the three."""
    if _URI.fullmatch(pattern):
        return NameKind.URI
    local, at, host = pattern.rpartition("@")
    if at and _PATTERN_LOCAL.fullmatch(local) and _PATTERN_HOST.fullmatch(host):
        return NameKind.EMAIL
    if not at and _PATTERN_HOST.fullmatch(pattern) and pattern.strip(".*"):
        return NameKind.DNS
    raise FormatError(
        "this names nobody",
        found=f"{pattern!r:.100}",
        allowed="an e-mail address, a URI or a DNS name, in ASCII; common names are not compared",
        clause=CLAUSE,
    )


def folded(kind: NameKind, text: str) -> str:
    """``text``, a name or a pattern, with those parts in lower case whose case means nothing (RFC 5280, 7.2 to 7.5)."""
    if kind is NameKind.DNS:
        return text.lower()
    if kind is NameKind.EMAIL:
        local, at, host = text.rpartition("@")
        return f"{local}{at}{host.lower()}"
    return text


def host_of(name: Identity) -> str:
    """The host in ``name``, in lower case; empty for a URI without one that can be named (an address, a user)."""
    if name.kind is NameKind.URI:
        found = _AUTHORITY.match(name.text)
        host = found["authority"].partition(":")[0] if found else ""
        return host.lower() if is_host(host) else ""
    return name.text.rpartition("@")[2].lower()


def is_host(text: str) -> bool:
    """True if ``text`` is a DNS name: labels of letters, digits and hyphens, no wildcard, no dot at its end, and no
    address in numbers."""
    return re.fullmatch(_HOST, text) is not None and not text.rpartition(".")[2].isdigit()


def _well_formed(name: Identity) -> bool:
    if name.kind is NameKind.EMAIL:
        local, _, host = name.text.rpartition("@")
        return re.fullmatch(_LOCAL, local) is not None and is_host(host)
    return is_host(name.text) if name.kind is NameKind.DNS else _URI.fullmatch(name.text) is not None
