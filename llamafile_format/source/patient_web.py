"""The standard library's way to ask the web, by connections whose servers have only so much time (``body``).

For what must work without urllib3: time-stamping authorities, and package indexes.
"""

from __future__ import annotations

import http.client
import ssl
from urllib.request import HTTPHandler, HTTPSHandler, Request

from llamafile_format.source.body import Noted


class _Plain(Noted, http.client.HTTPConnection):
    """One over http."""


class _Secure(Noted, http.client.HTTPSConnection):
    """One over TLS."""


class PlainWeb(HTTPHandler):
    """For ``build_opener``, in the place of what it has for http."""

    def http_open(self, request: Request) -> http.client.HTTPResponse:
        """See :class:`urllib.request.HTTPHandler`."""
        return self.do_open(_Plain, request)


class SecureWeb(HTTPSHandler):
    """For ``build_opener``, in the place of what it has for https. ``trust`` holds the certificates that count."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust or ssl.create_default_context()
        super().__init__(context=self._trust)

    def https_open(self, request: Request) -> http.client.HTTPResponse:
        """See :class:`urllib.request.HTTPSHandler`."""
        return self.do_open(_Secure, request, context=self._trust)
