"""JSON from strangers, bounded by structure before it is built and judged by what the parser understood (spec 12.4).

Nothing here looks for quotes. How many values a text can have is bounded by counting bytes that only ever over-count;
how deep they are nested is asked of the value that the parser made. A scanner of our own would be a second reading of
the text, and where two readings differ somebody gets through between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llamafile_format import limits
from llamafile_format.errors import FormatError, LimitExceeded

Pairs = Callable[[list[tuple[str, Any]]], Any]


def parse_json(
    data: bytes,
    *,
    depth: int = limits.JSON_DEPTH_OF_OTHERS,
    pairs: Pairs | None = None,
    number: Callable[[str], Any] | None = None,
    fraction: Callable[[str], Any] | None = None,
    constant: Callable[[str], Any] | None = None,
) -> Any:
    """The value of the UTF-8 text ``data``, with at most ``depth`` objects and arrays open at any point.

    LimitExceeded if it may have more values than are built, FormatError if it is no JSON or is nested deeper. The
    hooks are those of :func:`json.loads`; a FormatError of theirs goes through.
    """
    marks = data.count(b",") + data.count(b"[") + data.count(b"{")
    if marks > limits.JSON_MARKS:
        raise LimitExceeded("more values than are read", clause="12.4", found=marks, allowed=f"{limits.JSON_MARKS}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_int=number,
            parse_float=fraction,
            parse_constant=constant,
        )
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", offset=error.start, clause="5.2.1") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"not JSON: {error.msg}", offset=error.pos, clause="5.2.1") from error
    except RecursionError as error:
        raise _too_deep(depth) from error
    except ValueError as error:
        raise FormatError(f"not JSON: {error}", clause="5.2.1") from error
    if deeper_than(value, depth):
        raise _too_deep(depth)
    return value


def deeper_than(value: Any, most: int) -> bool:
    """True if more than ``most`` dicts and lists are nested in ``value``, itself counted. Without recursion."""
    layer = [value]
    for _ in range(most + 1):
        layer = [item for item in layer if isinstance(item, dict | list)]
        if not layer:
            return False
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return True


def _too_deep(most: int) -> FormatError:
    return FormatError("nested too deeply", clause="5.2.6", allowed=f"at most {most}")
