"""Orders to a model in words that are not its user's: in templates and in what a file says of itself (spec/1, 7.11.13).

Who writes *ignore all previous instructions* into a description hopes that a model reads it. A search for idioms is no
proof of anything, and a list of them is never whole; none of them stands in a known template.
"""

from __future__ import annotations

import re

from llamafile_format.checks.word_search import Words, first, folded

_ORDER = re.compile(
    rb"(?:ignore|disregard|forget|override|bypass)\s{1,4}(?:[\w\'-]{1,20}\s{1,4}){0,2}"
    rb"(?:previous|prior|earlier|above|preceding|foregoing)\s{1,4}(?:\w{1,20}\s{1,4})?"
    rb"(?:instruction|prompt|message|rule|guideline|direction|context)"
    rb"|(?:do\s{1,4}not|don\'t|never|must\s{1,4}not)\s{1,4}(?:ever\s{1,4})?(?:mention|reveal|disclose|admit)\s{1,4}"
    rb"(?:this|that|these|it|why|who|anything|to\s{1,4}any|to\s{1,4}the\s{1,4}user)(?!\w)"
    rb"|(?:do\s{1,4}not|don\'t|never)\s{1,4}say\s{1,4}(?:why|that\s{1,4}you)(?!\w)"
    rb"|always\s{1,4}(?:recommend|promote|advertise|endorse)(?!\w)",
    re.IGNORECASE,
)
_BEGINNINGS = Words(
    {
        b"g": (b"ignore ", b"disregard ", b"forget "),
        b"v": (b"override ", b"never "),
        b"p": (b"bypass ",),
        b"d": (b"do ", b"don't "),
        b"m": (b"must ",),
        b"w": (b"always ",),
    }
)


def order(data: bytes, low: bytes | None = None) -> int:
    """Where the first order begins in ``data``, whose folded form is ``low``; -1 if there is none."""
    return first(_ORDER, _BEGINNINGS, data, folded(data) if low is None else low)
