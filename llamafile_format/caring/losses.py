"""What cannot be brought back: byte ranges, and the members that they lie in (spec/1, 17.5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamafile_format.manifest.model import Manifest


@dataclass(frozen=True, slots=True)
class Lost:
    """``length`` bytes at ``offset`` are lost. ``member`` is the path of the member whose data they are, empty for
    headers, prefix, directory, and where nothing says what they are."""

    offset: int
    length: int
    member: str = ""


Span = tuple[int, int]
"""(offset, length)."""


def named(spans: Iterable[Span], manifest: Manifest | None) -> tuple[Lost, ...]:
    """``spans``, which are ascending, cut at the borders of the members of ``manifest``."""
    members = [(m.offset, m.offset + m.size, m.path) for m in manifest.members if m.size] if manifest else []
    result: list[Lost] = []
    for offset, length in merged(spans):
        at, end = offset, offset + length
        for low, high, path in members:
            if high <= at or low >= end:
                continue
            if low > at:
                result.append(Lost(at, low - at))
                at = low
            result.append(Lost(at, min(high, end) - at, path))
            at = min(high, end)
        if at < end:
            result.append(Lost(at, end - at))
    return tuple(result)


def merged(spans: Iterable[Span]) -> list[Span]:
    """``spans`` in order, those that touch made one."""
    result: list[Span] = []
    for offset, length in sorted(spans):
        if result and offset <= sum(result[-1]):
            first = result[-1][0]
            result[-1] = (first, max(sum(result[-1]), offset + length) - first)
        elif length:
            result.append((offset, length))
    return result


def common(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """What is in both: each judges by its own pieces, and what one of them has is not lost."""
    result = []
    for low, length in one:
        for start, count in other:
            at, end = max(low, start), min(low + length, start + count)
            if at < end:
                result.append((at, end - at))
    return merged(result)
