"""Chunk roots and combined CRCs: what lets pieces be hashed in any order (spec/1, 6.3 and 6.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

CHUNK_SIZE = 4 << 20  # clause 6.1: damage is located to this many bytes


def pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the 4 MiB pieces of a span, counted from its first byte (clause 6.1)."""
    for at in range(0, length, CHUNK_SIZE):
        yield offset + at, min(CHUNK_SIZE, length - at)


def chunk_root(digests: Sequence[bytes]) -> bytes:
    """Merkle root (RFC 9162, 2.1.1) over raw chunk digests; of no chunks, the hash of nothing."""
    if not digests:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\0" + digest).digest() for digest in digests]
    while len(level) > 1:  # pairing from the left gives RFC 9162's split at the largest power of two
        above = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = above + level[len(level) & ~1 :]
    return level[0]


def combine_crcs(parts: Iterable[tuple[int, int]]) -> int:
    """CRC-32 of concatenated pieces from their (crc, length in bytes) pairs.

    Appending ``n`` bytes multiplies a CRC by x^(8n) modulo the polynomial; the operator for a length is cached, and
    nearly all pieces have the same length.
    """
    total = 0
    for crc, length in parts:
        total = _apply(shift_operator(length), total) ^ crc if length else total
    return total


_POLYNOMIAL = 0xEDB88320  # APPNOTE 4.4.7, bit-reversed


def _apply(operator: Sequence[int], vector: int) -> int:
    result = 0
    index = 0
    while vector:
        if vector & 1:
            result ^= operator[index]
        vector >>= 1
        index += 1
    return result


def _square(operator: Sequence[int]) -> tuple[int, ...]:
    return tuple(_apply(operator, row) for row in operator)


@lru_cache(maxsize=64)
def shift_operator(length: int) -> tuple[int, ...]:
    """The linear map that appends ``length`` zero bytes to a CRC register."""
    power = (_POLYNOMIAL, *(1 << bit for bit in range(31)))  # one zero bit
    for _ in range(3):
        power = _square(power)  # one zero byte
    result: tuple[int, ...] = tuple(1 << bit for bit in range(32))
    while length:
        if length & 1:
            result = tuple(_apply(power, row) for row in result)
        length >>= 1
        power = _square(power)
    return result
