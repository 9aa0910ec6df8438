"""Step over an array of strings without making one: the time of reading a vocabulary is spent here (spec/1.0, 7.2.4).

Each string is a length and that many bytes, so finding the end means visiting every length. A regular expression with
one alternative for each short length visits 256 strings in one call, in C, and cannot be misled: an alternative
matches a length field exactly and then takes exactly that many bytes. Whatever it does not match (a longer string,
the end of the window) the plain loop walks. Measured on 777,050 strings: 30 ms, against 59 ms for the loop alone.
"""

from __future__ import annotations

import re
import struct
from functools import cache

from llamafile_format.weights.gguf_cursor import Cursor
from llamafile_format.weights.gguf_limits import STRING_BYTES
from llamafile_format.weights.gguf_model import Dialect

GROUP = 256
"""Strings stepped over by one match."""

COMMON = (8, 9, 6, 10, 7, 12, 3, 5, 11, 13, 4, 15, 14, 18, 16, 24, 19, 21, 22, 17, 20, 2, 1, 0, 23, *range(25, 49))
"""Lengths with an alternative of their own, the most frequent in real vocabularies first."""


@cache
def group_pattern(order: str, width: int) -> re.Pattern[bytes]:
    """Matches exactly GROUP strings whose lengths are in COMMON; ``width`` is 4 or 8 bytes a length."""
    layout = struct.Struct(order + ("I" if width == 4 else "Q"))
    alternatives = b"|".join(re.escape(layout.pack(n)) + b".{%d}" % n for n in COMMON)
    return re.compile(b"(?s)(?:%s){%d}+" % (alternatives, GROUP))


def skip_strings(cursor: Cursor, count: int, dialect: Dialect, field: str) -> None:
    """Move ``cursor`` behind ``count`` strings. Stops with LF5019 at a length that leaves the file."""
    width = dialect.length.size
    left = count
    while left:
        cursor.fill(width)
        cursor.at, left = _walk_window(cursor.data, cursor.at, left, dialect)
        if left and cursor.at + width <= len(cursor.data):
            _long_string(cursor, dialect, f"{field}[{count - left}]")
            left -= 1


def _walk_window(data: bytes, at: int, left: int, dialect: Dialect) -> tuple[int, int]:
    """Step over strings that lie whole inside ``data``; return where it stopped and how many of ``left`` remain."""
    layout = dialect.length
    match = group_pattern(dialect.order, layout.size).match if left >= GROUP else None
    unpack, width = layout.unpack_from, layout.size
    last = len(data) - width
    while left:
        while match and left >= GROUP and (found := match(data, at)):
            at = found.end()
            left -= GROUP
        for _ in range(min(left, GROUP)):
            if at > last:
                return at, left
            length = unpack(data, at)[0]
            if length > last - at:
                return at, left
            at += width + length
            left -= 1
    return at, left


def _long_string(cursor: Cursor, dialect: Dialect, field: str) -> None:
    """Step over a string that leaves the window, however long; its length is checked against what remains."""
    place = cursor.position
    length = cursor.number(dialect.length)
    if length > cursor.remaining:
        raise cursor.log.stop("LF5019", place, field, length=length, remaining=cursor.remaining)
    if length > STRING_BYTES:
        cursor.log.add("LF5020", place, field, length=length, limit=STRING_BYTES)
    cursor.skip(length)
