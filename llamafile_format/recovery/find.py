"""Which slices of a set are still there, and where: at their place, elsewhere, or in another copy (spec/1, 17.5)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llamafile_format.errors import SourceError
from llamafile_format.manifest.hashing import cores
from llamafile_format.progress import Advance
from llamafile_format.recovery.sets import RecoverySet, Sum
from llamafile_format.source import ByteSource

_BLOCK = 1 << 20
_WASTED = 64 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where an intact slice begins. ``shifted`` says that it is not where it was."""

    source: ByteSource
    offset: int
    shifted: bool = False


Places = dict[int, Place]
"""Intact slices by their number."""


def find_slices(
    wanted: RecoverySet,
    sources: Sequence[ByteSource],
    *,
    search: Sequence[ByteSource] = (),
    progress: Advance | None = None,
) -> Places:
    """Slices of ``wanted`` in ``sources``, each from the first that has it at its place; what is missing then is looked
    for at every offset of the sources in ``search``. Parts of a source that cannot be read are taken for damaged."""
    places: Places = {}
    for source in sources:
        missing = [index for index in range(wanted.geometry.slices) if index not in places]
        with ThreadPoolExecutor(cores()) as pool:
            found = pool.map(lambda index, source=source: _at_its_place(wanted, source, index), missing)
            for index, intact in zip(missing, found, strict=True):
                if intact:
                    places[index] = Place(source, index * wanted.geometry.slice_size)
                if progress:
                    progress(wanted.geometry.slice_size)
    for source in search:
        if len(places) < wanted.geometry.slices:
            _Search(wanted, source, places).run()
    return places


def _at_its_place(wanted: RecoverySet, source: ByteSource, index: int) -> bool:
    return is_intact(wanted, source, index, index * wanted.geometry.slice_size)


def is_intact(wanted: RecoverySet, source: ByteSource, index: int, offset: int) -> bool:
    """True if slice ``index`` stands at ``offset`` of ``source``."""
    geometry = wanted.geometry
    size = geometry.size_of(index)
    if offset + size > source.size or geometry.slice_size > source.size + _WASTED:  # of zeros, as many as it claims
        return False
    try:
        return sum_of(source, offset, size, geometry.slice_size) == wanted.sums[index]
    except SourceError:  # a sector that the disk does not give back: as lost as one that it gives back wrong
        return False


def sum_of(source: ByteSource, offset: int, size: int, padded_to: int) -> Sum:
    """The sum of ``size`` bytes and the zeros behind them. SourceError if they cannot be read."""
    md5, crc = hashlib.md5(usedforsecurity=False), 0
    for at in range(0, size, _BLOCK):
        block = source.read_at(offset + at, min(_BLOCK, size - at))
        md5.update(block)
        crc = zlib.crc32(block, crc)
    for at in range(size, padded_to, _BLOCK):
        block = bytes(min(_BLOCK, padded_to - at))
        md5.update(block)
        crc = zlib.crc32(block, crc)
    return Sum(md5.digest(), crc)


class _Search:
    """Looks for the slices that are missing at every offset of one source that no known slice covers."""

    def __init__(self, wanted: RecoverySet, source: ByteSource, places: Places) -> None:
        self.wanted, self.source, self.places = wanted, source, places
        self.size = wanted.geometry.slice_size
        self.last = wanted.geometry.slices - 1
        self.left = 2 * source.size + _WASTED  # bytes that may be hashed in vain
        self.by_sum: dict[Sum, list[int]] = {}
        for index in range(wanted.geometry.slices):
            if index not in places:
                self.by_sum.setdefault(wanted.sums[index], []).append(index)

    def run(self) -> None:
        """Enter what is found into the places."""
        from llamafile_format.recovery.shifted import WindowSearch

        crcs = frozenset(each.crc32 for each in self.by_sum)
        self._try_last(self.source.size - self.wanted.geometry.size_of(self.last))
        if self.size > self.source.size:
            return
        window = WindowSearch(self.size, crcs)
        try:
            for low, high in self._gaps():
                self._scan(window, low, high)
        except SourceError:  # what cannot be read is not searched
            return

    def _gaps(self) -> list[tuple[int, int]]:
        """Stretches of the source that no slice covers."""
        taken = sorted(
            (place.offset, place.offset + self.wanted.geometry.size_of(index))
            for index, place in self.places.items()
            if place.source is self.source
        )
        gaps, at = [], 0
        for low, high in [*taken, (self.source.size, self.source.size)]:
            if low > at:
                gaps.append((at, low))
            at = max(at, high)
        return gaps

    def _scan(self, window: object, low: int, high: int) -> None:
        from llamafile_format.recovery.shifted import WindowSearch

        assert isinstance(window, WindowSearch)
        at = low
        while at + self.size <= high and self.by_sum and self.left > 0:
            hit = next((place for place in window.hits(self.source, at, high) if self._take(place)), None)
            if hit is None:
                return
            at = self._follow(hit, high)

    def _take(self, offset: int) -> bool:
        """Enter the slices that stand at ``offset``."""
        if self.left <= 0:
            return False
        found = sum_of(self.source, offset, self.size, self.size)
        indices = self.by_sum.pop(found, None)
        if indices is None:
            self.left -= self.size
            return False
        for index in indices:
            self.places[index] = Place(self.source, offset, shifted=True)
        return True

    def _follow(self, offset: int, high: int) -> int:
        """Where the slices end that follow one another from the one at ``offset``."""
        at = offset + self.size
        index = max(index for index, place in self.places.items() if place.offset == offset)
        while index < self.last and at + self.size <= high:
            index += 1
            known = index in self.places
            if known or not is_intact(self.wanted, self.source, index, at):
                break
            self._enter(index, at)
            at += self.size
        self._try_last(at)
        return at

    def _try_last(self, offset: int) -> None:
        """The last slice is shorter than the window that is looked for."""
        if offset >= 0 and self.last not in self.places and is_intact(self.wanted, self.source, self.last, offset):
            self._enter(self.last, offset)

    def _enter(self, index: int, offset: int) -> None:
        self.places[index] = Place(self.source, offset, shifted=True)
        others = self.by_sum.get(self.wanted.sums[index], [])
        if index in others:
            others.remove(index)
        if not others:
            self.by_sum.pop(self.wanted.sums[index], None)
