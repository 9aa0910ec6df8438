"""How long a server may take, and its body, read straight into the reader's buffer (spec/1, 10.12.4).

What ``http.client`` counts is the silence between two bytes. So a server held us for ever with a byte every ten
seconds, with answers that are none (``100 Continue``) in an endless row, or with trailers behind its last chunk. Here
the clock runs on: headers are whole ``patience`` seconds after the request, and a body may lag behind 16 KiB a second
by so many seconds and no more. ``patience`` is the timeout that the connection has.

What a gigabyte costs beside hashing is Python's own work for each piece of it: so a piece is as large as the system has
it ready, and is copied once, by the system. ``urllib3`` and ``http.client`` copy twice more, in pieces of 64 KiB.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

SLOWEST = 1 << 14
"""Bytes a second: who lags behind that for longer than ``patience`` counts as broken off, and is gone on with."""

_COPIED = _SENT = 1 << 16
_MOST_INTERIM = 5
"""Answers before the answer (status 1xx) that are skipped: Go's client allows as many."""


class _Timed(io.RawIOBase):
    """What comes over ``sock``, until the clock says ``until``."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self.until = sock, until
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket as long as it is read, whoever closes it

    def readable(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """See :class:`io.RawIOBase`. TimeoutError past the time."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """See :class:`io.RawIOBase`."""
        self._raw.close()
        super().close()


class Body(http.client.HTTPResponse):
    """The response of the standard library below that of urllib3. It is read by :meth:`receive`, or :meth:`read1`."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._patience = self._left = sock.gettimeout() or 30.0
        self.fp.close()
        self._timed = _Timed(sock, time.monotonic() + self._patience)
        self.fp = io.BufferedReader(self._timed)

    def _read_status(self) -> tuple[str, int, str]:
        """The first line of the answer, behind those of answers that are none. They have an end."""
        for _ in range(_MOST_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status // 100 != 1 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.RemoteDisconnected("interim answers in a row, and no answer")

    def receive(self, view: memoryview) -> int:
        """Some bytes more, as they come: how many are in ``view`` now. 0 is the end, be it too early or not.

        TimeoutError if the server lags too far behind: what is read afterwards is nothing.
        """
        if self.fp is None:
            return 0
        return self._paced(lambda: self._received(view), int)

    def read1(self, n: int = -1) -> bytes:
        """See :class:`http.client.HTTPResponse`; TimeoutError as from :meth:`receive`."""
        return self._paced(lambda: super(Body, self).read1(n), len)

    def _received(self, view: memoryview) -> int:
        if self.length is None:  # in chunks, or to the end of the connection
            piece = super().read1(min(_COPIED, len(view)))
            view[: len(piece)] = piece
            return len(piece)
        count: int = self.fp.readinto1(view[: self.length])
        self.length -= count
        if not count or not self.length:
            self._close_conn()  # type: ignore[attr-defined]
        return count

    def _paced(self, read: Callable[[], T], count: Callable[[T], int]) -> T:
        """What ``read`` gives in the time that is left. That grows by what is of the body: framing earns nothing."""
        began, earned = time.monotonic(), 0
        self._timed.until = began + self._left
        try:
            found = read()
            earned = count(found)
        finally:
            lag = time.monotonic() - began - earned / SLOWEST
            self._left = min(self._patience, self._left - lag)
        return found


class Noted:
    """For connections: keeps the last body, which is below what urllib3 makes of it, and sends within bounds."""

    body: Body | None = None
    sock: Any
    timeout: Any
    lag: float | None = None
    """Seconds that the other side may lag behind in taking what is sent; None: as many as the timeout has."""

    def _noted(self, *args: Any, **options: Any) -> Body:
        self.body = Body(*args, **options)
        return self.body

    response_class: Any = _noted
    """What ``http.client`` makes of an answer."""

    def send(self, data: Any) -> None:
        """Send ``data``, in pieces of which each has its time: a timeout of the system's would be for all of it, which
        a slow line does not keep. TimeoutError if the other side takes less than 16 KiB a second."""
        if self.sock is None:  # headers, for which the library connects
            super().send(data)  # type: ignore[misc]
            return
        view, began, lag = memoryview(data), time.monotonic(), self.lag or self.timeout
        for at in range(0, len(view), _SENT):
            left = lag + at / SLOWEST - (time.monotonic() - began)
            if left <= 0:
                raise TimeoutError("it takes too long")
            self.sock.settimeout(min(lag, left))  # the last answer has left another one
            super().send(view[at : at + _SENT])  # type: ignore[misc]


def read_bounded(answer: http.client.HTTPResponse, most: int) -> bytes:
    """The body of ``answer``, of which one byte more than ``most`` is read at the most. OSError if it drips."""
    pieces, left = [], most + 1
    while left and (piece := answer.read1(min(left, _COPIED))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
