"""Every byte of a file gets a name (spec/1, 4.11): the byte map that ``inspect --map`` prints and reports refer to.

The result tiles [0, size) for any input, however broken: records are claims on byte ranges, claims of the archive's
frame win over claims of entries, earlier ones over later ones, and what nobody claims is prefix, gap, hole or trailing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from llamafile_format.source import ByteSource
from llamafile_format.spans import Span, SpanKind
from llamafile_format.zip.archive import Archive
from llamafile_format.zip.fingerprint import ZIPALIGN_HOLE, writer_of

SIGNATURES_FOLDER = "META-LLAMAFILE/signatures/"
MAX_GAP_CHECK = 1 << 20  # bytes of one gap that are read to see whether they are zero
MAX_GAP_CHECKS = 1 << 20  # bytes read for all gaps together


def attribute(
    source: ByteSource,
    archive: Archive,
    *,
    prefix_size: int | None = None,
    image_end: int = 0,
    gap_budget: int = MAX_GAP_CHECKS,
) -> tuple[Span, ...]:
    """Spans that tile [0, ``source.size``) in order.

    ``prefix_size`` (a container whose manifest says so): [0, prefix_size) is one prefix span, whatever it holds.
    Without it, unclaimed bytes before the first record or before ``image_end`` (where the executable is known to end)
    are prefix. Only gaps of at most 1 MiB, ``gap_budget`` bytes in all, are read to see whether they are zero.
    """
    size = source.size
    first = min(max(prefix_size or 0, 0), size)
    frame = list(_settle(_frame_claims(archive, size), first, size))
    claims = [Span(SpanKind.PREFIX, 0, first)] if first else []
    claims += frame
    for claim in _settle(_entry_claims(archive), first, size):
        claims += _outside(claim, frame)
    return tuple(_fill(_Gaps(source, gap_budget), sorted(claims, key=lambda s: s.offset), archive, image_end, size))


def _frame_claims(archive: Archive, size: int) -> Iterator[Span]:
    """End records, directory, stale generations: what the archive's reading rests on."""
    tail = archive.tail
    if tail is None:
        return
    yield Span(SpanKind.EOCD, tail.start, tail.end - tail.start)
    yield Span(SpanKind.TRAILING, tail.end, size - tail.end)
    length = min(tail.directory_size, max(0, tail.start - tail.directory_offset))
    if archive.entries or archive.readable:
        yield Span(SpanKind.DIRECTORY, tail.directory_offset, length)
    for number, old in enumerate(archive.stale, 1):
        note = f"generation {number}, {old.count} entries"
        yield Span(SpanKind.STALE_DIRECTORY, old.directory_offset, old.directory_size, note=note)
        yield Span(SpanKind.STALE_EOCD, old.start, old.eocd_end - old.start, note=note)


def _entry_claims(archive: Archive) -> Iterator[Span]:
    for entry in archive.entries:
        if entry.header is None:
            continue
        if entry.path.startswith(SIGNATURES_FOLDER) and entry.located:
            yield Span(SpanKind.SIGNATURE, entry.header_offset, entry.data_end - entry.header_offset, entry.path)
            continue
        yield Span(SpanKind.LOCAL_HEADER, entry.header_offset, entry.header.length, entry.path)
        if entry.located and entry.compressed_size:
            yield Span(SpanKind.DATA, entry.data_offset, entry.compressed_size, entry.path)


def _settle(claims: Iterable[Span], low: int, high: int) -> Iterator[Span]:
    """``claims`` clipped to [low, high), in order of offset, the later of two that overlap cut or dropped."""
    at = low
    for claim in sorted(claims, key=lambda s: s.offset):
        start, end = max(claim.offset, at), min(claim.end, high)
        if start < end:
            yield claim if (start, end) == (claim.offset, claim.end) else _cut(claim, start, end)
            at = end


def _cut(span: Span, start: int, end: int) -> Span:
    return replace(span, offset=start, length=end - start, note=span.note or "cut: overlaps another record")


def _outside(claim: Span, frame: list[Span]) -> Iterator[Span]:
    """The parts of ``claim`` that no span of ``frame`` covers."""
    at = claim.offset
    for span in frame:
        if span.end <= at or span.offset >= claim.end:
            continue
        if at < span.offset:
            yield _cut(claim, at, span.offset)
        at = max(at, span.end)
    if at == claim.offset:
        yield claim
    elif at < claim.end:
        yield _cut(claim, at, claim.end)


class _Gaps:
    """Reads gaps, as long as the budget lasts, to tell zeros from unexplained bytes."""

    def __init__(self, source: ByteSource, budget: int) -> None:
        self._source = source
        self._budget = budget

    def zero(self, offset: int, length: int) -> bool | None:
        """Whether the bytes are all zero; None if they were not looked at."""
        if length > MAX_GAP_CHECK or length > self._budget:
            return None
        self._budget -= length
        return self._source.read_at(offset, length).count(0) == length


def _fill(gaps: _Gaps, claims: list[Span], archive: Archive, image_end: int, size: int) -> Iterator[Span]:
    """``claims`` with everything between them named."""
    wide = {entry.path for entry in archive.entries if writer_of(entry) == "zipalign"}
    at = 0
    before: Span | None = None
    for claim in [*claims, None]:
        end = claim.offset if claim else size
        if at < end:
            if before is None or at < image_end:
                stop = end if before is None else min(end, image_end)
                yield Span(SpanKind.PREFIX, at, stop - at)
                at = stop
            yield from _between(gaps, at, end, before, claim, wide)
        if claim is not None:
            yield claim
            at, before = claim.end, claim


def _between(  # noqa: PLR0917
    gaps: _Gaps,
    at: int,
    end: int,
    before: Span | None,
    after: Span | None,
    wide: set[str],
) -> Iterator[Span]:
    """Names for the unclaimed bytes [at, end) between two claims."""
    if at >= end:
        return
    closed = before is not None and before.kind in (SpanKind.DATA, SpanKind.LOCAL_HEADER) and before.path in wide
    if closed and end - at >= ZIPALIGN_HOLE:
        yield Span(SpanKind.HOLE, at, ZIPALIGN_HOLE, note="left by zipalign")
        at += ZIPALIGN_HOLE
        if at == end:
            return
    zero = gaps.zero(at, end - at)
    if zero is False:
        yield Span(SpanKind.HOLE, at, end - at, note="bytes that no record explains")
    else:
        opens = after is not None and after.kind in (SpanKind.LOCAL_HEADER, SpanKind.SIGNATURE)
        note = "" if zero else "not read"
        yield Span(SpanKind.GAP if opens or zero is None else SpanKind.HOLE, at, end - at, note=note or "zeros")
