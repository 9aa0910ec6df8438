"""What a registry asks for when it does not know us (``WWW-Authenticate``), and whom that may be got from.

A registry may name any place for its tokens. Credentials go there only if it is the registry's own host, by https;
every other place is asked without them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import Address, cut, read_address

_LONGEST = 8192
_BEARER = re.compile(r"(?:\A|[\s,])bearer\s+", re.IGNORECASE)
_BASIC = re.compile(r"(?:\A|,\s*)basic(?:\s|\Z)", re.IGNORECASE)
_FIELD = re.compile(r'([A-Za-z_]{1,32})\s*=\s*(?:"([^"\\]*)"|([^\s",]+))\s*(?:,\s*|\Z)')
_TOKEN = re.compile(r"[!-~]{1,16384}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """``realm`` is where a token is to be had for ``service``; None: user and password are asked for themselves."""

    realm: Address | None
    service: str = ""


def read_challenge(text: str, registry: Address) -> Challenge:
    """The challenge ``text`` of ``registry``. SourceError if it is none that is answered here."""
    found = _BEARER.search(text[:_LONGEST])
    if found is None:
        if _BASIC.search(text[:_LONGEST]):
            return Challenge(None)
        raise SourceError(f"{registry.origin[1]} wants to know who asks, in a way that is not known here")
    fields: dict[str, str] = {}
    at = found.end()
    while (field := _FIELD.match(text, at)) and at < _LONGEST:
        fields.setdefault(field[1].lower(), field[2] or field[3] or "")
        at = field.end()
    try:
        realm = read_address(fields.get("realm", ""))
    except UsageError as error:  # nobody here has typed it
        raise SourceError(f"{registry.origin[1]} names no place for tokens: {error.message}") from None
    if realm.origin[0] != "https" and not (realm.origin == registry.origin and registry.private):
        raise SourceError(f"{registry.origin[1]} sends us for a token to {cut(realm.name)}, which is not https")
    return Challenge(realm, fields.get("service", ""))


def may_know(realm: Address, registry: Address) -> bool:
    """True if credentials for ``registry`` may be told to ``realm``: its own host, where nobody listens."""
    if realm.origin == registry.origin:
        return realm.private
    return realm.origin[0] == "https" and realm.origin[1] == registry.origin[1]


def token_request(challenge: Challenge, scopes: tuple[str, ...]) -> Address:
    """The address that is asked for a token for ``scopes``: ours, and not those that the registry would like."""
    assert challenge.realm is not None
    fields = [("service", challenge.service)] if challenge.service else []
    fields += [("scope", scope) for scope in scopes]
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields)
    url = challenge.realm.url
    return read_address(f"{url}{'&' if '?' in url else '?'}{query}")


def token_form(challenge: Challenge, scopes: tuple[str, ...], identity: str) -> bytes:
    """The form by which an ``identity`` token is changed for one that the registry takes."""
    fields = {
        "grant_type": "refresh_token",
        "service": challenge.service,
        "client_id": "llamafile-format",
        "scope": " ".join(scopes),
        "refresh_token": identity,
    }
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items()).encode("ascii")


def read_token(value: object, realm: Address) -> str:
    """The token in the answer ``value`` of ``realm``. SourceError if there is none."""
    found = value.get("token") or value.get("access_token") if isinstance(value, dict) else None
    if not isinstance(found, str) or not _TOKEN.fullmatch(found):
        raise SourceError(f"{cut(realm.name)} gives no token")
    return found
