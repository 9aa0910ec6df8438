"""Words in the bytes of a program that say what it would do: commands, addresses, paths (spec/1, 14.8.2).

A program is full of what only looks like words. So what a find contains is looked for first, and patterns see only the
text around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llamafile_format.checks.evidence import Find, Sort, search
from llamafile_format.checks.word_search import Words, folded

ANCHORS = {
    Sort.PIPELINE: Words(
        {b"u": (b"curl ",), b"w": (b"wget ", b"downloadstring"), b"b": (b"base64 ",), b"v": (b"invoke-",)}
    ),
    Sort.COMMAND: Words(
        {
            b"b": (b"bin/sh", b"bin/bash", b"subprocess."),
            b"p": (b"powershell", b"python", b"perl -", b"pickle.load"),
            b"m": (b"cmd.exe", b"cmd /", b"rm -", b"chmod ", b"os.system", b"__import__"),
            b"v": (b"/dev/tcp/", b"eval("),
            b"2": (b"rundll32",),
            b"k": (b"schtasks",),
            b"u": (b"certutil",),
        }
    ),
    Sort.ADDRESS: Words({b":": (b"://",)}),
    Sort.PATH: Words(
        {
            b"/": (b"/etc/",),
            b".": (b".ssh",),
            b"_": (b"id_rsa",),
            b"\\": (b"\\system32",),
            b"g": (b"launchagents",),
        }
    ),
}
"""What a find of each sort contains, in lower case."""

AROUND = 300  # bytes of text on either side of an anchor that patterns see
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")


class Wording:
    """The first find of each sort in the windows that are given to :meth:`look`; ``left`` bounds the bytes that
    patterns see, and is at most 0 where more was there than they saw."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.found: dict[Sort, Find] = {}

    def look(self, data: bytes, at: int) -> None:
        """Search ``data``, which stands at ``at``, for sorts that were not found yet."""
        if self.left <= 0 or len(self.found) == len(ANCHORS):
            return
        low = folded(data)
        for step, first in ((1, 0), (2, 0), (2, 1)):  # one byte a character, or two, from either of them
            text = low[first::step]
            for sort, words in ANCHORS.items():
                if sort not in self.found:
                    self._around(data, words.starts(text), sort, at, step=step, first=first)

    def _around(self, data: bytes, starts: Iterable[int], sort: Sort, base: int, *, step: int, first: int) -> None:
        end = 0
        for place in starts:
            if sort in self.found or self.left <= 0:
                return
            if place >= end:
                start, text = _text(data, first + step * place, step)
                self.left -= len(text) + 64
                for found in search(text, program=True):
                    self.found.setdefault(found.sort, Find(found.sort, base + start + step * found.at, found.text))
                end = (start - first) // step + len(text)

    def __iter__(self) -> Iterator[Find]:
        """What was found, in the order of sorts."""
        return (self.found[sort] for sort in Sort if sort in self.found)


def _text(data: bytes, place: int, step: int) -> tuple[int, bytes]:
    """The text in ``data`` around ``place`` and where it begins; of two bytes a character (``step``), every other."""
    start = max(place % step, place - AROUND * step)
    before = data[start:place:step]
    text = len(before) - len(_match(before[::-1]))
    run = before[text:] + _match(data[place : place + AROUND * step : step])
    return start + text * step, run


def _match(data: bytes) -> bytes:
    found = _TEXT.match(data)
    return found.group() if found else b""
