"""Words in the bytes of a program that say what it would do: commands, addresses, paths (spec/1.0, 14.8.2).

Patterns read one or two megabytes a second, and a program has sixty. So what every find contains is looked for first,
literally, in bytes made lower-case, and patterns see only the text around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llamafile_format.checks.evidence import Find, Sort, search

ANCHORS: dict[bytes, Sort] = {
    b"curl ": Sort.PIPELINE,
    b"wget ": Sort.PIPELINE,
    b"base64 ": Sort.PIPELINE,
    b"invoke-": Sort.PIPELINE,
    b"downloadstring": Sort.PIPELINE,
    b"bin/sh": Sort.COMMAND,
    b"bin/bash": Sort.COMMAND,
    b"powershell": Sort.COMMAND,
    b"cmd.exe": Sort.COMMAND,
    b"cmd /": Sort.COMMAND,
    b"certutil": Sort.COMMAND,
    b"rundll32": Sort.COMMAND,
    b"schtasks": Sort.COMMAND,
    b"rm -": Sort.COMMAND,
    b"chmod ": Sort.COMMAND,
    b"/dev/tcp/": Sort.COMMAND,
    b"python": Sort.COMMAND,
    b"perl -": Sort.COMMAND,
    b"os.system": Sort.COMMAND,
    b"subprocess.": Sort.COMMAND,
    b"__import__": Sort.COMMAND,
    b"eval(": Sort.COMMAND,
    b"pickle.load": Sort.COMMAND,
    b"://": Sort.ADDRESS,
    b"/etc/": Sort.PATH,
    b".ssh": Sort.PATH,
    b"id_rsa": Sort.PATH,
    b"\\system32": Sort.PATH,
    b"launchagents": Sort.PATH,
}
"""What a find contains, in lower case, and the sort that it may be of."""

AROUND = 300  # bytes of text on either side of an anchor that patterns see
_WIDE = {anchor: anchor.decode().encode("utf-16-le") for anchor in ANCHORS}
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")


class Words:
    """The first find of each sort in the windows that are given to :meth:`look`; ``left`` bounds the bytes that
    patterns see, and is at most 0 where more was there than they saw."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.found: dict[Sort, Find] = {}

    def look(self, data: bytes, at: int) -> None:
        """Search ``data``, which stands at ``at``, for sorts that were not found yet."""
        low = data.lower()
        thin = low.replace(b"\0", b"")  # what stands there in one or in two bytes a character stands in it in one
        for anchor, sort in ANCHORS.items():
            if sort not in self.found and anchor in thin:
                self._around(data, low, anchor, sort, at, step=1)
                self._around(data, low, _WIDE[anchor], sort, at, step=2)

    def _around(self, data: bytes, low: bytes, anchor: bytes, sort: Sort, base: int, *, step: int) -> None:
        place = low.find(anchor)
        while place >= 0 and sort not in self.found and self.left > 0:
            start, text = _text(data, place, step)
            self.left -= len(text) + 64
            for found in search(text):
                self.found.setdefault(found.sort, Find(found.sort, base + start + step * found.at, found.text))
            place = low.find(anchor, max(start + step * len(text), place + 1))

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
