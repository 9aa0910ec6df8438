"""Proxies between us and servers, as the user's variables name them (spec/1, 10.12.10).

A proxy sees whom we ask, and of http every byte. TLS goes through it untouched. This very machine is asked directly, so
what is sent to it without TLS is seen by nobody else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from llamafile_format.errors import UsageError
from llamafile_format.source.address import Address, is_this_machine

_PLAIN = re.compile(r"[!-~]{1,2048}")
_MINE = "localhost,127.0.0.0/8,::1"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens. ``name`` is what may be shown, ``secret`` what is sent to it and nobody else."""

    name: str
    secret: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"http://{self.name}"

    @property
    def url_with_secret(self) -> str:
        """The same with them, for a library that asks by itself; to be shown nowhere."""
        user, _, password = self.secret.partition(":")
        return f"http://{quote(user, '')}:{quote(password, '')}@{self.name}" if user else self.url

    @property
    def headers(self) -> dict[str, str]:
        """What lets us through."""
        coded = b64encode(self.secret.encode("latin-1", "replace")).decode("ascii")
        return {"Proxy-Authorization": f"Basic {coded}"} if self.secret else {}


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies for http and https, and the hosts that are asked without one, as ``NO_PROXY`` lists them."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Proxies:
        """As the variables say. UsageError, which shows no password, for a proxy that is none."""

        def said(name: str) -> str:
            """A variable in small letters counts before one in capitals."""
            return environment.get(name, "") or environment.get(name.upper(), "")

        http = environment.get("http_proxy", "")
        if not http and "REQUEST_METHOD" not in environment:  # there, a stranger's header Proxy becomes HTTP_PROXY
            http = environment.get("HTTP_PROXY", "")
        every = said("all_proxy")
        named = {"http_proxy": http or every, "https_proxy": said("https_proxy") or every}
        found = {variable: _read(variable, text) if text else None for variable, text in named.items()}
        return cls(found["http_proxy"], found["https_proxy"], said("no_proxy"))

    def between(self, at: Address) -> Proxy | None:
        """The proxy on the way to ``at``; None if there is none."""
        scheme, host, port = at.origin
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or is_this_machine(host) or self._exempts(f"{host}:{port}"):
            return None
        return proxy

    @property
    def excludes(self) -> str:
        """Hosts that are asked without a proxy, for a library that asks by itself."""
        return f"{self.exempt},{_MINE}" if self.exempt else _MINE

    def _exempts(self, host: str) -> bool:
        if not self.exempt:
            return False
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        return bool(proxy_bypass_environment(host, {"no": self.exempt}))


NONE = Proxies()


def _read(variable: str, text: str) -> Proxy:
    """The proxy ``text``: ``http://[USER[:PASSWORD]@]HOST:PORT``, or without the scheme."""
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not _PLAIN.fullmatch(whole) or parts.scheme.lower() != "http" or not host:
        raise UsageError(
            f"{variable} names no proxy that is used", hint="http://HOST:PORT; https is asked for through it by CONNECT"
        )
    user = unquote(parts.username or "", "latin-1")
    secret = f"{user}:{unquote(parts.password or '', 'latin-1')}" if user else ""
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"{shown}:{port or 80}", secret)
