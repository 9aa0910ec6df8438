"""Texts from a file, made safe to show: nothing in them may steer a terminal or hide what it says (spec/1, 10.8.2).

    printable("evil\\x1b[2J\\u202egpj.exe")   ->   evil\\x1b[2J\\u202egpj.exe   (as plain characters)

Every text of a file that is shown or written into a document of ours, a file's name included, passes through here.
Pages escape markup on top.
"""

from __future__ import annotations

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
_INVISIBLE = frozenset([*_FILLERS, *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))])
"""Characters that show nothing although Unicode calls them letters, marks or symbols: joiners, fillers, selectors."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """``text`` with every character that is not plainly visible as an escape: ``\\x1b``, ``\\u202e``, ``\\U000e0001``.

    These are controls (C0, C1, DEL), direction marks, zero-width, tag and other format characters, line and paragraph
    separators, spaces other than the common one, unassigned and private code points, and halves of pairs, which stand
    for bytes that are not UTF-8. A name with an escape sequence in it could otherwise rewrite a verdict on the screen.
    """
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() and character not in _INVISIBLE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, kept by surrogateescape
        code -= 0xDC00
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
