"""What every request passes before anything else is read of it: names, sizes, keys; and what every answer carries.

An ASGI application around another. A request for ``/v1/`` without a key goes no further, and its body is not read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from llamafile_format.service.config import Gate
from llamafile_format.service.keys import holder
from llamafile_format.service.metrics import Metrics
from llamafile_format.service.told import say

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

UPLOADS = "/v1/uploads"
_BADGE = re.compile(r"/v1/jobs/[^/]*/badge\.svg")
_SMALL = 1 << 16  # bytes of a body that is no upload
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
NOTHING = b"default-src 'none'; frame-ancestors 'none'; sandbox"
"""What an answer may do in a browser that is no page of ours."""


class Front:
    """``inner``, behind the gate's rules."""

    def __init__(self, inner: App, gate: Gate, metrics: Metrics) -> None:
        self._inner = inner
        self._gate = gate
        self._metrics = metrics
        self._names = {gate.host, *gate.names} | (_LOOPBACK if gate.host in _LOOPBACK else set())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request; ``scope["state"]["key"]`` is whose it is."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        key = holder(self._gate.keys, scope["headers"])
        scope.setdefault("state", {})["key"] = key

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_headers(message.get("headers", ()))
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                await refused(scope, receive, answer)
            else:
                await self._inner(scope, receive, answer)
        finally:
            self._metrics.answered(status)
            say(
                "request",
                method=str(scope["method"])[:20],
                path=str(scope["path"])[:200],
                status=status,
                seconds=round(time.monotonic() - began, 3),
                holder=key.name if key else "",
                peer=(scope.get("client") or ("",))[0],
            )

    def _refusal(self, scope: MutableMapping[str, Any]) -> JSONResponse | None:
        """Why this request goes no further, if it does not."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        path = scope["path"]
        if not self._is_ours(_values(headers, b"host")):
            return _problem(421, "this is no name of the gate's: list it in names")
        if self._needs_key(path) and scope["state"]["key"] is None:
            return _problem(401, "no valid key", {"WWW-Authenticate": "Bearer"})
        if path == UPLOADS and scope["method"] == "POST":
            return None
        lengths = _values(headers, b"content-length")
        if _values(headers, b"transfer-encoding"):
            return _problem(411, "say how long the body is")
        if lengths and not _is_small(lengths[0]):
            return _problem(413, f"more than {_SMALL} bytes")
        return None

    def _needs_key(self, path: str) -> bool:
        if path == "/metrics":
            return not self._gate.open_metrics
        return path.startswith("/v1/") and not _BADGE.fullmatch(path)

    def _is_ours(self, hosts: list[bytes]) -> bool:
        """True for one of our names, whatever the port: a page elsewhere whose name leads here is none."""
        if len(hosts) != 1:
            return False
        try:
            return urlsplit(f"//{hosts[0].decode('ascii')}").hostname in self._names
        except ValueError:
            return False


def _is_small(length: bytes) -> bool:
    """True for a length that is one and is small: of digits without end, zeros first, none would be read right."""
    return length.isdigit() and len(length) < 19 and int(length) <= _SMALL


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def _with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    found = list(headers)
    names = {name.lower() for name, _ in found}
    more = [pair for pair in _HEADERS if pair[0] not in names]
    if b"content-security-policy" not in names:
        more.append((b"content-security-policy", NOTHING))
    if b"cache-control" not in names:
        more.append((b"cache-control", b"no-store"))
    return found + more


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
