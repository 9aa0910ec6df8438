"""The numbers of tensors: NaN, infinity, nothing but zeros, scales that cannot be meant (spec/1, 7.14).

Bytes are looked at as they pass by to be hashed, in whatever order and from however many threads; what no pass brings
is read. A budget below the size of all tensors is spread over them, in runs of whole blocks.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import Gguf, TensorInfo
from llamafile_format.weights.purpose import GgufKind, recognise_kind
from llamafile_format.weights.tensor_scales import KNOWN, SCALE_MAX, Health, look
from llamafile_format.weights.tensor_types import MAINLINE, TensorType, TypeStatus, meanings

BUDGET = 64 << 20
"""Bytes of tensors that are looked at where not all are asked for."""

RUN = 256 << 10
"""Bytes of a run of blocks in a sample: fewer, and a disk would seek more than it reads."""

STEP = 1 << 20
"""Bytes that are read at a time where nothing else reads them."""

SPEAKING = 4096
"""Elements from which a tensor of zeros, or of one number, is worth a word: biases and tiny ones may be so."""


@dataclass(frozen=True, slots=True)
class TensorsAsked:
    """How many bytes of all tensors of a file are looked at: ``budget``, or ``all``.

    Whoever may ask for more (a level, an option, a policy) does it by :meth:`or_all`, which never takes anything back.
    """

    all: bool = False
    budget: int = BUDGET

    def or_all(self, asked: bool) -> TensorsAsked:
        """All tensors if ``asked``, else what was asked for before."""
        return TensorsAsked(self.all or asked, self.budget)


class _Tensor(NamedTuple):
    """A tensor in a file: ``start`` and ``size`` are bytes from the start of the file."""

    info: TensorInfo
    start: int
    size: int
    type: TensorType
    member: str
    model: bool


class _Range(NamedTuple):
    """Whole blocks that are to be looked at, from ``start`` to ``end``."""

    start: int
    end: int
    tensor: int


class Seen(NamedTuple):
    """What some bytes show: health by the number of the tensor, and parts of blocks that go on beyond them, each
    (tensor, start of its block, its own place, bytes).
    """

    health: list[tuple[int, Health]]
    halves: list[tuple[int, int, int, bytes]]


@dataclass(slots=True)
class TensorWatch:
    """Looks at the tensors of the GGUFs of a file. Add the GGUFs, :meth:`choose`, let bytes pass, then ask."""

    asked: TensorsAsked
    _tensors: list[_Tensor] = field(default_factory=list)
    _health: list[Health] = field(default_factory=list)
    _ranges: list[_Range] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _halves: dict[tuple[int, int], dict[int, bytes]] = field(default_factory=dict)
    _unread: dict[str, dict[str, int]] = field(default_factory=dict)  # member: name of the type: tensors
    _shared: set[int] = field(default_factory=set)  # tensors that no range looks at
    _lock: Lock = field(default_factory=Lock)

    def add(self, gguf: Gguf, *, base: int = 0, member: str = "") -> None:
        """Watch the tensors of ``gguf``, whose first byte is at ``base`` and whose header was read to its end."""
        if not gguf.complete:
            return
        model = recognise_kind(gguf) in {GgufKind.MODEL, GgufKind.SHARD}
        for info in gguf.tensors:
            start = base + gguf.data_offset + info.offset
            kind = next(iter(meanings(info.type_id)), None)
            removed = kind is not None and kind.status is TypeStatus.REMOVED
            if removed or info.size_bytes is None or gguf.data_offset + info.offset + info.size_bytes > gguf.size:
                continue  # LF5041 to LF5050 speak of it
            if kind is None or kind.numbering != MAINLINE or kind.name not in KNOWN or gguf.byte_order == "big":
                kinds = self._unread.setdefault(member, {})
                name = kind.name if kind else str(info.type_id)
                kinds[name] = kinds.get(name, 0) + 1
            else:
                self._tensors.append(_Tensor(info, start, info.size_bytes, kind, member, model))
                self._health.append(Health())

    def choose(self) -> None:
        """Settle which blocks are looked at: all, or runs spread evenly, in each tensor its share of the budget."""
        total = sum(tensor.size for tensor in self._tensors)
        whole = self.asked.all or total <= self.asked.budget
        left = total if whole else self.asked.budget
        end = 0
        for index, tensor in sorted(enumerate(self._tensors), key=lambda pair: pair[1].start):
            if tensor.start < end:  # LF5047: bytes that two tensors share are looked at once
                self._shared.add(index)
                continue
            end = tensor.start + tensor.size
            size = tensor.type.block_bytes or 1
            share = tensor.size if whole else max(size, self.asked.budget * tensor.size // total)
            for start, length in _runs(tensor.size, size, min(share, left)):
                left -= length
                self._ranges.append(_Range(tensor.start + start, tensor.start + start + length, index))
        self._starts = [range_.start for range_ in self._ranges]

    @property
    def choice(self) -> str:
        """A digest of what is looked at: what one watch has :class:`Seen`, another with the same choice may take in."""
        tensors = [(each.member, each.info.name, each.type.name, each.start, each.size) for each in self._tensors]
        return hashlib.sha256(repr((tensors, [tuple(range_) for range_ in self._ranges])).encode()).hexdigest()

    def see(self, at: int, view: memoryview) -> None:
        """Look at ``view``, the bytes of the file from ``at``, as far as they are chosen. Threads may call this."""
        self.take(self.look(at, view))

    def look(self, at: int, view: memoryview) -> Seen:
        """What ``view`` shows of the tensors, which is not taken in yet."""
        end, seen = at + len(view), Seen([], [])
        for index in range(max(0, bisect_right(self._starts, at) - 1), len(self._ranges)):
            range_ = self._ranges[index]
            if range_.start >= end:
                break
            if range_.end > at:
                self._look(range_, max(range_.start, at), view[max(range_.start - at, 0) : range_.end - at], seen)
        return seen

    def take(self, seen: Seen) -> None:
        """Take in what was seen; halves of blocks when the other half has come by."""
        with self._lock:
            for index, health in seen.health:
                self._health[index].add(health)
        for index, start, at, part in seen.halves:
            self._half(index, start, at, part)

    def read(self, source: ByteSource) -> None:
        """Look at all that is chosen by reading it."""
        for range_ in self._ranges:
            for at in range(range_.start, range_.end, STEP):
                self.see(at, memoryview(source.read_at(at, min(STEP, range_.end - at))))

    def _look(self, range_: _Range, at: int, view: memoryview, seen: Seen) -> None:
        """Whole blocks of ``view`` at once, and halves at its ends."""
        size = self._size(range_.tensor)
        head = min(-(at - range_.start) % size, len(view))
        tail = (len(view) - head) % size
        for place, part in ((at, view[:head]), (at + len(view) - tail, view[len(view) - tail :])):
            if len(part):
                start = place - (place - range_.start) % size
                seen.halves.append((range_.tensor, start, place, bytes(part)))
        if len(view) > head + tail:
            found = self._blocks(range_.tensor, at + head, bytes(view[head : len(view) - tail]))
            seen.health.append((range_.tensor, found))

    def _half(self, index: int, start: int, at: int, part: bytes) -> None:
        size = self._size(index)
        with self._lock:
            parts = self._halves.setdefault((index, start), {})
            parts[at] = part
            whole = b"".join(parts[key] for key in sorted(parts))
            if len(whole) < size:
                return
            del self._halves[index, start]
        found = self._blocks(index, start, whole[:size])
        with self._lock:
            self._health[index].add(found)

    def _size(self, index: int) -> int:
        return self._tensors[index].type.block_bytes or 1

    def _blocks(self, index: int, at: int, data: bytes) -> Health:
        tensor, known = self._tensors[index], self._health[index]
        varied = not (known.zero or known.same)
        return look(tensor.type.name, self._size(index), data, at - tensor.start, varied=varied)

    def findings(self) -> Iterator[Finding]:
        """What was found, and, once for each GGUF, how much was not looked at."""
        said: dict[str, int] = {}
        for tensor, health in zip(self._tensors, self._health, strict=True):
            for finding in _judge(tensor, health):
                said[finding.rule] = said.get(finding.rule, 0) + 1
                if said[finding.rule] <= FINDINGS_PER_RULE:
                    yield finding
        yield from self._coverage()

    def _coverage(self) -> Iterator[Finding]:
        """LF5094: not all was looked at, or not all can be read."""
        for member in dict.fromkeys([*(tensor.member for tensor in self._tensors), *self._unread]):
            mine = [
                index
                for index, tensor in enumerate(self._tensors)
                if tensor.member == member and index not in self._shared
            ]
            total = sum(self._tensors[index].size for index in mine)
            seen = sum(self._health[index].seen for index in mine)
            kinds = ", ".join(f"{count} of type {name}" for name, count in self._unread.get(member, {}).items())
            if seen < total or kinds:
                args: dict[str, Value] = {"seen": seen, "total": total, "unread": kinds or "none"}
                yield Finding("LF5094", Where(member=member), args)


def check_tensors(
    source: ByteSource, ggufs: Iterable[tuple[Gguf, int, str]], asked: TensorsAsked | None = None
) -> list[Finding]:
    """Findings about the tensors of ``ggufs``, each (header, its first byte in ``source``, member), by reading them."""
    watch = TensorWatch(asked or TensorsAsked())
    for gguf, base, member in ggufs:
        watch.add(gguf, base=base, member=member)
    watch.choose()
    watch.read(source)
    return list(watch.findings())


def _runs(size: int, block: int, share: int) -> Iterator[tuple[int, int]]:
    """Runs of whole blocks, (start, length) each, of ``share`` bytes together, spread evenly over ``size`` bytes."""
    share -= share % block
    if share <= 0:
        return
    if share >= size - size % block:
        yield 0, size - size % block
        return
    count = max(1, share // RUN)
    length = share // count // block * block
    rest = (size - length) // max(1, count - 1)  # the first run begins the tensor, the last one ends it
    for index in range(count if length else 0):
        yield index * rest // block * block, length


def _judge(tensor: _Tensor, health: Health) -> Iterator[Finding]:
    """What is wrong with one tensor. That it is all zeros or all the same needs all of it."""
    name, size = tensor.info.name, tensor.type.block_bytes or 1

    def finding(rule: str, at: int, length: int, **args: Value) -> Finding:
        """One finding about ``length`` bytes, ``at`` from where the tensor begins."""
        where = Where(tensor.start + at, length, tensor.member, name)
        return Finding(rule, where, {"tensor": name, "type": tensor.type.name, **args})

    if health.broken:
        yield finding("LF5090", health.first_broken, size, count=health.broken)
    if health.large:
        yield finding("LF5093", health.first_large, size, count=health.large, limit=SCALE_MAX)
    whole = health.seen == tensor.size and tensor.model
    if whole and len(tensor.info.dims) > 1 and tensor.info.elements >= SPEAKING:
        if health.zero:
            yield finding("LF5091", 0, tensor.size)
        elif health.same and not health.broken:
            yield finding("LF5092", 0, tensor.size)
