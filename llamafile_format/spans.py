"""Named byte ranges of a file: the vocabulary that reader, verifier and reports share (spec/1, 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class SpanKind(Enum):
    """What a byte range of a container is. Every byte of a file belongs to exactly one span."""

    PREFIX = "prefix"
    GAP = "gap"  # zero bytes that put data on its alignment
    LOCAL_HEADER = "local-header"
    DATA = "data"
    DATA_DESCRIPTOR = "data-descriptor"
    HOLE = "hole"  # bytes between records that no record accounts for
    SIGNATURE = "signature-record"
    DIRECTORY = "directory"
    EOCD = "eocd"  # Zip64 record, locator and end record with its comment
    STALE_DIRECTORY = "stale-directory"
    STALE_EOCD = "stale-eocd"
    TRAILING = "trailing"


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes from ``offset`` (absolute, from byte 0). ``path`` names the member where there is one."""

    kind: SpanKind
    offset: int
    length: int
    path: str = ""
    note: str = ""

    @property
    def end(self) -> int:
        """Offset of the first byte behind the span."""
        return self.offset + self.length


def covers(spans: Iterable[Span], size: int) -> bool:
    """True if ``spans``, in order, tile [0, size) without hole or overlap."""
    at = 0
    for span in spans:
        if span.offset != at or span.length < 0:
            return False
        at = span.end
    return at == size


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted, disjoint (start, end) pairs that cover the same bytes as ``ranges``."""
    start = end = -1
    for low, high in sorted(ranges):
        if low > end:
            if end > start:
                yield start, end
            start, end = low, high
        else:
            end = max(end, high)
    if end > start:
        yield start, end
