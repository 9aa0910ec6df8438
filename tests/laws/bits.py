"""Which bits of a file the laws flip: one of every byte, which one depends on the byte; with LFF_EVERY_BIT=1 all eight.

A fault that lets a changed byte through lets all of its bits through nearly always, and eight times the time buys the
rest: ``make laws`` spends it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

EVERY = os.environ.get("LFF_EVERY_BIT", "") == "1"


def bits_of(places: Iterable[int]) -> list[int]:
    """Numbers of bits, counted through from bit 0 of byte 0, of the bytes at ``places``."""
    if EVERY:
        return [8 * byte + bit for byte in places for bit in range(8)]
    return [8 * byte + (byte + byte // 8) % 8 for byte in places]
