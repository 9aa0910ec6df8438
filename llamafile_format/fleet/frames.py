"""What a guard and its child say to one another: frames of a kind, a length and so many bytes.

What the child says may come from whoever took it over: it is JSON or text, bounded, and never a pickle. What the guard
says is trusted, because the child is the guard's own.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import IO

_HEAD = struct.Struct("<BQ")
LARGEST = 64 << 20
"""Bytes of an answer; 8,192 members with a fault each take less than a tenth."""


class Kind(IntEnum):
    """What a frame holds. The first is of the guard, the others of the child."""

    ASK = 1  # a pickle: a name, the state in which it need not be looked at, and the terms if they are others
    BEGUN = 2  # nothing: from now on, what happens is because of the file
    PROGRESS = 3  # two numbers as text: done, in all
    REPORT = 4  # JSON
    MEMORY = 5  # nothing
    FAILED = 6  # a text
    LARGE = 7  # nothing
    UNCHANGED = 8  # nothing


def write_frame(stream: IO[bytes], kind: Kind, data: bytes = b"") -> None:
    """Send one frame. OSError if nobody listens any more."""
    stream.write(_HEAD.pack(kind, len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[Kind, bytes] | None:
    """The next frame; None at the end, also in the middle of one, and for what is none."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    if kind not in list(Kind) or length > LARGEST:
        return None
    data = stream.read(length)
    return (Kind(kind), data) if len(data) == length else None
