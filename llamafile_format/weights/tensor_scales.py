"""What the scales of quantised blocks, and plain numbers, say about a tensor's health (spec/1, 7.14.2).

Nothing is dequantised. Whether a number is finite stands in the bytes of its exponent, so each question is asked of
every n-th byte: a slice and a translation, which run at the speed of memory and need no library of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

SCALE_MAX = 1024
"""A binary16 scale of this size or more would give weights of thousands; those of genuine models are below 1."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A byte of a block, at ``at``: it counts if its bits ``mask`` are ``wanted``."""

    at: int
    mask: int
    wanted: int

    @property
    def bytes(self) -> bytes:
        """The values that count."""
        return bytes(value for value in range(256) if value & self.mask == self.wanted)


@dataclass(frozen=True, slots=True)
class Scales:
    """Where a block says how large it is. Each of ``broken`` is a number that is NaN or infinite if all marks count.

    Each of ``large`` is a scale of at least SCALE_MAX if its mark counts for one of the bytes; ``zero`` are the marks
    that all count if every number of the block is 0. Plain numbers have no ``zero``: their bytes are compared whole.
    """

    broken: tuple[tuple[Mark, ...], ...]
    large: tuple[int, ...] = ()
    zero: tuple[Mark, ...] = ()


LARGE = bytes(value for value in range(256) if 0x64 <= value & 0x7F < 0x7C)
"""High bytes of binary16 numbers from SCALE_MAX to the largest finite one, of either sign."""


def _half(*offsets: int) -> Scales:
    """Scales in binary16 at ``offsets``."""
    return Scales(
        broken=tuple((Mark(at + 1, 0x7C, 0x7C),) for at in offsets),
        large=tuple(at + 1 for at in offsets),
        zero=tuple(mark for at in offsets for mark in (Mark(at + 1, 0x7F, 0), Mark(at, 0xFF, 0))),
    )


KNOWN: dict[str, Scales] = {
    "F64": Scales(((Mark(7, 0x7F, 0x7F), Mark(6, 0xF0, 0xF0)),)),
    "F32": Scales(((Mark(3, 0x7F, 0x7F), Mark(2, 0x80, 0x80)),)),
    "F16": Scales(((Mark(1, 0x7C, 0x7C),),)),
    "BF16": Scales(((Mark(1, 0x7F, 0x7F), Mark(0, 0x80, 0x80)),)),
    **dict.fromkeys(("I8", "I16", "I32", "I64"), Scales(())),
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "Q1_0", "Q2_0"), _half(0)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q8_1", "Q4_K", "Q5_K"), _half(0, 2)),
    "Q2_K": _half(80, 82),
    "Q3_K": _half(108),
    "Q6_K": _half(208),
    "Q8_K": Scales(((Mark(3, 0x7F, 0x7F), Mark(2, 0x80, 0x80)),), zero=tuple(Mark(at, 0xFF, 0) for at in range(4))),
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ4_NL", "IQ4_XS"), _half(0)),
    "IQ1_M": Scales(((Mark(55, 0x70, 0x70), Mark(53, 0xC0, 0xC0)),)),  # one nibble of the scale in each of four words
    "TQ1_0": _half(52),
    "TQ2_0": _half(64),
    "MXFP4": Scales(((Mark(0, 0xFF, 0xFF),),)),  # a power of two; all ones is NaN
    "NVFP4": Scales(
        tuple((Mark(at, 0xFF, 0x7F),) for at in range(4))
    ),  # unsigned, 4 bits of exponent and 3 of fraction
}
"""By the name of a type of mainline GGML. Types that are not here have scales that this version cannot read."""


@dataclass(slots=True)
class Health:
    """What was seen of one tensor: ``first_broken`` and ``first_large`` are offsets in the tensor, or -1."""

    seen: int = 0
    broken: int = 0
    first_broken: int = -1
    large: int = 0
    first_large: int = -1
    zero: bool = True
    same: bool = True
    block: bytes = b""
    """The block that all so far are like."""

    def add(self, other: Health) -> None:
        """Take in what was seen elsewhere in the tensor."""
        self.seen += other.seen
        self.broken += other.broken
        self.large += other.large
        self.first_broken = _first(self.first_broken, other.first_broken)
        self.first_large = _first(self.first_large, other.first_large)
        self.zero &= other.zero
        self.same &= other.same and self.block in (b"", other.block)
        self.block = self.block or other.block


def _first(one: int, other: int) -> int:
    return max(one, other) if min(one, other) < 0 else min(one, other)


def look(name: str, size: int, data: bytes, at: int, *, varied: bool = False) -> Health:
    """The health of ``data``: whole blocks of ``size`` bytes of the type ``name``, from byte ``at`` of the tensor.

    ``varied`` says that the tensor is known to be neither zero nor constant, so that neither is asked again.
    """
    scales, found = KNOWN[name], Health(seen=len(data), block=data[:size])
    for number in scales.broken:
        indices = _matching(data, size, number)
        found.broken += len(indices)
        found.first_broken = _first(found.first_broken, at + indices[0] * size if indices else -1)
    for place in scales.large:
        high = data[place::size]
        indices = _indices(high, LARGE)
        found.large += len(indices)
        found.first_large = _first(found.first_large, at + indices[0] * size if indices else -1)
    found.zero = not varied and _is_zero(data, size, scales)
    found.same = not varied and data == found.block * (len(data) // size)
    return found


def _is_zero(data: bytes, size: int, scales: Scales) -> bool:
    if not scales.zero:
        return not data[:64].strip(b"\0") and not data.strip(b"\0")
    return not any(data[mark.at :: size].translate(None, _values(mark)) for mark in scales.zero)


def _matching(data: bytes, size: int, number: tuple[Mark, ...]) -> list[int]:
    """The blocks in which all marks of ``number`` count. Nearly always the first mark rules all of them out."""
    found = _indices(data[number[0].at :: size], _values(number[0]))
    for mark in number[1:]:
        found = [index for index in found if data[index * size + mark.at] & mark.mask == mark.wanted]
    return found


def _indices(column: bytes, values: bytes) -> list[int]:
    """Where one of ``values`` stands in ``column``."""
    if not column.translate(None, _others(values)):
        return []
    return [index for index, hit in enumerate(column.translate(_hits(values))) if hit]


@cache
def _values(mark: Mark) -> bytes:
    return mark.bytes


@cache
def _others(values: bytes) -> bytes:
    return bytes(value for value in range(256) if value not in values)


@cache
def _hits(values: bytes) -> bytes:
    return bytes(value in values for value in range(256))
