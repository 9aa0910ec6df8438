"""Deterministic JSON (spec/1, 5.2): one text for one value, and a strict decoder that refuses every other spelling.

Keys sorted by code point, one-space indent, one field a line, integers only, LF, final newline. A manifest is signed by
its digest, so a second spelling of the same value (a duplicate key, an escape, ``1e3``) would be a second meaning.
"""

from __future__ import annotations

import json
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError
from llamafile_format.limits import JSON_DEPTH

MAX_INTEGER = (1 << 63) - 1  # clause 5.2.4: what a signed 64-bit integer holds
_MAX_DIGITS = 19


def encode(value: Any) -> bytes:
    """The one encoding of ``value`` (str, int, bool, list, dict with str keys)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1, separators=(",", ": "), allow_nan=False)
    return text.encode("utf-8") + b"\n"


def decode(data: bytes, *, exact: bool = True, nulls: bool = False) -> Any:
    """The value of ``data``; FormatError unless ``data`` is exactly what :func:`encode` writes for it.

    Without ``exact``, blanks, order and escapes are free, as in JSON that others wrote; two meanings are not: no key
    twice, no fractions, no null (clause 13.3.4), unless ``nulls`` says that the caller knows what each means.
    """
    value = parse_json(
        data,
        depth=JSON_DEPTH,
        pairs=_unique,
        number=_integer,
        fraction=_refuse("a number with a fraction or exponent"),
        constant=_refuse("NaN or Infinity"),
    )
    if not nulls:
        _refuse_null(value)
    try:
        again = encode(value)
    except UnicodeEncodeError as error:  # a lone surrogate can be escaped in JSON but has no UTF-8
        raise FormatError("a string holds a lone surrogate", clause="5.2.1") from error
    if exact and again != data:
        at = next((i for i, (a, b) in enumerate(zip(again, data, strict=False)) if a != b), min(len(again), len(data)))
        raise FormatError(
            "not in the canonical form",
            offset=at,
            clause="5.2.2",
            found=repr(data[at : at + 24]),
            allowed=repr(again[at : at + 24]),
        )
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise FormatError("an object names a key twice", clause="5.2.3")
    return value


def _integer(text: str) -> int:
    number = int(text) if len(text) <= _MAX_DIGITS else MAX_INTEGER + 1
    if not 0 <= number <= MAX_INTEGER:
        raise FormatError("an integer out of range", clause="5.2.4", found=text[:24], allowed=f"0 to {MAX_INTEGER}")
    return number


def _refuse(what: str) -> Any:
    def refuse(text: str) -> Any:
        """FormatError that shows the start of ``text``."""
        raise FormatError(f"{what} is not allowed", clause="5.2.4", found=text[:24])

    return refuse


def _refuse_null(value: Any) -> None:
    if value is None:
        raise FormatError("null is not allowed", clause="5.2.5")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_null(item)
