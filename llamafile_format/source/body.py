"""The body of an answer, read straight into the reader's buffer.

What a gigabyte costs beside hashing is Python's own work for each piece of it: so a piece is as large as the system has
it ready, and is copied once, by the system. ``urllib3`` and ``http.client`` copy twice more, in pieces of 64 KiB.
"""

from __future__ import annotations

import http.client
from typing import Any

_COPIED = 1 << 16


class Body(http.client.HTTPResponse):
    """The response of the standard library below that of urllib3."""

    def receive(self, view: memoryview) -> int:
        """Some bytes more, as they come: how many are in ``view`` now. 0 is the end, be it too early or not."""
        if self.fp is None:
            return 0
        if self.length is None:  # in chunks, or to the end of the connection
            piece = self.read1(min(_COPIED, len(view)))
            view[: len(piece)] = piece
            return len(piece)
        count: int = self.fp.readinto1(view[: self.length])
        self.length -= count
        if not count or not self.length:
            self._close_conn()  # type: ignore[attr-defined]
        return count


class Noted:
    """For connections: keeps the last body, which is below what urllib3 makes of it."""

    body: Body | None = None

    def _noted(self, *args: Any, **options: Any) -> Body:
        self.body = Body(*args, **options)
        return self.body

    response_class: Any = _noted
    """What ``http.client`` makes of an answer."""
