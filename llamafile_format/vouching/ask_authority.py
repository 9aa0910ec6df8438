"""One question to a time-stamping authority over HTTP (RFC 3161, 3.4). The only bytes that leave are a digest's."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urlsplit
from urllib.request import Request

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.signing.time.timestamps import MAX_RESPONSE
from llamafile_format.source.body import read_bounded
from llamafile_format.source.patient_web import PlainWeb, SecureWeb

TIMEOUT = 30.0  # seconds until the headers of an answer are whole; its body may lag by as many
QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"


class _Stay(urllib.request.HTTPErrorProcessor):
    """Follows nobody: an authority that sends elsewhere is not the one that was named."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        """Called with every answer, before the library would follow it."""
        if 300 <= response.status < 400:
            raise SourceError(
                f"{request.full_url} sends to {response.headers.get('Location')}",
                hint="name that address with --url if you trust it",
            )
        return cast("HTTPResponse", super().http_response(request, response))

    https_response = http_response


def ask(url: str, query: bytes, *, timeout: float = TIMEOUT) -> bytes:
    """What the authority at ``url`` answers; UsageError for a wrong address, SourceError if none comes."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not an address of the web", hint="name one with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise UsageError("an address with a password in it ends up in logs", hint="name the authority without one")
    headers = {"Content-Type": QUERY_TYPE, "Accept": REPLY_TYPE}
    request = Request(url, data=query, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(PlainWeb(), SecureWeb(), _Stay()).open(request, timeout=timeout) as answer:
            kind = answer.headers.get_content_type()
            data = read_bounded(answer, MAX_RESPONSE)
    except urllib.error.HTTPError as error:
        raise SourceError(f"{url} answers {error.code} {error.reason}") from error
    except SourceError:
        raise
    except (OSError, HTTPException) as error:
        raise SourceError(f"no answer from {url}: {getattr(error, 'reason', None) or error}") from error
    if len(data) > MAX_RESPONSE:
        raise SourceError(f"{url} answers more than {MAX_RESPONSE} bytes")
    if kind != REPLY_TYPE:
        raise SourceError(f"{url} answers with {kind}, not {REPLY_TYPE}", hint="is it a time-stamping authority?")
    return data
