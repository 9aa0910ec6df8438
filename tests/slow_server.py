"""A server on loopback that takes its time: each answer is written by hand, byte by byte if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event

from tests.loopback_server import LoopbackHandler, LoopbackServer

HEAD = b"HTTP/1.1 200 OK\r\n"


class SlowServer(LoopbackServer):
    """Whatever it is asked, it writes what ``answer`` yields, with ``pause`` seconds behind each piece.

    ``reads``: it takes what a request carries; otherwise nothing beyond its headers.
    """

    def __init__(self, answer: Callable[[int], Iterator[bytes]], *, pause: float = 0.0, reads: bool = True) -> None:
        super().__init__(_Handler)
        self.answer, self.pause, self.reads = answer, pause, reads
        self.asked = self.connected = 0
        self.stopped = Event()

    @property
    def url(self) -> str:
        """An address on it."""
        return f"http://{self.host}/some/thing"

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        super().__exit__()


class _Handler(LoopbackHandler):
    server: SlowServer

    def setup(self) -> None:
        """Count connections."""
        super().setup()
        self.server.connected += 1

    def do_GET(self) -> None:
        """Write the answer; the connection stays, and whoever asked decides."""
        server = self.server
        server.asked += 1
        if not server.reads:
            server.stopped.wait(30)
            return
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with suppress(OSError):
            for piece in server.answer(server.asked):
                self.wfile.write(piece)
                self.wfile.flush()
                if server.stopped.is_set() or (server.pause and server.stopped.wait(server.pause)):
                    self.close_connection = True
                    return

    do_POST = do_PUT = do_CONNECT = do_GET  # noqa: N815


def raw(*pieces: bytes, then: bytes = b"") -> Callable[[int], Iterator[bytes]]:
    """The same answer to everybody: ``pieces``, and ``then`` for ever."""

    def answer(_: int) -> Iterator[bytes]:
        yield from pieces
        while then:
            yield then

    return answer
