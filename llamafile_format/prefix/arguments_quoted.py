"""The shell-like dialect of engines from 0.8.17 on (spec/1, 3.8.3), read exactly as the engine's state machine does.

Its oddities are kept: a backslash at a line end joins lines but leaves the reader *between* arguments, so blanks
after it vanish; an empty argument at the very end is dropped, and so is an unfinished escape; ``$$`` is two dollars.
"""

from __future__ import annotations

from llamafile_format.prefix.arguments_token import Piece, Token, Variable

_SPACE = b" \t\r\n\f\v"
_ESCAPES = {0x61: 7, 0x62: 8, 0x74: 9, 0x6E: 10, 0x76: 11, 0x66: 12, 0x72: 13, 0x65: 27}
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF"
_NAME = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


class QuotedReader:
    """Reads ``data`` once. After :meth:`read`: ``tokens``, ``rest``, and what was odd.

    ``repeated_rest`` holds offsets of every ``...`` after the first, ``unterminated`` the offset of an open quote or
    brace, ``dropped_empty`` the offset of an empty last argument.
    """

    def __init__(self, data: bytes, *, expand: bool) -> None:
        self.tokens: list[Token] = []
        self.rest: int | None = None
        self.repeated_rest: list[int] = []
        self.unterminated: int | None = None
        self.dropped_empty: int | None = None
        self._data = data
        self._at = 0
        self._expand = expand
        self._parts: list[Piece] = []
        self._text = bytearray()
        self._start = 0

    def read(self) -> None:
        """Read all tokens; linear in the length of the data."""
        data, size = self._data, len(self._data)
        inside = False  # in an argument, as opposed to between two
        while self._at < size:
            byte = data[self._at]
            if byte in _SPACE:
                if inside:
                    self._finish()
                inside = False
                self._at += 1
            elif inside:
                inside = self._character(byte)
            elif byte == 0x23:  # '#' starts a comment between arguments only
                line_end = data.find(b"\n", self._at)
                self._at = size if line_end < 0 else line_end + 1
            elif self._is_rest():
                self._take_rest()
            else:
                if not self._pending():
                    self._start = self._at
                inside = self._character(byte)
        if self._pending():
            self._finish()
        elif inside:
            self.dropped_empty = self._start

    def _pending(self) -> bool:
        return bool(self._text or self._parts)

    def _is_rest(self) -> bool:
        after = self._data[self._at + 3 : self._at + 4]
        return self._data[self._at : self._at + 3] == b"..." and (not after or after in _SPACE)

    def _take_rest(self) -> None:
        if self.rest is None:
            self.rest = len(self.tokens)
        else:
            self.repeated_rest.append(self._at)
        self._at += 3

    def _character(self, byte: int) -> bool:
        """Take one construct of an argument; returns whether the reader is still inside the argument."""
        if byte == 0x27:
            self._single_quote()
        elif byte == 0x22:
            self._double_quote()
        elif byte == 0x24 and self._expand:
            self._dollar()
        elif byte == 0x5C:
            return self._backslash()
        else:
            self._text.append(byte)
            self._at += 1
        return True

    def _single_quote(self) -> None:
        close = self._data.find(b"'", self._at + 1)
        if close < 0:
            self.unterminated = self._at
            close = len(self._data)
        self._text += self._data[self._at + 1 : close]
        self._at = min(close + 1, len(self._data))

    def _backslash(self) -> bool:
        """A backslash outside quotes. A line end after it joins, and leaves the reader between arguments."""
        self._at += 1
        while self._data[self._at : self._at + 1] == b"\r":
            self._at += 1
        if self._at >= len(self._data):
            return True
        byte = self._data[self._at]
        self._at += 1
        if byte == 0x0A:
            return False
        self._text.append(_ESCAPES.get(byte, byte))
        return True

    def _dollar(self) -> None:
        self._at += 1
        after = self._data[self._at : self._at + 1]
        if after and after in _NAME:
            end = self._at
            while end < len(self._data) and self._data[end] in _NAME:
                end += 1
            self._variable(self._data[self._at : end])
            self._at = end
        elif after == b"{":
            close = self._data.find(b"}", self._at)
            if close < 0:  # kept as it is, to the very end
                self.unterminated = self._at - 1
                self._text += b"$" + self._data[self._at :]
                self._at = len(self._data)
            else:
                self._variable(self._data[self._at + 1 : close])
                self._at = close + 1
        else:
            self._text += b"$"

    def _variable(self, name: bytes) -> None:
        if self._text:
            self._parts.append(self._text.decode("utf-8", "surrogateescape"))
            self._text.clear()
        self._parts.append(Variable(name.decode("utf-8", "surrogateescape")))

    def _double_quote(self) -> None:
        opened = self._at
        self._at += 1
        while self._at < len(self._data):
            byte = self._data[self._at]
            if byte == 0x22:
                self._at += 1
                return
            if byte == 0x24 and self._expand:
                if self._at + 1 == len(self._data):  # the engine drops a dollar that nothing follows here
                    break
                self._dollar()
            elif byte == 0x5C:
                self._escape()
            else:
                self._text.append(byte)
                self._at += 1
        self._at = len(self._data)
        if self.unterminated is None:
            self.unterminated = opened

    def _escape(self) -> None:
        """An escape inside double quotes: letters as in C, 1 to 3 digits, ``x`` with 1 or 2 hex digits, line join."""
        self._at += 1
        while self._data[self._at : self._at + 1] == b"\r":
            self._at += 1
        if self._at >= len(self._data):
            return
        byte = self._data[self._at]
        if byte in _DIGITS:
            self._number(_DIGITS, 3, 8)
        elif byte == 0x78:
            self._at += 1
            if self._at < len(self._data) and self._data[self._at] not in _HEX:
                self._text += b"x"
            else:
                self._number(_HEX, 2, 16)
        else:
            self._at += 1
            if byte != 0x0A:
                self._text.append(_ESCAPES.get(byte, byte))

    def _number(self, digits: bytes, most: int, base: int) -> None:
        """Up to ``most`` digits. The engine takes 8 and 9 as octal digits too, and drops a number that the end cuts."""
        start = self._at
        value = 0
        while self._at < len(self._data) and self._at - start < most and self._data[self._at] in digits:
            value = value * base + int(self._data[self._at : self._at + 1], 16)
            self._at += 1
        if self._at < len(self._data) or self._at - start == most:
            self._text.append(value & 0xFF)

    def _finish(self) -> None:
        if self._text:
            self._parts.append(self._text.decode("utf-8", "surrogateescape"))
        self.tokens.append(Token(tuple(self._parts), self._start, self._at - self._start))
        self._parts = []
        self._text = bytearray()
