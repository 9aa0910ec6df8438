"""Read the key-value pairs of a GGUF (spec/1, 7.2.3, 7.2.4 and 7.4)."""

from __future__ import annotations

import codecs
import re
import struct
from dataclasses import dataclass

from llamafile_format import limits as caps
from llamafile_format.weights import gguf_limits as limits
from llamafile_format.weights.gguf_cursor import Cursor
from llamafile_format.weights.gguf_model import (
    SCALAR_CODES,
    WINDOW,
    ArrayValue,
    Dialect,
    Entry,
    TextValue,
    Value,
    ValueType,
    decode_text,
)
from llamafile_format.weights.gguf_strings import skip_strings

USUAL_KEY = re.compile(r"[a-z0-9_.-]*\Z")
PREVIEW_BYTES = 120
TOKENS = "tokenizer.ggml.tokens"


@dataclass(slots=True)
class _Kept:
    """What was met so far: bytes of keys and of decoded strings, which are kept, and strings in arrays."""

    keys: int = 0
    strings: int = 0
    elements: int = 0


def read_entries(cursor: Cursor, dialect: Dialect, count: int, entries: dict[str, Entry]) -> None:
    """Read ``count`` pairs into ``entries`` (of a repeated key the first stays). Stops where an extent is unknown."""
    kept = _Kept()
    cursor.truncated = "LF5016"
    tag = struct.Struct(dialect.order + "I")
    for index in range(count):
        cursor.field = f"key {index}"
        place = cursor.position
        key = _read_key(cursor, dialect, index, kept)
        cursor.field = key
        type_place = cursor.position
        number = cursor.number(tag)
        if number > ValueType.FLOAT64:
            raise cursor.log.stop("LF5018", type_place, key, found=number)
        value_type = ValueType(number)
        start = cursor.position
        value = _read_value(cursor, dialect, value_type, key, kept)
        entry = Entry(key, value_type, value, start, cursor.position - start)
        if key in entries:
            cursor.log.add("LF5015", place, key, key=key)
        else:
            entries[key] = entry


def _read_key(cursor: Cursor, dialect: Dialect, index: int, kept: _Kept) -> str:
    """One key, checked; a key with a fault is still returned, shown as well as it can be."""
    place = cursor.position
    label = f"key {index}"
    length = cursor.number(dialect.length)
    if length > cursor.remaining:
        raise cursor.log.stop("LF5019", place, label, length=length, remaining=cursor.remaining)
    if length > limits.KEY_BYTES:
        cursor.log.add("LF5013", place, label, length=length, limit=limits.KEY_BYTES)
        beginning = cursor.take(PREVIEW_BYTES)
        cursor.skip(length - PREVIEW_BYTES)
        return f"{decode_text(beginning)}... (key {index})"
    kept.keys += length
    if kept.keys > caps.GGUF_KEY_BYTES:
        raise cursor.log.past_cap("LF5017", place, label, limit=caps.GGUF_KEY_BYTES)
    raw = cursor.take(length)
    if not raw:
        cursor.log.add("LF5010", place, label, index=index)
        return ""
    if b"\0" in raw:
        cursor.log.add("LF5012", place, label, key=decode_text(raw))
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        key = decode_text(raw)
        cursor.log.add("LF5011", place, label, key=key)
    else:
        if b"\0" not in raw and not USUAL_KEY.match(key):
            cursor.log.add("LF5014", place, label, key=key)
    return key


def _read_value(cursor: Cursor, dialect: Dialect, value_type: ValueType, key: str, kept: _Kept) -> Value:
    """The value behind ``key``; arrays and long strings stay in the file."""
    if value_type is ValueType.STRING:
        return _read_string(cursor, dialect, key, kept)
    if value_type is ValueType.ARRAY:
        return _read_array(cursor, dialect, key, kept)
    layout = struct.Struct(dialect.order + SCALAR_CODES[value_type])
    place = cursor.position
    number: int | float = layout.unpack(cursor.take(layout.size))[0]
    if value_type is ValueType.BOOL:
        if number not in {0, 1}:
            cursor.log.add("LF5023", place, key, found=int(number))
        return bool(number)
    return number


def _read_string(cursor: Cursor, dialect: Dialect, key: str, kept: _Kept) -> str | TextValue:
    """A string value: its length against what remains, its bytes against UTF-8 and NUL."""
    place = cursor.position
    length = cursor.number(dialect.length)
    if length > cursor.remaining:
        raise cursor.log.stop("LF5019", place, key, length=length, remaining=cursor.remaining)
    if length > limits.STRING_BYTES:
        cursor.log.add("LF5020", place, key, length=length, limit=limits.STRING_BYTES)
    start = cursor.position
    inline = length <= limits.INLINE_STRING_BYTES and kept.strings + length <= limits.INLINE_BYTES_TOTAL
    if inline:
        kept.strings += length
        raw = cursor.take(length)
        if dialect.version == 1 and raw.endswith(b"\0"):
            raw = raw[:-1]  # some writers of version 1 counted a final NUL
        if _check_text(cursor, place, key, raw):
            return raw.decode()
        return TextValue(start, len(raw), decode_text(raw[:PREVIEW_BYTES]), cursor.source)  # the exact bytes stay known
    preview = cursor.take(min(length, PREVIEW_BYTES))
    if length > limits.STRING_BYTES:
        cursor.skip(length - len(preview))
    else:
        _check_text(cursor, place, key, preview, length - len(preview))
    return TextValue(start, length, decode_text(preview), cursor.source)


def _check_text(cursor: Cursor, place: int, key: str, piece: bytes, rest: int = 0) -> bool:
    """LF5021 for a NUL (engines written in C would see a shorter string), LF5022 for bytes that are not UTF-8.

    ``piece`` was taken already; the next ``rest`` bytes are taken here, a window at a time. True if it is UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    has_nul, is_text = False, True
    while True:
        has_nul = has_nul or b"\0" in piece
        if is_text:
            try:
                decoder.decode(piece, final=not rest)
            except UnicodeDecodeError:
                is_text = False
        if not rest:
            break
        piece = cursor.take(min(rest, WINDOW))
        rest -= len(piece)
    if has_nul:
        cursor.log.add("LF5021", place, key)
    if not is_text:
        cursor.log.add("LF5022", place, key)
    return is_text


def _read_array(cursor: Cursor, dialect: Dialect, key: str, kept: _Kept) -> ArrayValue:
    """Element type and count, checked; then step over the elements."""
    place = cursor.position
    number = cursor.number(struct.Struct(dialect.order + "I"))
    if number == ValueType.ARRAY:
        raise cursor.log.stop("LF5024", place, key)
    if number > ValueType.FLOAT64:
        raise cursor.log.stop("LF5025", place, key, found=number)
    element_type = ValueType(number)
    count_place = cursor.position
    count = cursor.number(dialect.length)
    strings = element_type is ValueType.STRING
    width = dialect.length.size if strings else struct.calcsize("<" + SCALAR_CODES[element_type])
    if count > cursor.remaining // width:
        raise cursor.log.stop("LF5026", count_place, key, count=count, room=cursor.remaining // width)
    if count > limits.ARRAY_ELEMENTS:
        cursor.log.add("LF5027", count_place, key, count=count, limit=limits.ARRAY_ELEMENTS)
    start = cursor.position
    if strings:
        kept.elements += count
        _check_caps(cursor, count_place, key, count, kept)
        skip_strings(cursor, count, dialect, key)
    else:
        cursor.skip(count * width)
    return ArrayValue(element_type, count, start, cursor.position - start, dialect, cursor.source)


def _check_caps(cursor: Cursor, place: int, key: str, count: int, kept: _Kept) -> None:
    """LF5073: every string of an array is visited, however few bytes of a file may stand for billions of them."""
    if key == TOKENS and count > caps.GGUF_TOKENS:
        raise cursor.log.past_cap("LF5073", place, key, what="tokens", found=count, limit=caps.GGUF_TOKENS)
    if kept.elements > caps.GGUF_STRINGS:
        found = kept.elements
        raise cursor.log.past_cap("LF5073", place, key, what="strings in arrays", found=found, limit=caps.GGUF_STRINGS)
