"""A proxy of the tests on loopback: CONNECT for TLS, whole addresses for http. It asks for a password if it has one."""

from __future__ import annotations

import select
import socket
from base64 import b64encode
from contextlib import suppress
from urllib.parse import urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer


class ProxyServer(LoopbackServer):
    """Passes everything on to ``target``, whatever host is asked for, and keeps what it has seen."""

    def __init__(self, target: tuple[str, int], password: str = "") -> None:
        super().__init__(_Handler)
        self.target, self.password = target, password
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []


class _Handler(LoopbackHandler):
    server: ProxyServer

    def _admitted(self) -> bool:
        self.server.asked.append((self.command, self.path.partition("?")[0]))
        self.server.headers.append(dict(self.headers.items()))
        wanted = f"Basic {b64encode(self.server.password.encode()).decode()}"
        if not self.server.password or self.headers.get("Proxy-Authorization") == wanted:
            return True
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True
        return False

    def do_CONNECT(self) -> None:
        """A tunnel."""
        if not self._admitted():
            return
        with socket.create_connection(self.server.target) as other:
            self.send_response(200)
            self.end_headers()
            self._pass_on(other)
        self.close_connection = True

    def _pass_on(self, other: socket.socket) -> None:
        ends = {self.connection: other, other: self.connection}
        with suppress(OSError):
            while True:
                for ready in select.select(list(ends), [], [], 30)[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    ends[ready].sendall(data)

    def do_GET(self) -> None:
        """A request with a whole address."""
        if not self._admitted():
            return
        parts = urlsplit(self.path)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with socket.create_connection(self.server.target) as other:
            lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
            lines += [f"{name}: {self.headers[name]}" for name in ("Range", "Accept-Encoding") if name in self.headers]
            other.sendall("\r\n".join([*lines, "", ""]).encode())
            while data := other.recv(1 << 16):
                self.wfile.write(data)
        self.close_connection = True
