"""Values in the JSON of strangers: objects with no field but those that are known, base64 in its one spelling.

What no signature covers is not free: every fault is a FormatError that names the field, in a few words however large
the value is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Set
from typing import Any

from llamafile_format.errors import FormatError

_SHOWN = 120  # characters of a wrong value


def fields_of(
    value: Any, name: str, needed: Set[str], optional: Set[str] = frozenset(), *, clause: str
) -> dict[str, Any]:
    """``value`` if it is an object with all fields of ``needed`` and no others but ``optional``."""
    if not isinstance(value, dict):
        raise wrong(name, f"{value!r:.40}", "an object", clause=clause)
    if missing := needed - value.keys():
        raise wrong(f"{name}.{min(missing)}", "nothing", "a value", clause=clause)
    if surplus := value.keys() - needed - optional:
        raise wrong(f"{name}.{min(surplus)!r:.60}", "a field that is not known here", "none", clause=clause)
    return value


def bytes_of(value: Any, name: str, *, clause: str) -> bytes:
    """What the base64 text ``value`` stands for; at least one byte, and no other text for the same bytes will do."""
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True) if isinstance(value, str) else b""
    except (binascii.Error, UnicodeEncodeError) as error:
        raise wrong(name, "no base64", "base64 with padding", clause=clause) from error
    if not data or base64.b64encode(data).decode("ascii") != value:
        found = "base64 that is empty or has more than one spelling"
        raise wrong(name, found, "base64 with padding", clause=clause)
    return data


def wrong(name: str, found: object, allowed: str, *, clause: str) -> FormatError:
    """The error for the field ``name``."""
    return FormatError(f"{name} is wrong", found=f"{found!s:.{_SHOWN}}", allowed=allowed, clause=clause)
