"""Strict DER (X.690): a reader that accepts exactly one spelling of a value, and the writer of that spelling.

Time stamps and certificates stand in files for decades and are read by many parsers. A length in two forms, an integer
with leading zeros or a set in another order would be bytes that no signature covers and that somebody may use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from llamafile_format.errors import FormatError
from llamafile_format.limits import DER_DEPTH, DER_VALUES

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_MAX_OID = 64
_CONSTRUCTED, _LONG_TAG = 0x20, 0x1F
_PLAIN = frozenset(range(1, 0x1F)) - {8, 11, 15, 16, 17}  # universal types that DER writes in one piece


def context(number: int) -> int:
    """The tag of the constructed context-specific type ``[number]``."""
    return 0xA0 | number


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag byte, its contents, and the bytes of the whole."""

    tag: int
    content: bytes
    encoded: bytes

    @property
    def children(self) -> tuple[Element, ...]:
        """The values inside a constructed one."""
        return tuple(_elements(self.content))

    def integer(self) -> int:
        """The number that an INTEGER holds."""
        return int.from_bytes(self.content, "big", signed=True)

    def oid(self) -> str:
        """The dotted form of an OBJECT IDENTIFIER."""
        numbers, number = [], 0
        for byte in self.content:
            number = number << 7 | byte & 0x7F
            if not byte & 0x80:
                numbers.append(number)
                number = 0
        first = min(numbers[0] // 40, 2)
        return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


class Fields:
    """The fields of a SEQUENCE (or of a value of another ``tag``), taken in order."""

    def __init__(self, element: Element, what: str, tag: int = SEQUENCE) -> None:
        if element.tag != tag:  # nothing inside it says what it is: without this the tag itself could be changed
            raise FormatError(f"{what} is another kind of value")
        self._left = list(element.children)
        self._what = what

    def take(self, tag: int, name: str) -> Element:
        """The next field, which must have ``tag``."""
        if not self._left or self._left[0].tag != tag:
            raise FormatError(f"{self._what} has no {name} where one belongs")
        return self._left.pop(0)

    def optional(self, tag: int) -> Element | None:
        """The next field if it has ``tag``."""
        return self._left.pop(0) if self._left and self._left[0].tag == tag else None

    def end(self) -> None:
        """FormatError if a field is left."""
        if self._left:
            raise FormatError(f"{self._what} has a field more than its kind allows")


def parse(data: bytes, what: str) -> Element:
    """The one value that ``data`` is, checked to its leaves; FormatError for every other spelling."""
    try:
        elements = list(islice(_elements(data), 2))
        if len(elements) != 1:
            raise FormatError("bytes before or behind the value")
        _check(elements[0])
    except FormatError as error:
        raise FormatError(f"{what} is not DER: {error.message}") from error
    return elements[0]


def _elements(data: bytes) -> Iterator[Element]:
    at = 0
    while at < len(data):
        start, tag = at, data[at]
        if tag & _LONG_TAG == _LONG_TAG or at + 2 > len(data):
            raise FormatError("a tag that no structure of this kind has, or a value cut short")
        length, at = data[at + 1], at + 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(data[at : at + width], "big")
            at += width
            if not 1 <= width <= 4 or at > len(data) or length < 0x80 or length >> 8 * (width - 1) == 0:
                raise FormatError("a length that is not in its shortest form")
        if at + length > len(data):
            raise FormatError("a value cut short")
        yield Element(tag, data[at : at + length], data[start : at + length])
        at += length


def _check(root: Element) -> None:
    """Every value inside ``root``, level by level: no recursion over a stranger's nesting, and only so many values."""
    level, seen = [root], 0
    for _ in range(DER_DEPTH + 1):
        below: list[Element] = []
        for element in level:
            if element.tag & _CONSTRUCTED:
                if element.tag & 0xC0 == 0 and element.tag not in (SEQUENCE, SET):
                    raise FormatError("a simple value in pieces")
                below += islice(_elements(element.content), DER_VALUES + 1 - seen)
            elif element.tag & 0xC0 == 0:
                _check_simple(element.tag, element.content)
            if seen + len(level) + len(below) > DER_VALUES:
                raise FormatError(f"more than {DER_VALUES} values")
        if not below:
            return
        seen += len(level)
        level = below
    raise FormatError("nested too deeply")


def _check_simple(tag: int, content: bytes) -> None:
    if tag not in _PLAIN:
        raise FormatError("a type that DER does not have")
    if tag == BOOLEAN and content not in (b"\x00", b"\xff"):
        raise FormatError("a truth value that is neither 00 nor FF")
    if tag == INTEGER and (not content or (len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1)))):
        raise FormatError("an integer that is not in its shortest form")
    if tag == NULL and content:
        raise FormatError("a NULL with contents")
    if tag == BIT_STRING:
        if not content or content[0] > 7 or (len(content) == 1 and content[0]):
            raise FormatError("a bit string without a count of unused bits")
        if content[-1] & (1 << content[0]) - 1 and len(content) > 1:
            raise FormatError("a bit string whose unused bits are set")
    if tag == OID:
        if len(content) > _MAX_OID:
            raise FormatError("an object identifier of absurd length")  # its numbers take time that grows as the square
        starts = [i for i, _ in enumerate(content) if i == 0 or not content[i - 1] & 0x80]
        if not content or content[-1] & 0x80 or any(content[i] == 0x80 for i in starts):
            raise FormatError("an object identifier that is not in its shortest form")


def encode(tag: int, *parts: bytes) -> bytes:
    """The value of ``tag`` whose contents are ``parts``, one after the other."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of encoded values."""
    return encode(SEQUENCE, *parts)


def set_of(parts: list[bytes], tag: int = SET) -> bytes:
    """A SET OF encoded values, in the order that DER demands."""
    return encode(tag, *sorted(parts))


def integer(number: int) -> bytes:
    """An INTEGER."""
    return encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return encode(OID, content)


def octets(data: bytes) -> bytes:
    """An OCTET STRING."""
    return encode(OCTET_STRING, data)


def boolean(value: bool) -> bytes:
    """A BOOLEAN."""
    return encode(BOOLEAN, b"\xff" if value else b"\x00")


def is_sorted(elements: tuple[Element, ...]) -> bool:
    """Whether the members of a SET OF stand in the order of DER, and none twice."""
    return all(a.encoded < b.encoded for a, b in pairwise(elements))
