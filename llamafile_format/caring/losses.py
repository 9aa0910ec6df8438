"""What cannot be brought back: byte ranges, and the members that they lie in (spec/1, 17.5.6)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.manifest.model import Manifest, Member


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
    """``spans`` cut at the borders of the members of ``manifest``."""
    members = _apart(manifest)
    ends = [member.offset + member.size for member in members]
    result: list[Lost] = []
    for offset, length in merged(spans):
        at, end, index = offset, offset + length, bisect_right(ends, offset)
        while at < end:
            member = members[index] if index < len(members) else None
            inside = member is not None and member.offset <= at
            border = end if member is None else ends[index] if inside else member.offset
            result.append(Lost(at, min(border, end) - at, member.path if member is not None and inside else ""))
            at, index = min(border, end), index + inside
    return tuple(result)


def _apart(manifest: Manifest | None) -> list[Member]:
    """Members with data in the order of their bytes; of those that share some, as only a lie can, the first."""
    result: list[Member] = []
    for member in sorted(manifest.members if manifest else (), key=lambda each: each.offset):
        if member.size and (not result or member.offset >= result[-1].offset + result[-1].size):
            result.append(member)
    return result


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


def common(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """What is in both: each judges by its own pieces, and what one of them has is not lost."""
    left, right, result = merged(one), merged(other), []
    i = j = 0
    while i < len(left) and j < len(right):
        at, end = max(left[i][0], right[j][0]), min(sum(left[i]), sum(right[j]))
        if at < end:
            result.append((at, end - at))
        if sum(left[i]) <= sum(right[j]):
            i += 1
        else:
            j += 1
    return result
