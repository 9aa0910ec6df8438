"""Texts against patterns in which ``*`` stands for a run of characters (spec/1.0, 13.9.3 and 16.2.2).

Patterns are the policy's, but texts are anybody's: names of models, of certificates, of engines. A regular expression
with several stars would try them against one another, for hours on a text made for that; this looks at each once.
"""

from __future__ import annotations

import re

_BORDERS = re.compile("([/@])")


def fits(text: str, pattern: str) -> bool:
    """True if ``text`` is ``pattern``, where each ``*`` is any run of characters."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:  # the first place for each leaves most room for the next
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def fits_identity(text: str, pattern: str) -> bool:
    """The same for identities, in which a run has no ``/`` and no ``@``: those stand where the pattern has them."""
    pieces, wanted = _BORDERS.split(text), _BORDERS.split(pattern)
    return len(pieces) == len(wanted) and all(map(fits, pieces, wanted))
