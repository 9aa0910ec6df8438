"""A server of one object on loopback that serves ranges well, or badly in one way that its path names.

``server.url("short")`` is the object behind a server that breaks off. What was asked and sent is counted.
"""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

from tests.loopback_server import LoopbackHandler, LoopbackServer

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
TOKEN = "t0ken"


class FaultServer(LoopbackServer):
    """Serves ``data`` under every path; the path's first part is the fault, further parts its argument.

    ``data`` may be exchanged while it serves. ``hidden`` collects secrets that arrived: Authorization headers.
    """

    def __init__(self, data: bytes, *, certificate: Path | None = None) -> None:
        super().__init__(_Handler)
        self.data, self.requests, self.sent = data, 0, 0
        self.tag = ""
        self.seen: Counter[str] = Counter()
        self.tokens: list[str] = []
        self.lock, self.stopped = Lock(), Event()
        self.most: int | None = None  # the byte from which on no large range is had
        self.scheme = "http"
        self.elsewhere = ""
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket, self.scheme = context.wrap_socket(self.socket, server_side=True), "https"

    def url(self, fault: str = "plain", host: str = "127.0.0.1") -> str:
        """The address of the object behind ``fault``."""
        return f"{self.scheme}://{host}:{self.server_address[1]}/{fault}/model.llamafile"

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        super().__exit__()


class _Handler(LoopbackHandler):
    server: FaultServer

    def do_HEAD(self) -> None:
        """Nobody is to ask for it, but for a store that knows no ranges from the end."""
        if not self.path.startswith("/no-suffix/"):
            self._say(405)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.send_header("ETag", f'"{hash(self.server.data) & 0xFFFFFFFF:x}"')
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.end_headers()

    def do_GET(self) -> None:
        """Answer with the fault that the path names."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        self.fault, self.argument = parts[0], parts[1:-1]
        with self.server.lock:
            self.server.requests += 1
            self.server.seen[self.fault] += 1
            self.turn = self.server.seen[self.fault]
            self.server.tokens += [self.headers["Authorization"]] if "Authorization" in self.headers else []
        before: Callable[[], bool] = getattr(self, f"_before_{self.fault.replace('-', '_')}", lambda: False)
        if not before():
            self._serve()

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # What happens instead of an answer: True if nothing more is to be said.

    def _before_redirect(self) -> bool:
        self._say(302, Location=f"/{self.argument[0] if self.argument else 'plain'}/model.llamafile?sig=s3cret")
        return True

    def _before_loop(self) -> bool:
        self._say(302, Location=f"/loop/model.llamafile?turn={self.turn}")
        return True

    def _before_away(self) -> bool:
        self._say(307, Location=self.server.elsewhere)
        return True

    def _before_flaky(self) -> bool:
        if self.turn % 2:
            self._say(503, Retry_After="0")
        return bool(self.turn % 2)

    def _before_down(self) -> bool:
        self._say(503)
        return True

    def _before_expiring(self) -> bool:
        """An address that we were sent to, and that has run out once."""
        over = self.turn == 4
        if over:
            self.server.seen["redirect before it ran out"] = self.server.seen["redirect"]
            self._say(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return over

    def _before_refused(self) -> bool:
        page = b"<Error><Code>SignatureDoesNotMatch</Code><Provided>s3cret</Provided></Error>"
        self._say(403, page)
        return True

    def _before_echo(self) -> bool:
        """All that it was told, as what a store would say."""
        said = f"{self.headers.get('Authorization', '').removeprefix('Bearer ')}"
        self._say(403, f"<Code>{said}</Code><Message>{said} {self.path}</Message><Code>AccessDenied</Code>".encode())
        return True

    def _before_missing(self) -> bool:
        self._say(404)
        return True

    def _before_locked(self) -> bool:
        locked = self.headers.get("Authorization") != f"Bearer {TOKEN}"
        if locked:
            self._say(401)
        return locked

    def _before_no_suffix(self) -> bool:
        suffix = self.headers["Range"].startswith("bytes=-")
        if suffix:
            self._say(501)
        return suffix

    def _before_silent(self) -> bool:
        self.server.stopped.wait(30)
        return True

    def _is_beyond(self) -> bool:
        low, _, high = self.headers["Range"].removeprefix("bytes=").partition("-")
        large = bool(low) and int(high) - int(low) >= 1 << 19
        return self.server.most is not None and large and int(low) >= self.server.most

    def _before_tiring(self) -> bool:
        if self._is_beyond():
            self.server.stopped.wait(60)
        return self.server.stopped.is_set()

    def _before_failing(self) -> bool:
        over = self._is_beyond()
        if over:
            self._say(404)
        return over

    def _before_drip_headers(self) -> bool:
        self.wfile.write(b"HTTP/1.1 206 Partial Content\r\n")
        with suppress(OSError):
            while not self.server.stopped.wait(0.05):
                self.wfile.write(b"X: y\r\n"[self.turn % 2 : self.turn % 2 + 1] or b"x")
                self.wfile.flush()
        return True

    # An answer, and what is wrong with it.

    def _serve(self) -> None:
        data, size = self.server.data, len(self.server.data)
        found = RANGE.fullmatch(self.headers.get("Range", ""))
        assert found, "every request has a range"
        assert self.headers.get("Accept-Encoding", "identity") == "identity"
        first, last = found.groups()
        low = int(first) if first else max(0, size - int(last))
        high = min(int(last) + 1 if first and last else size, size)
        if low >= size:
            self._say(416, Content_Range=f"bytes */{size}")
            return
        body = data[low:high]
        headers = {"Content-Range": f"bytes {low}-{high - 1}/{size}", "Content-Length": str(high - low)}
        headers["ETag"] = f'"{self.server.tag or f"{hash(data) & 0xFFFFFFFF:x}"}"'
        status = 206
        change: Callable[..., tuple[int, bytes]] = getattr(
            self, f"_with_{self.fault.replace('-', '_')}", lambda *_: (status, body)
        )
        status, body = change(headers, body, low, high, size)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self._send(body)

    def _send(self, body: bytes) -> None:
        sent = len(body)
        with suppress(OSError):
            if self.fault == "short":
                body = body[: len(body) // 2]
                self.close_connection = True
            if self.fault == "cut" and self.turn % 3:
                self.wfile.write(body[: len(body) // 2])
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            if self.fault == "drip":
                for at in range(0, len(body), 64):
                    if self.server.stopped.wait(0.05):
                        return
                    self.wfile.write(body[at : at + 64])
                    self.wfile.flush()
                return
            self.wfile.write(body)
        with self.server.lock:
            self.server.sent += sent

    def _with_ignores(self, headers: dict[str, str], _b: bytes, _l: int, _h: int, size: int) -> tuple[int, bytes]:
        del headers["Content-Range"]
        headers["Content-Length"] = str(size)
        return 200, self.server.data

    def _with_shifted(self, headers: dict[str, str], body: bytes, low: int, high: int, size: int) -> tuple[int, bytes]:
        headers["Content-Range"] = f"bytes {low + 1}-{high}/{size}"
        return 206, body

    def _with_star(self, headers: dict[str, str], body: bytes, low: int, high: int, _s: int) -> tuple[int, bytes]:
        headers["Content-Range"] = f"bytes {low}-{high - 1}/*"
        return 206, body

    def _with_no_range(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["Content-Range"]
        headers["Content-Type"] = "multipart/byteranges; boundary=x"
        return 206, body

    def _with_huge(self, headers: dict[str, str], body: bytes, low: int, high: int, _s: int) -> tuple[int, bytes]:
        headers["Content-Range"] = f"bytes {low}-{high - 1}/{10**30}"
        return 206, body

    def _with_longer(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        headers["Content-Length"] = str(len(body) + 7)
        return 206, body + b"surplus"

    def _with_longer_unsaid(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["Content-Length"]
        return 206, body + b"surplus"

    def _with_no_length(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["Content-Length"]
        return 206, body

    def _with_chunked(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["Content-Length"]
        headers["Transfer-Encoding"] = "chunked"
        return 206, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    def _with_gzip(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(body))
        return 206, body

    def _with_changing(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        headers["ETag"] = f'"{min(self.turn, 3)}"'
        return 206, body

    def _with_changing_size(
        self, headers: dict[str, str], body: bytes, low: int, high: int, size: int
    ) -> tuple[int, bytes]:
        del headers["ETag"]
        headers["Content-Range"] = f"bytes {low}-{high - 1}/{size + (self.turn > 2)}"
        return 206, body

    def _with_changing_time(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["ETag"]
        headers["Last-Modified"] = f"Sun, 29 Nov 2026 00:00:0{min(self.turn, 3)} GMT"
        return 206, body

    def _with_weak(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        headers["ETag"] = f"W/{headers['ETag']}"
        return 206, body

    def _with_no_tag(self, headers: dict[str, str], body: bytes, *_: Any) -> tuple[int, bytes]:
        del headers["ETag"]
        return 206, body

    def _with_flipped(self, _h: dict[str, str], body: bytes, low: int, high: int, _s: int) -> tuple[int, bytes]:
        at = 65_600  # in the first member that holds data
        if low <= at < high:
            body = body[: at - low] + bytes([body[at - low] ^ 1]) + body[at - low + 1 :]
        return 206, body
