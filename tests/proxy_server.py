"""A proxy of the tests on loopback: CONNECT for TLS, whole addresses for http. It asks for a password if it has one."""

from __future__ import annotations

import select
import socket
from base64 import b64encode
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit


class ProxyServer(ThreadingHTTPServer):
    """Passes everything on to ``target``, whatever host is asked for, and keeps what it has seen."""

    daemon_threads = True

    def __init__(self, target: tuple[str, int], password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.password = target, password
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> ProxyServer:
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

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
