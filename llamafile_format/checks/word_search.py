"""Where any of many words begins in bytes, fast: each is looked for at one of its rarer bytes (spec/1, 7.15).

An expression of many alternatives is tried at every byte, which costs a second for a megabyte. A single byte is found
in a thousandth of that, and what stands around it is compared in place. So text without any of the words costs little,
and text full of what almost is one costs a bounded amount for each byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_FOLDED = bytes(0x20 if byte in b"\t\n\v\f\r" else byte for byte in bytes(range(256)).lower())


def folded(data: bytes) -> bytes:
    """``data`` in lower case, with every blank and end of a line as a space: of the same length."""
    return data.translate(_FOLDED)


class Group(NamedTuple):
    """``words`` that all have ``byte``. ``around`` matches it where it stands in one, whose number is ``lastindex``."""

    byte: bytes
    words: tuple[bytes, ...]
    around: re.Pattern[bytes]

    def starts(self, low: bytes) -> Iterator[int]:
        """Where in ``low`` one of the words begins."""
        if self.byte in low:
            before = [word.index(self.byte) for word in self.words]
            for found in self.around.finditer(low):
                yield found.start() - before[(found.lastindex or 1) - 1]


class Words:
    """Words to look for, as :func:`folded` writes them, each under a byte that it has and that is not frequent."""

    def __init__(self, words: Mapping[bytes, tuple[bytes, ...]]) -> None:
        self.groups = tuple(Group(byte, group, _around(byte, group)) for byte, group in words.items())

    def starts(self, low: bytes) -> list[int]:
        """Where in ``low``, which is folded, a word begins, in order."""
        return sorted({start for group in self.groups for start in group.starts(low)})


def first(pattern: re.Pattern[bytes], words: Words, data: bytes, low: bytes) -> int:
    """Where ``pattern`` matches first in ``data``, -1 if nowhere. Every match of it begins with one of ``words``."""
    return next((start for start in words.starts(low) if pattern.match(data, start)), -1)


def _around(byte: bytes, group: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """``byte``, and in front of it and behind it, which is not passed over, what makes it a word of ``group``."""
    rest = (word.partition(byte)[2] for word in group)
    words = (b"%b(?<=%b)()" % (re.escape(tail), re.escape(word)) for tail, word in zip(rest, group, strict=True))
    return re.compile(b"%b(?=%b)" % (re.escape(byte), b"|".join(words)), re.DOTALL)
