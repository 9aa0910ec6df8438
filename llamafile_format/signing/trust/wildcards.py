"""Texts against patterns in which ``*`` stands for a run of characters (spec/1, 13.9.3 and 16.2.2).

Patterns are the policy's, but texts are anybody's: names of models, of certificates, of engines. A regular expression
with several stars would try them against one another, for hours on a text made for that; this looks at each once.
"""

from __future__ import annotations

import re

from llamafile_format.signing.x509.identities import Identity, folded, kind_of

_BORDERS = re.compile("([/@:?#])")


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


def fits_identity(name: Identity, pattern: str) -> bool:
    """True if ``name`` is of the kind that ``pattern`` means and is it, where a run has none of ``/@:?#``.

    Those stand where the pattern has them: what comes before the host of a URI decides where it leads. FormatError if
    the pattern means no kind of name.
    """
    kind = kind_of(pattern)
    if name.kind is not kind:
        return False
    pieces, wanted = (_BORDERS.split(folded(kind, text)) for text in (name.text, pattern))
    return len(pieces) == len(wanted) and all(map(fits, pieces, wanted))
