"""Connections to servers, kept open and shared by threads; everything of urllib3 that is used stands here.

No credential and no setting is taken from the environment, and proxies are those that are given. Redirects and tries
are for ``http_object``, which judges each of them. A server that holds us up can be cut off from another thread.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import Address, cut
from llamafile_format.source.allow_list import Checkpoint, connected
from llamafile_format.source.answers import Answer, Passing
from llamafile_format.source.body import Noted
from llamafile_format.source.proxies import NONE, Proxies, Proxy

if TYPE_CHECKING:
    from urllib3 import PoolManager


_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})")
_CONNECT = 10.0  # seconds, at most, until a machine has answered that it is there


class Connections:
    """At most ``parallel`` connections to each host. ``ca_file`` takes the place of the system's certificates.

    A server that has no headers for us after ``patience`` seconds, or lags so far behind with a body, is given up (see
    ``body``). ``checkpoint`` judges every request and every machine that is connected to.
    """

    def __init__(
        self,
        *,
        ca_file: str,
        parallel: int,
        patience: float,
        checkpoint: Checkpoint | None = None,
        proxies: Proxies = NONE,
    ) -> None:
        self.ended = threading.Event()
        self._patience = patience
        self._checkpoint = checkpoint
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        tls = functools.cache(lambda: _context(ca_file))  # reading the system's certificates takes 0.1 s
        if ca_file:
            tls()
        self._proxies = proxies
        make = _pools(tls, parallel, patience, self._note, checkpoint)
        self._pools = {proxy: make(proxy) for proxy in {None, proxies.http, proxies.https}}

    def _note(self, new: socket.socket) -> None:
        self._sockets.add(new)
        if self.ended.is_set():
            _shut(new)

    def get(self, at: Address, headers: Mapping[str, str]) -> Answer:
        """The answer to a GET: see :meth:`ask`."""
        return self.ask("GET", at, headers)

    def ask(self, method: str, at: Address, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """The answer to a request, its body unread. Passing if there is none this time, SourceError if there will be
        none.

        Nothing that urllib3 says about an error is shown: it quotes addresses whole.
        """
        from urllib3 import exceptions

        if self.ended.is_set():
            raise SourceError("reading was ended")
        if self._checkpoint is not None:
            self._checkpoint.admit(at)
        proxy = self._proxies.between(at)
        try:
            response = self._pools[proxy].request(
                method,
                at.url,
                headers=headers,
                body=body,
                redirect=False,
                pool_timeout=self._patience,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except exceptions.SSLError as error:
            raise SourceError(
                f"{cut(at.name)}: no trustworthy connection: {_tls_reason(error)}",
                hint="name the authority of a server of your own: --ca-file FILE",
            ) from None
        except exceptions.ProxyError as error:
            raise _of_proxy(proxy, error) from None
        except exceptions.NameResolutionError:
            raise Passing(f"the name {cut(at.origin[1])} cannot be resolved") from None
        except exceptions.NewConnectionError:
            raise Passing(f"no connection to {cut(at.origin[1])}:{at.origin[2]}") from None
        except exceptions.TimeoutError:
            raise Passing("the server does not answer") from None
        except (exceptions.HTTPError, OSError):
            raise Passing("the connection broke off") from None
        return Answer(response, getattr(response.connection, "body", None))

    def close(self) -> None:
        """End all connections at once, those too that a thread is reading from, and allow no other; safe to call twice.

        The socket below TLS is shut, so that whoever reads gets an end and never the bytes below.
        """
        self.ended.set()
        for each in list(self._sockets):
            _shut(each)
        for pool in self._pools.values():
            pool.clear()


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(each, socket.SHUT_RDWR)


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {ca_file} holds no certificates that can be read") from error


def _tls_reason(error: Exception) -> str:
    """What the TLS library found: its words name no address."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or type(inner).__name__
    return str(reason).lower().replace("_", " ")[:200]


def _of_proxy(proxy: Proxy | None, error: Exception) -> Exception:
    """What is said of a proxy that fails: its name, and the status by which it refuses."""
    name = proxy.name if proxy else "of nobody"
    found = _REFUSED.search(str(error))
    if found is None:
        return Passing(f"no connection to the proxy {name}")
    words = f"the proxy {name} does not let us through ({found[1]})"
    return Passing(words) if found[1].startswith("5") else SourceError(words)


def _pools(
    tls: Callable[[], ssl.SSLContext],
    parallel: int,
    patience: float,
    note: Callable[[socket.socket], None],
    checkpoint: Checkpoint | None,
) -> Callable[[Proxy | None], PoolManager]:
    """What makes the connections through a proxy, or without one."""
    try:
        import urllib3
    except ImportError as error:
        raise UsageError(
            "reading over a network needs urllib3", hint="pip install 'llamafile-format[remote]'"
        ) from error
    plain, secure = _connections(patience, note, checkpoint)

    class PlainPool(urllib3.HTTPConnectionPool):
        """Connections that are noted."""

        ConnectionCls: Any = plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        """Connections that are noted."""

        ConnectionCls: Any = secure

        def __init__(self, *where: Any, **options: Any) -> None:
            """A pool for one host, under the certificates of ``tls``."""
            super().__init__(*where, **options | {"ssl_context": tls()})

    def made(proxy: Proxy | None) -> PoolManager:
        """Connections by these classes."""
        timeout = urllib3.Timeout(connect=min(patience, _CONNECT), read=patience)
        options: dict[str, Any] = {"maxsize": parallel, "block": True, "timeout": timeout}
        if proxy is None:
            pool = urllib3.PoolManager(**options)
        else:
            pool = urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers, **options)
        pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
        return pool

    return made


def _connections(
    patience: float, note: Callable[[socket.socket], None], checkpoint: Checkpoint | None
) -> tuple[type, type]:
    """The classes of connections without and with TLS: each notes its socket, so that it can be cut."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.exceptions import NewConnectionError

    class Plain(Noted, HTTPConnection):
        """Notes its socket, and the body of its last answer."""

        lag = patience  # its timeout is that of connecting while it sends

        def connect(self) -> None:
            """Connect, and note the socket."""
            super().connect()
            note(self.sock)

        def _new_conn(self) -> socket.socket:
            if checkpoint is not None:  # it lets no such address through: this is the second lock
                raise SourceError("nobody is asked over http")
            return super()._new_conn()

    class Secure(Noted, HTTPSConnection):
        """Notes the same; connects to a machine that was judged, whose certificate must be of the name."""

        lag = patience

        def connect(self) -> None:
            """Connect, and note the socket."""
            super().connect()
            note(self.sock)

        def _new_conn(self) -> socket.socket:
            if checkpoint is None:
                return super()._new_conn()
            places = checkpoint.places(self.host, self.port or 443)
            try:
                return connected(places, min(patience, _CONNECT))
            except OSError as error:
                raise NewConnectionError(self, "no connection") from error

    return Plain, Secure
