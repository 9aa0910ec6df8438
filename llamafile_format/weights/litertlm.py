"""The header of a LiteRT-LM file: which sections lie where (spec/1, 7.18.2). Nothing in a section is opened.

:func:`read_litertlm` never raises for bad bytes: what is wrong is one sentence in ``fault``, and reading ends there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.source import ByteSource

MAGIC = b"LITERTLM"
BLOCK = 16 << 10
"""Sections begin at multiples of it."""

MAX_HEADER = 1 << 20
MAX_SECTIONS = 1024
_HEAD = struct.Struct("<8s3I4xQ")
_KINDS = (
    *("none", "data", "deprecated", "TFLite model", "SentencePiece tokenizer", "model metadata"),
    *("tokenizer of Hugging Face", "TFLite weights", "executor metadata"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the file, from its first byte: what it is said to hold, where it begins and ends."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class LiteRtLm:
    """What a header says. ``fault`` is empty if it was read to its end and every section lies where it may."""

    version: str
    sections: tuple[Section, ...]
    fault: str


class _Fault(Exception):
    """What is wrong; never leaves this module."""


class _Buffer:
    """A FlatBuffer, every offset in it compared with its end before it is followed."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, at: int, layout: str) -> int:
        """The number of ``layout`` at ``at``."""
        if not 0 <= at <= len(self.data) - struct.calcsize(layout):
            raise _Fault("an offset in the header leads out of it")
        return int(struct.unpack_from(layout, self.data, at)[0])

    def follow(self, at: int) -> int:
        """Where the offset at ``at`` leads: forward, as all but tables' own do."""
        return at + self.number(at, "<I")

    def field(self, table: int, index: int) -> int:
        """Where field ``index`` of the table at ``table`` is; 0 if it is absent."""
        layout = table - self.number(table, "<i")
        size, width = self.number(layout, "<H"), self.number(layout + 2, "<H")
        if 4 + 2 * index >= size:
            return 0
        offset = self.number(layout + 4 + 2 * index, "<H")
        if offset >= max(width, 4):
            raise _Fault("a field in the header lies outside its table")
        return table + offset if offset else 0


def read_litertlm(source: ByteSource) -> LiteRtLm:
    """The header of the LiteRT-LM file that ``source`` is. SourceError only."""
    if source.size < _HEAD.size:
        return LiteRtLm("", (), f"it ends after {source.size} bytes, in its header")
    magic, major, minor, patch, end = _HEAD.unpack(source.read_at(0, _HEAD.size))
    version, sections = f"{major}.{minor}.{patch}", list[Section]()
    if magic != MAGIC:
        return LiteRtLm("", (), "it does not begin with LITERTLM")
    if not _HEAD.size + 4 <= end <= min(source.size, MAX_HEADER):
        where = f"its header ends at byte {end} of {source.size}, and at most {MAX_HEADER} are read"
        return LiteRtLm(version, (), where)
    try:
        sections += _sections(_Buffer(source.read_at(_HEAD.size, end - _HEAD.size)))
        _judge(sections, end, source.size)
    except _Fault as fault:
        return LiteRtLm(version, tuple(sections), str(fault))
    return LiteRtLm(version, tuple(sections), "")


def _sections(buffer: _Buffer) -> Iterator[Section]:
    root = buffer.follow(0)
    metadata = buffer.field(root, 1)
    if not metadata:
        raise _Fault("its header names no sections")
    objects = buffer.field(buffer.follow(metadata), 0)
    if not objects:
        raise _Fault("its header names no sections")
    vector = buffer.follow(objects)
    count = buffer.number(vector, "<I")
    if count > MAX_SECTIONS:
        raise _Fault(f"its header names {count} sections, more than {MAX_SECTIONS}")
    for index in range(count):
        table = buffer.follow(vector + 4 + 4 * index)
        places = [buffer.field(table, number) for number in (1, 2)]
        begin, end = (buffer.number(place, "<Q") if place else 0 for place in places)
        kind = buffer.field(table, 3)
        number = buffer.number(kind, "<B") if kind else 0
        yield Section(_KINDS[number] if number < len(_KINDS) else f"kind {number}", begin, end)


def _judge(sections: list[Section], header: int, size: int) -> None:
    """Sections lie behind the header and one another, at multiples of a block, inside the file."""
    last = header
    for section in sections:
        if section.begin % BLOCK or not last <= section.begin <= section.end <= size:
            raise _Fault(f"a section from byte {section.begin} to {section.end} lies where none may")
        last = section.end
