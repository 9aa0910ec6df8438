"""Whom to ask for what a stranger names: the one judgement of addresses that nobody here has typed (10.13.3).

An address is judged as text, and again where a connection is made: host and port are those that the library which
connects has read out of it, and the machine is one that was judged, not one that the name stands for a moment later.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import HUB, STORES, Address, read_address, repository_of, shown
from llamafile_format.source.answers import Passing
from llamafile_format.source.public_places import Network, refusal

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_AMBIENT = ("AWS_", "GOOGLE_", "AZURE_", "OBJECT_STORE_")
_HARMLESS = ("AWS_CA_BUNDLE",)  # obstore does not read it
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_MOST_MACHINES = 16

Resolver = Callable[[str, int], Iterable[str]]
"""Host and port to the addresses of machines, as text. OSError if there are none."""

Empty: Mapping[str, str] = MappingProxyType({})


class NotListed(SourceError):
    """An address that leads where no stranger may send us."""


class Place(NamedTuple):
    """A machine that was judged: what a socket is made of, and what it connects to."""

    family: int
    machine: str
    port: int


class Checkpoint(Protocol):
    """What every request and every connection passes."""

    def admit(self, at: Address) -> None:
        """SourceError if ``at`` is not asked."""

    def places(self, host: str, port: int) -> tuple[Place, ...]:
        """The machines to connect to. SourceError if there are none that may be, Passing if the name has none now."""


def system_resolver(host: str, port: int) -> list[str]:
    """What the system says that ``host`` is."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True, repr=False)  # tokens and keys must not get into a traceback
class AllowList:
    """Hosts, buckets and repositories that a stranger may name, each with its own credentials; make one with ``of``.

    ``servers``: host and port to a token, or an empty text. ``buckets``: scheme and bucket to settings by the names of
    the variables that the store's own tools read. ``repositories``: ``[datasets/]ORG/NAME`` at ``hub`` to a token.
    ``private``: networks that count as public.
    """

    servers: Mapping[tuple[str, int], str] = field(default_factory=dict)
    buckets: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    repositories: Mapping[str, str] = field(default_factory=dict)
    hub: str = HUB
    private: tuple[Network, ...] = ()
    ca_file: str = ""
    resolver: Resolver = system_resolver

    @classmethod
    def of(
        cls,
        hosts: Iterable[str] = (),
        *,
        tokens: Mapping[str, str] = Empty,
        buckets: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        repositories: Mapping[str, str] = Empty,
        hub: str = HUB,
        allow_private: Iterable[str] = (),
        ca_file: str = "",
        resolver: Resolver = system_resolver,
    ) -> AllowList:
        """The list of ``hosts`` (``HOST`` or ``HOST:PORT``, 443 where none is named), ``buckets`` (``s3://BUCKET``)
        and ``repositories`` (``ORG/NAME``). ``tokens`` go to hosts of the list. UsageError for what is none of these.
        """
        servers = {server_of(host): "" for host in hosts}
        for host, token in tokens.items():
            if server_of(host) not in servers:
                raise UsageError(f"a token for {host}, which is not on the list", hint="name it among the hosts too")
            servers[server_of(host)] = token
        at = read_address(f"{hub}/")
        if at.origin[0] != "https" or not is_plain_host(at.origin[1]):
            raise UsageError(f"{at.name} is no hub", hint="https://HOST")
        for name in repositories:
            if repository_of(f"hf://{name}/x") != name:
                raise UsageError(f"{name!r} is no repository", hint="ORG/NAME, datasets/ORG/NAME or spaces/ORG/NAME")
        return cls(
            servers,
            {_bucket_of(name): settings for name, settings in buckets.items()},
            dict(repositories),
            hub,
            tuple(_network(text) for text in allow_private),
            ca_file,
            resolver,
        )

    def judge(self, text: str) -> Address:
        """The address ``text``. UsageError if it is none that can be read, NotListed if nobody is sent there."""
        address = read_address(text, self.hub)
        scheme, host, port = address.origin
        if address.name.startswith("hf://"):
            listed = repository_of(address.name) in self.repositories
        elif scheme in STORES:
            listed = (scheme, host) in self.buckets
        else:
            listed = scheme == "https" and (host, port) in self.servers
        if not listed:
            raise NotListed(f"{address.name} is not on the list of what may be asked for")
        return address

    def narrowed(self, text: str) -> AllowList:
        """This list with no credentials but those for ``text``. UsageError, NotListed: see :meth:`judge`."""
        address = self.judge(text)
        name, place = repository_of(address.name), address.origin[1:]
        hub = address.name.startswith("hf://")
        return replace(
            self,
            servers={each: token if each == place and not hub else "" for each, token in self.servers.items()},
            buckets={each: known for each, known in self.buckets.items() if each == address.origin[:2]},
            repositories={each: token for each, token in self.repositories.items() if hub and each == name},
        )

    def token(self, address: Address) -> str:
        """The token for what :meth:`judge` has let through, or an empty text."""
        if address.name.startswith("hf://"):
            return self.repositories[repository_of(address.name)]
        return self.servers.get(address.origin[1:], "")

    def settings(self, address: Address) -> Mapping[str, str]:
        """Of the store of ``address``. UsageError if the environment would add to them."""
        if found := ambient(os.environ):
            raise UsageError(
                f"{min(found)} is set, which reading from a store would obey",
                hint="a store that strangers name is reached as the list says and not otherwise: unset it",
            )
        return self.buckets[address.origin[:2]]

    def checkpoint(self, address: Address) -> Listed:
        """What requests for ``address`` pass: hosts of the list, and the hub for what lies there."""
        servers = set(self.servers)
        if address.name.startswith("hf://"):
            servers.add(read_address(f"{self.hub}/").origin[1:])
        return Listed(frozenset(servers), self.private, self.resolver)


class Listed:
    """The checkpoint of one object. A name is resolved once: what it stands for later does not matter."""

    def __init__(self, servers: frozenset[tuple[str, int]], private: tuple[Network, ...], resolver: Resolver) -> None:
        self._servers = servers
        self._private = private
        self._resolver = resolver
        self._known: dict[tuple[str, int], tuple[Place, ...]] = {}
        self._lock = Lock()

    def admit(self, at: Address) -> None:
        """See :class:`Checkpoint`. Redirects pass here too."""
        scheme, host, port = at.origin
        if scheme != "https" or (host, port) not in self._servers:
            raise NotListed(f"{at.name} is not on the list of what may be asked for")
        self.places(
            host, port
        )  # here and not first where the library connects, which would call it a broken connection

    def places(self, host: str, port: int) -> tuple[Place, ...]:
        """See :class:`Checkpoint`. A name with one machine too many has none: somebody is playing with it."""
        host = host.strip("[]").lower()
        if (host, port) not in self._servers:
            raise NotListed(f"{host}:{port} is not on the list of what may be asked for")
        with self._lock:
            if (host, port) not in self._known:
                self._known[host, port] = self._resolved(host, port)
            return self._known[host, port]

    def _resolved(self, host: str, port: int) -> tuple[Place, ...]:
        try:
            machines = [str(each) for each in self._resolver(host, port)]
        except (OSError, UnicodeError):
            raise Passing(f"the name {host} cannot be resolved") from None
        if not machines:
            raise Passing(f"the name {host} cannot be resolved")
        for machine in machines:
            if refusal(machine, self._private):  # which one, and what it is for, is not for strangers to know
                raise NotListed(f"{host} leads to a machine that strangers do not get to")
        return tuple(Place(_family(machine), machine, port) for machine in machines[:_MOST_MACHINES])


def ambient(environment: Iterable[str]) -> list[str]:
    """Names of variables that a library for stores obeys, whatever it is told: places, credentials and proxies."""
    return [
        name
        for name in environment
        if name.lower() in _PROXIES or (name.startswith(_AMBIENT) and name not in _HARMLESS)
    ]


def connected(places: Iterable[Place], timeout: float) -> socket.socket:
    """A connection to the first of ``places`` that takes one. OSError of the last that did not."""
    last: OSError = OSError("nobody to connect to")
    for family, machine, port in places:
        new = socket.socket(family, socket.SOCK_STREAM)
        try:
            new.settimeout(timeout)
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            new.connect((machine, port))
        except OSError as error:
            new.close()
            last = error
        else:
            return new
    raise last


def is_plain_host(host: str) -> bool:
    """True for a name, or an address of a machine in its one plain form: not 2130706433, 0x7f.1 or 127.1."""
    try:
        return str(ip_address(host)) == host and "%" not in host
    except ValueError:
        return len(host) < 254 and bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])


def server_of(text: str) -> tuple[str, int]:
    """Host and port of ``HOST[:PORT]``. UsageError."""
    name = shown(f"https://{text}/")
    try:
        address = read_address(f"https://{text}/")
    except UsageError as error:
        raise UsageError(f"{text!r} is no host: {error.message}") from None
    _, host, port = address.origin
    if address.url != name or re.search(r"[/?#]", text) or not is_plain_host(host):
        raise UsageError(f"{text!r} is no host", hint="HOST or HOST:PORT, a machine's address in its plain form")
    return host, port


def _bucket_of(text: str) -> tuple[str, str]:
    scheme, bucket, _ = read_address(f"{text}/x").origin
    if scheme not in STORES or text != f"{scheme}://{bucket}":
        raise UsageError(f"{shown(text)} is no bucket", hint="s3://BUCKET, gs://BUCKET or az://CONTAINER")
    return scheme, bucket


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no network", hint="127.0.0.0/8 or fd00::/8, with nothing behind the mask"
        ) from None


def _family(machine: str) -> Any:
    return socket.AF_INET6 if ip_address(machine).version == 6 else socket.AF_INET
