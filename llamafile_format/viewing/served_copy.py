"""The page as it is served: it opens one file by itself, and may connect to where it came from (spec/1, 11.10.4)."""

from __future__ import annotations

from html import escape

from llamafile_format.errors import FormatError

_CLOSED, _OPEN = "connect-src 'none'", "connect-src 'self'"
_HEAD = "<head>"


def served_copy(page: bytes, address: str, name: str) -> bytes:
    """``page`` that reads the file at ``address``, called ``name``. All else in it stays, its script's digest too.

    Raises FormatError for a page that does not have the two places where a served one differs, each once.
    """
    head, style, rest = page.decode("utf-8").partition("<style>")
    if not style or head.count(_CLOSED) != 1 or head.count(_HEAD) != 1:
        raise FormatError("the page cannot be served: what a served one must change is not there once")
    mark = f'<meta name="llamafile-served" content="{escape(address)}" data-name="{escape(name)}">'
    head = head.replace(_CLOSED, _OPEN).replace(_HEAD, f"{_HEAD}\n{mark}")
    return f"{head}{style}{rest}".encode()
