"""Protocol buffers, walked within bounds: nothing is built, no payload is copied (spec/1, 7.17.2).

    wire = Wire(source, schema, log, rules)
    for field, begin, end in wire.fields("Graph", 0, source.size): ...

A schema says which fields a message has; whatever the bytes have beside it is told. What cannot be followed stops the
reading, everything else is a finding and is stepped over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_cursor import Log, Stop

NUMBER, DOUBLE, SPAN, FLOAT = 0, 1, 2, 5
"""Wire types: a varint, 8 bytes, a length and so many bytes, 4 bytes. Groups (3, 4) are refused."""

SCALARS = {"number": NUMBER, "double": DOUBLE, "float": FLOAT}
OPAQUE = ("text", "bytes")
ALONE = -1
"""In place of an end: the field is a number, which stands in place of the beginning."""

_LONGEST = 10  # bytes of a varint
_KEY = 5  # bytes of one that is a key: field numbers have 29 bits
_NEED = 2 * _LONGEST  # a key and a length
_FIRST_WINDOW, _LARGEST_WINDOW = 512, 256 << 10
_ROOM = 64  # bytes that a stretch of words counts beside its own
_OUTER = 2  # messages that are open where the outermost one speaks, or one right in it
_COUNTED = 4096  # bytes of packed varints that are counted; of more it is told how many there can be


class Field(NamedTuple):
    """A field of a message. ``kind``: a scalar (``number``, ``double``, ``float``), text, bytes, or a message."""

    name: str
    kind: str
    many: bool


class Rules(NamedTuple):
    """What is reported: bytes that are no message, a single field twice, a field beyond the schema, a cap."""

    malformed: str
    twice: str
    unknown: str
    cap: str


class Caps(NamedTuple):
    """How many fields and bytes of texts are read of one file, how many messages may be open at any point, and how many
    bytes of words are kept to be searched."""

    fields: int
    text: int
    depth: int
    words: int


Found = tuple[Field, int, int]
"""A field with the range of its bytes, or with its number and ALONE."""


class Wire:
    """Reads messages of ``schema`` out of ``source``, all of them against one budget. Offsets count from byte 0.

    ``words`` are the ranges of fields that are called as ``spoken`` says, with that name.
    """

    def __init__(
        self,
        source: ByteSource,
        schema: Mapping[str, Mapping[int, Field]],
        log: Log,
        rules: Rules,
        caps: Caps,
        *,
        spoken: Collection[str] = (),
    ) -> None:
        self.schema = schema
        self.spoken = spoken
        self.words: list[tuple[str, int, int]] = []
        self._words = [0, 0]
        self.log = log
        self.rules = rules
        self.count = 0
        self._source = source
        self._caps = caps
        self._depth = 0
        self._texts = 0
        self._told: set[tuple[str, int]] = set()
        self._data, self._start, self._window = b"", 0, _FIRST_WINDOW

    def fields(self, message: str, begin: int, end: int) -> Iterator[Found]:
        """The fields of the ``message`` in ``[begin, end)``, in their order; those of a wrong type are left out."""
        known, seen, at = self.schema[message], 0, begin
        self._open(message, begin)
        while at < end:
            self.count += 1
            if self.count > self._caps.fields:
                raise self._past(at, message, "fields", self.count, self._caps.fields)
            data, index = self._data, at - self._start
            inside = 0 <= index < len(data) - 1 and at + 1 < end
            short = inside and (data[index] | data[index + 1]) < 0x80  # one byte each: nearly all fields
            key, after = (data[index], at + 1) if short else self._varint(at, end, message, _KEY)
            number, wire = key >> 3, key & 7
            field = known.get(number)
            if field is None:
                self._unknown(message, number, at)
            if short and wire == SPAN and (after := at + 2 + data[index + 1]) <= end:
                value, stop = at + 2, after
            else:
                value, stop, after = self._value(wire, at, at + 1 if short else after, end, message)
            if field is None:
                at = after
                continue
            scalar = SCALARS.get(field.kind, SPAN)
            if wire != scalar and not (wire == SPAN and field.many):
                self.log.add(self.rules.malformed, at, message, reason=f"{field.name} has the wire type {wire}")
            else:
                if seen >> number & 1 and not field.many:
                    self.log.add(self.rules.twice, at, message, what=f"the field {field.name} of a", name=message)
                seen |= 1 << number
                yield field, value, stop
            at = after
        self._depth -= 1

    def through(self, message: str, begin: int, end: int) -> None:
        """Walk through a message that nobody asks about: its form is judged all the same."""
        for field, start, stop in self.fields(message, begin, end):
            if field.kind not in SCALARS:
                self.rest(field, start, stop)
            elif field.kind in SCALARS and stop != ALONE:
                self.numbers_in(field, start, stop)

    def rest(self, field: Field, begin: int, end: int) -> None:
        """A text or a message that nobody asks about: its form is judged, and words are kept to be searched."""
        if field.name in self.spoken:
            self.say(field.name, begin, end)
        if field.kind in self.schema:
            self.through(field.kind, begin, end)

    def say(self, name: str, begin: int, end: int) -> None:
        """Words for people are in ``[begin, end)``; kept as far as a bound reaches, and another one for those of the
        messages that are outermost."""
        outer = self._depth <= _OUTER
        self._words[outer] += end - begin + _ROOM
        if begin < end and self._words[outer] <= self._caps.words:
            self.words.append((name, begin, end))

    @property
    def wordy(self) -> bool:
        """True if there are words of the outermost messages that were not kept."""
        return self._words[True] > self._caps.words

    def text(self, begin: int, end: int, what: str) -> str:
        """The text in ``[begin, end)``, which is UTF-8; all texts together are bounded."""
        self._texts += end - begin
        if self._texts > self._caps.text:
            raise self._past(begin, what, "bytes of names and texts", self._texts, self._caps.text)
        raw = self._bytes(begin, end)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.log.add(self.rules.malformed, begin, what, reason="it is not UTF-8")
            return raw.decode("utf-8", "backslashreplace")

    def numbers(self, begin: int, end: int, what: str) -> list[int]:
        """Varints one behind the other, or the one that was given instead of a range."""
        if end == ALONE:
            return [begin]
        found, at = [], begin
        while at < end:
            self.count += 1
            if self.count > self._caps.fields:
                raise self._past(at, what, "fields", self.count, self._caps.fields)
            value, at = self._varint(at, end, what, _LONGEST)
            found.append(value)
        return found

    def numbers_in(self, field: Field, begin: int, end: int) -> tuple[int, int]:
        """How many scalars a packed range has at least and at most; a long range of varints is not read."""
        size = end - begin
        if field.kind != "number":
            width = 8 if field.kind == "double" else 4
            if size % width:
                self.log.add(self.rules.malformed, begin, field.name, reason=f"{size} bytes are no numbers of {width}")
            return size // width, size // width
        if size > _COUNTED:
            return -(-size // _LONGEST), size
        count = len(self.numbers(begin, end, field.name))
        return count, count

    def _open(self, message: str, begin: int) -> None:
        self._depth += 1
        if self._depth > self._caps.depth:
            raise self._past(begin, message, "messages in one another", self._depth, self._caps.depth)

    def _past(self, at: int, where: str, what: str, found: int, most: int) -> Stop:
        return self.log.past_cap(self.rules.cap, at, where, what=what, found=found, limit=most)

    def _unknown(self, message: str, number: int, at: int) -> None:
        """Tell, once, of a field that the schema does not have."""
        if number == 0:
            raise self.log.stop(self.rules.malformed, at, message, reason="a field has the number 0")
        if (message, number) not in self._told:
            self._told.add((message, number))
            self.log.add(self.rules.unknown, at, message, what=f"the field {number} of a {message}")

    def _value(self, wire: int, at: int, after: int, end: int, message: str) -> tuple[int, int, int]:
        """Beginning and end of the value, or number and ALONE; and where the next field begins."""
        if wire == NUMBER:
            value, after = self._varint(after, end, message, _LONGEST)
            return value, ALONE, after
        if wire == SPAN:
            length, after = self._varint(after, end, message, _LONGEST)
        elif wire in (DOUBLE, FLOAT):
            length = 8 if wire == DOUBLE else 4
        else:
            raise self.log.stop(self.rules.malformed, at, message, reason=f"the wire type {wire} is none")
        if length > end - after:
            reason = f"a field of {length} bytes leaves its message, which has {end - after} more"
            raise self.log.stop(self.rules.malformed, at, message, reason=reason)
        return after, after + length, after + length

    def _varint(self, at: int, end: int, message: str, most: int) -> tuple[int, int]:
        """A number in base 128 at ``at`` and where it ends, which is not behind ``end``."""
        index = at - self._start
        if index < 0 or index + _NEED > len(self._data):
            index = self._load(at)
        data, value, shift = self._data, 0, 0
        if at < end and data[index] < 0x80:  # nearly all of them
            return data[index], at + 1
        for place in range(index, index + min(most, end - at)):
            byte = data[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64 or (most == _KEY and value >> 32):
                    break
                return value, at + place - index + 1
            shift += 7
        reason = "a number has more than 64 bits" if end - at >= most else "a number does not end in its message"
        raise self.log.stop(self.rules.malformed, at, message, reason=reason)

    def _load(self, at: int) -> int:
        """Have the bytes at ``at`` in the window: a larger one where reading goes on, a small one behind a leap."""
        on = 0 <= at - self._start <= len(self._data)
        self._window = min(self._window * 4, _LARGEST_WINDOW) if on else _FIRST_WINDOW
        self._data = self._source.read_at(at, min(self._window, self._source.size - at))
        self._start = at
        return 0

    def _bytes(self, begin: int, end: int) -> bytes:
        index = begin - self._start
        if index < 0 or index + end - begin > len(self._data):
            if end - begin > _LARGEST_WINDOW:
                return self._source.read_at(begin, end - begin)
            index = self._load(begin)
            if end - begin > len(self._data):
                self._data = self._source.read_at(begin, end - begin)
        return self._data[index : index + end - begin]
