"""Addresses of objects on other machines: what is asked for, and what may be shown of it (spec/1, 10.12.2).

An address can hold secrets in its query, as signed addresses do. So it has two forms, and only the shown one ever
reaches a name, a message, a report or a log. User and password in an address are refused: everybody on the machine sees
a command line.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from llamafile_format.errors import UsageError

SCHEMES = {"https": 443, "http": 80}
"""Schemes of servers, with their ports."""

STORES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""Schemes of stores, whose objects are read by their own interfaces; with how names of their settings begin."""

HUB = "https://huggingface.co"
"""Where ``hf://`` leads, unless the user has a hub of their own."""

_HUB = re.compile(
    r"((?:datasets|spaces)/)?((?!(?:[\w.-]*/)?[\w.-]*(?:--|\.\.))[\w.-]{1,128}/[\w.-]{1,128})"
    r"(?:@(refs/(?:pr|convert)/[\w.-]{1,128}|[\w.%-]{1,256}))?/(\S+)",
    re.ASCII,
)
"""Kind, repository, revision and path. No hub has names with ``..``, or ``--``: that stands for ``/`` in caches."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONGEST = 8192
_ODD = re.compile(r"[^!-~]")
"""What stands for itself in no address: spaces, control characters, everything beyond ASCII."""

_SIGNED = tuple(
    (by, re.compile(what, re.IGNORECASE))
    for by, what in (
        ("x-amz-signature", "x-amz-.*"),
        ("x-goog-signature", "x-goog-.*"),
        ("signature", "signature|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid"),
        ("sig", "sig|s[eprtv]|sip|spr|ss|srt|sk[estv]|sks|skoid|sktid"),
    )
)
"""What only signs an address, and until when: fields of its query, and the one that must be among them."""

Origin = tuple[str, str, int]
"""Scheme, host and port: whom a credential is for."""


def is_remote(name: str) -> bool:
    """True if ``name`` is an address and no path: a scheme and ``://``."""
    return _SCHEME.match(name) is not None


def shown(name: str) -> str:
    """``name`` without what may be secret in it: user, password, query and fragment. A path is returned as it is."""
    if not (found := _SCHEME.match(name)):
        return name
    rest = re.split(r"[?#]", name[found.end() :], maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{found[0]}{host.rpartition('@')[2]}{slash}{path}"


def cut(name: str) -> str:
    """As much of ``name`` as a message has room for: a server can send us to 8192 letters."""
    return name[:200]


def is_this_machine(host: str) -> bool:
    """True if ``host`` is this very machine, by its name or its addresses."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Address:
    """Where an object is. ``url`` is what is asked for, ``name`` what may be shown of it."""

    url: str
    name: str
    origin: Origin

    @property
    def private(self) -> bool:
        """True if what is sent there can be read by nobody on the way: TLS, or this very machine."""
        scheme, host, _ = self.origin
        return scheme != "http" or is_this_machine(host)

    def digest(self, place: str = "") -> str:
        """What stands for the object that is asked for, at the ``place`` of its store: 64 hex digits. Of its query what
        only signs does not count, as that is another one on every day.
        """
        head, _, query = self.url.partition("?")
        fields = [(part.partition("=")[0], part) for part in query.split("&")]
        for by, what in _SIGNED:
            if any(name.lower() == by for name, _ in fields):
                fields = [(name, part) for name, part in fields if not what.fullmatch(name)]
        text = "&".join([f"{place} {self.name} {head}", *(part for _, part in fields)])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def __repr__(self) -> str:
        return f"Address({self.name!r})"  # the other form must not get into a traceback


def read_address(text: str, hub: str = HUB) -> Address:
    """The address that ``text`` is. UsageError, which shows no secret, if it is none that can be read."""
    name = shown(text)
    scheme = name.partition("://")[0].lower()
    if scheme not in (*SCHEMES, *STORES, "hf"):
        known = ", ".join((*SCHEMES, *STORES))
        raise UsageError(f"cannot read {cut(name)}: no scheme that is read", hint=f"read are {known} and hf")
    if len(text) > _LONGEST or _ODD.search(text):
        raise UsageError(
            f"cannot read {cut(name)}: no address has spaces, no letters beyond ASCII, {_LONGEST} characters at most",
            hint="write them as %20 and the like, and the host as xn--",
        )
    if scheme in STORES:
        return _of_store(scheme, text, name)
    if (
        scheme == "hf" and name != text
    ):  # another file than the one that was typed, and a secret that everybody has seen
        raise UsageError(f"cannot read {cut(name)}: an address at a hub has neither user nor query nor fragment")
    return at_hub(name, hub) if scheme == "hf" else _of_server(text, name)


def _of_store(scheme: str, text: str, name: str) -> Address:
    """``SCHEME://BUCKET/KEY``, with the key as it is."""
    bucket, _, key = text.partition("://")[2].partition("/")
    plain = name == text and "@" not in bucket and re.fullmatch(r"[\w.-]{1,255}", bucket, re.ASCII)
    if not plain or _strays([bucket, *key.split("/")]):
        raise UsageError(
            f"cannot read {cut(name)}: an object in a store is {scheme}://BUCKET/KEY",
            hint="without user, query and fragment; a key with ? or #, or with a step that is empty or dots, can be "
            "asked for by https only",
        )
    return Address(text, name, (scheme, bucket, 0))


def at_hub(name: str, hub: str, revision: str = "") -> Address:
    """The file ``hf://[datasets/]ORG/NAME[@REVISION]/PATH`` at ``hub``; ``revision`` counts before the one named."""
    found = _HUB.fullmatch(name.partition("://")[2])
    if found is None or any(
        _strays(re.split(r"[/\\]", _decoded(part))) for part in (found[2], revision or found[3] or "main", found[4])
    ):
        raise UsageError(
            f"cannot read {cut(name)}: no file at a hub", hint="hf://ORG/NAME/PATH or hf://ORG/NAME@REVISION/PATH"
        )
    where = (revision or found[3] or "main").replace("/", "%2F")
    return _of_server(f"{hub.rstrip('/')}/{found[1] or ''}{found[2]}/resolve/{where}/{found[4]}", name)


def _strays(steps: Iterable[str]) -> bool:
    """True if one of ``steps`` leads elsewhere than down: what is asked for would not be what is named."""
    return any(step in ("", ".", "..") or not step.isprintable() for step in steps)


def _decoded(path: str) -> str:
    """``path`` as the last of those on the way reads it who take %2e for a dot."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


@dataclass(frozen=True, slots=True)
class HubFile:
    """The file ``path`` of ``repository``, which is ``[datasets/|spaces/]ORG/NAME``; ``revision`` may be empty."""

    repository: str
    revision: str
    path: str

    def at(self, commit: str) -> HubFile:
        """The same file at ``commit``; as it was named if that is empty."""
        return replace(self, revision=commit or self.revision)

    @property
    def address(self) -> str:
        """How users write it."""
        return f"hf://{self.repository}{'@' * bool(self.revision)}{self.revision}/{self.path}"


def hub_file(name: str) -> HubFile:
    """The file that the address ``name`` names at a hub. UsageError if it names none."""
    found = _HUB.fullmatch(name.partition("://")[2])
    if found is None or not name.startswith("hf://"):
        raise UsageError(
            f"cannot read {cut(shown(name))}: no file at a hub",
            hint="hf://ORG/NAME/PATH or hf://ORG/NAME@REVISION/PATH",
        )
    return HubFile(f"{found[1] or ''}{found[2]}", found[3] or "", found[4])


def repository_of(name: str) -> str:
    """The repository ``[datasets/|spaces/]ORG/NAME`` of a file at a hub; empty if ``name`` is none."""
    found = _HUB.fullmatch(name.partition("://")[2])
    return f"{found[1] or ''}{found[2]}" if found else ""


def _of_server(text: str, name: str) -> Address:
    """``text`` asks for what is shown as ``name``."""
    if text.partition("://")[0].lower() not in SCHEMES:
        raise UsageError(f"cannot read {cut(name)}: {cut(shown(text))} is not https")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"cannot read {cut(name)}: host or port is none") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"cannot read {cut(name)}: it has a user or a password in it, which everybody here could see",
            hint="name a file with a token: --token-file FILE",
        )
    if not host or port == 0:
        raise UsageError(f"cannot read {cut(name)}: it names no host")
    scheme = parts.scheme.lower()
    return Address(parts._replace(fragment="").geturl(), name, (scheme, host, port or SCHEMES[scheme]))


def redirected(at: Address, location: str) -> Address:
    """Where ``at`` sends us by ``location``. UsageError if that is none, or leaves TLS."""
    try:
        where = urljoin(at.url, location)
    except ValueError:  # half a bracket, say
        raise UsageError(f"{cut(at.name)} redirects to what is no address") from None
    if where.partition("://")[0].lower() not in SCHEMES:
        raise UsageError(f"{cut(at.name)} redirects to {cut(shown(where))}, which is no server")
    to = read_address(where)
    if at.origin[0] == "https" and to.origin[0] != "https":
        raise UsageError(f"{cut(at.name)} redirects from https to {cut(to.name)}")
    return to
