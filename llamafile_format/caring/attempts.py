"""Ways to a whole file, each complete or with what is lost on it (spec/1, 17.5.3)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from llamafile_format.caring.composite import Composite, compose
from llamafile_format.caring.evidence import Evidence
from llamafile_format.caring.losses import Span
from llamafile_format.caring.mosaic import Mosaic, Piece
from llamafile_format.caring.survivors import Survivor, signature_records, surviving_manifests
from llamafile_format.caring.tail import Records, claims_of, rebuild, tail_of
from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.manifest.claims import layout_of
from llamafile_format.manifest.layout import Layout
from llamafile_format.manifest.model import Manifest
from llamafile_format.output.transfer import write_at
from llamafile_format.prefix.reverted import revert
from llamafile_format.recovery.available import have_numpy, require_numpy
from llamafile_format.recovery.find import Places, find_slices
from llamafile_format.recovery.sets import RecoverySet
from llamafile_format.source import ByteSource, BytesSource, FileSource

_MOST = 4
"""Manifests, and sets, that are tried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """``result`` is the whole file, None if ``lost`` spans of it are nowhere. ``records`` counts signature records.

    ``slices`` of a set were damaged, and ``recovery`` slices of it are there; ``why`` says what was wrong with a set.
    ``reverted``: the result is in the unconverted form (clause 14.2.13).
    """

    result: Mosaic | None
    lost: tuple[Span, ...] = ()
    records: int = 0
    by_set: bool = False
    slices: int = 0
    recovery: int = 0
    reverted: bool = False
    why: str = ""


@dataclass(slots=True)
class Attempts:
    """All ways, tried one after another. ``folder`` takes temporary files, which have no name."""

    evidence: Evidence
    folder: Path
    stack: ExitStack
    reverted: tuple[ByteSource, ...] = field(init=False)
    fronts: list[Mosaic] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.reverted = tuple(revert(source) for source in self.evidence.sources)

    def all(self) -> Iterator[Attempt]:
        """Whole sets first, which know every byte; then chunks of all copies; then sets inside."""
        composed = [
            (survivor, where, compose(survivor, where, self.reverted))
            for survivor in self.evidence.survivors[:_MOST]
            if (where := layout_of(survivor.manifest)) is not None
        ]
        self.fronts = [composite.front for _, _, composite in composed if composite is not None]
        whole = [each for each in self.evidence.sets if not each.skeleton][:_MOST]
        inside = [each for each in self.evidence.sets if each.skeleton][:_MOST]
        for each in whole:
            yield self._whole(each)
        for survivor, where, composite in composed:
            if composite is not None:
                yield self._chunks(survivor, where, composite)
        for each in inside:
            yield self._inside(each)

    def _chunks(self, survivor: Survivor, where: Layout, composite: Composite) -> Attempt:
        """The container of ``survivor`` from the chunks of all copies."""
        if composite.lost:
            return Attempt(None, composite.lost)
        records = self._records(where.manifest(len(survivor.data)).end)
        tail = tail_of(claims_of(composite.front, survivor.manifest, survivor.data, where), composite.text, records)
        pieces = [*composite.front.pieces, Piece(composite.front.size, len(tail), BytesSource(tail), 0)]
        return Attempt(Mosaic(self._name, pieces), records=len(records), reverted=True)

    def _whole(self, wanted: RecoverySet) -> Attempt:
        """The file as it was when the sidecar ``wanted`` was made."""
        attempt = self._solved(wanted, self.evidence.sources)
        if attempt.result is None:
            return attempt
        return replace(attempt, records=_records_in(attempt.result))

    def _inside(self, wanted: RecoverySet) -> Attempt:
        """[0, R) by the set that the container carries, and the rest from its skeleton."""
        attempt = self._solved(wanted, self.reverted)
        covered = attempt.result
        if covered is None:
            return attempt
        try:
            spill = self._spill()
            rebuilt = rebuild(covered, wanted.skeleton, wanted.percent, spill, ())
            end = _end_of(rebuilt.manifest, rebuilt.data)
            records = self._records(end)
            if records:
                rebuilt = rebuild(covered, wanted.skeleton, wanted.percent, spill, records)
        except FormatError as error:
            return Attempt(None, ((0, covered.size),), by_set=True, why=error.message)
        at, pieces = covered.size, [*covered.pieces]
        for source in (BytesSource(rebuilt.head), rebuilt.member, BytesSource(rebuilt.rest)):
            pieces.append(Piece(at, source.size, source, 0))
            at += source.size
        result = Mosaic(self._name, pieces)
        return Attempt(result, (), len(records), True, attempt.slices, attempt.recovery, reverted=True)

    def _solved(self, wanted: RecoverySet, sources: Sequence[ByteSource]) -> Attempt:
        """The range of ``wanted``: slices that are somewhere, and the lost ones solved."""
        geometry = wanted.geometry
        searched = [source for source in sources if have_numpy() and source in self._local]
        places = find_slices(wanted, [*sources, *self.fronts], search=searched)
        lost = [index for index in range(geometry.slices) if index not in places]
        spans = tuple((index * geometry.slice_size, geometry.size_of(index)) for index in lost)
        counts = (True, len(lost), len(wanted.parity))
        spill: ByteSource | None = None
        if lost:
            try:
                spill = self._solve(wanted, places)
            except FormatError as error:
                return Attempt(None, spans, 0, *counts, why=error.message)
        pieces = []
        for index in range(geometry.slices):
            at, size = index * geometry.slice_size, geometry.size_of(index)
            place = places.get(index)
            if place is not None:
                pieces.append(Piece(at, size, place.source, place.offset))
            elif spill is not None:
                pieces.append(Piece(at, size, spill, at))
        return Attempt(Mosaic(self._name, pieces), (), 0, *counts)

    def _solve(self, wanted: RecoverySet, places: Places) -> ByteSource:
        """The lost slices, at their offsets in a file that has nothing else."""
        if len(wanted.parity) < wanted.geometry.slices - len(places):
            raise LimitExceeded("too much is lost", clause="17.5.4")
        require_numpy()
        from llamafile_format.recovery.find import is_intact
        from llamafile_format.recovery.restore import solve_lost

        fd = self._spill()
        os.ftruncate(fd, wanted.geometry.length)
        lost = solve_lost(wanted, places, lambda at, data: write_at(fd, at, data))
        solved = FileSource.from_descriptor(fd, self._name)
        for index in lost:
            if not is_intact(wanted, solved, index, index * wanted.geometry.slice_size):
                raise FormatError("the recovery slices contradict the sums of the set", clause="17.5.4")
        return solved

    @property
    def _local(self) -> list[ByteSource]:
        """Copies on this machine, as they are and in their unconverted form."""
        both = zip(self.evidence.sources, self.reverted, strict=True)
        return [form for pair in both if pair[0] in self.evidence.local for form in pair]

    def _spill(self) -> int:
        return self.stack.enter_context(tempfile.TemporaryFile(dir=self.folder)).fileno()

    @property
    def _name(self) -> str:
        return self.evidence.file.name

    def _records(self, end: int) -> Records:
        """Signature records behind ``end``, from the copy that has most of them."""
        return max((signature_records(source, end) for source in self.evidence.sources), key=len)

    def most_records(self) -> int:
        """How many signature records survived behind any manifest that did."""
        ends = [_end_of(survivor.manifest, survivor.data) for survivor in self.evidence.survivors]
        return max((len(self._records(end)) for end in ends if end), default=0)


def _end_of(manifest: Manifest, data: bytes) -> int:
    """Where ``manifest`` ends in its file; 0 if it determines no layout."""
    where = layout_of(manifest)
    return where.manifest(len(data)).end if where else 0


def _records_in(result: Mosaic) -> int:
    ends = [_end_of(survivor.manifest, survivor.data) for survivor in surviving_manifests(result)[:1]]
    return max((len(signature_records(result, end)) for end in ends if end), default=0)
