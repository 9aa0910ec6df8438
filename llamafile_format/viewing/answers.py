"""What the server of ``view`` answers: two things, to one address, read-only (spec/1, 11.10.4).

Whoever asks must know the word in the path, which only the user was told, and must have come by this server's own name:
a page elsewhere that has a browser ask here, by whatever name, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from llamafile_format.errors import SourceError
from llamafile_format.source import ByteSource

PIECE = 1 << 20  # bytes that are read and sent at a time
PATIENCE = 60.0  # seconds for a request, and for taking a piece of the answer
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is served at ``port``: the page under ``/WORD/``, the open file under ``/WORD/file``."""

    page: bytes
    source: ByteSource
    word: str
    port: int


class Answers(BaseHTTPRequestHandler):
    """One connection. A subclass sets ``shown``."""

    shown: Shown
    protocol_version = "HTTP/1.1"
    server_version = "llamafile-format"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Page or file; of the file what the Range asks for."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """The same without a body."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: what is looked at here is the user's own business."""

    def _answer(self, *, body: bool) -> None:
        if not self._is_ours():
            self._refuse(421)
        elif self.path == f"/{self.shown.word}/":
            page = self.shown.page
            self._head(200, len(page), {"Content-Type": "text/html; charset=utf-8"})
            if body:
                self.wfile.write(page)
        elif self.path == f"/{self.shown.word}/file":
            self._file(body=body)
        else:
            self._refuse(404)

    def _is_ours(self) -> bool:
        """Asked by this server's own name, and by no page of another."""
        names = {f"127.0.0.1:{self.shown.port}", f"localhost:{self.shown.port}"}
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        own = {f"http://{name}" for name in names}
        return len(hosts) == 1 and hosts[0] in names and all(origin in own for origin in origins)

    def _file(self, *, body: bool) -> None:
        size = self.shown.source.size
        wanted = self.headers.get("Range")
        start, end = (0, size) if wanted is None else _span(wanted, size)
        if start >= end and wanted is not None:
            self._refuse(416, {"Content-Range": f"bytes */{size}"})
            return
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._head(200 if wanted is None else 206, end - start, headers)
        if body:
            try:
                for piece in _pieces(self.shown.source, start, end):
                    self.wfile.write(piece)
            except (SourceError, OSError):  # the file has shrunk, or nobody listens: a short answer says so
                self.close_connection = True

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self._head(status, 0, headers or {})


def _span(wanted: str, size: int) -> tuple[int, int]:
    """[start, end) of one range that says where it begins; empty for anything else, and beyond the end."""
    match = _RANGE.fullmatch(wanted)
    if match is None:
        return 0, 0
    return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size


def _pieces(source: ByteSource, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, PIECE):
        yield source.read_at(at, min(PIECE, end - at))
