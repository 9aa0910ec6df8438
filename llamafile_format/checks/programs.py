"""Programs that nobody here knows, as their bytes describe them (spec/1.0, 14.8).

Of a program whose digest a registry or a pin has, nothing more is said. Of every other its headers are read, and its
bytes are searched up to a budget, once, window by window. Names play no part.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from llamafile_format.checks import program_shape as shape
from llamafile_format.checks.evidence import Sort
from llamafile_format.checks.program_riders import Riders
from llamafile_format.checks.program_words import Words
from llamafile_format.engines.known import is_registered, known_build
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.limits import PROGRAM_BYTES, PROGRAMS_BYTES
from llamafile_format.prefix.facts import PrefixFacts, PrefixKind, View
from llamafile_format.prefix.identify import identify
from llamafile_format.source import ByteSource, BytesSource, Window
from llamafile_format.zip.archive import read_archive

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts

WINDOW = 1 << 20  # bytes that are searched at once
OVERLAP = 4096  # bytes that two windows share, so that nothing is cut
LEAST = 1 << 20  # bytes that a program takes of the budget, however small it is: headers cost too
UNPACKED = 8 << 20  # bytes of a deflated program that are unpacked
SHOWN = 4  # functions of a sort, and places, that a report names
_MAGICS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")


class Program(NamedTuple):
    """A program of ``source``; ``base`` is where it begins in the file, ``path`` its member, empty for the prefix.

    ``own`` are ranges of it that are its business. One that was ``unpacked`` stands nowhere as it is: its places are
    told from its own beginning.
    """

    source: ByteSource
    base: int
    path: str = ""
    own: Sequence[tuple[int, int]] = ()
    unpacked: bool = False

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.path}, unpacked," if self.unpacked else self.path or "the prefix"

    def at(self, place: int) -> int:
        """What a report calls ``place``."""
        return place if self.unpacked else self.base + place

    def where(self, at: int, size: int) -> Where:
        """The place in the file of ``size`` bytes at ``at`` in the program."""
        return Where(self.base, None, self.path) if self.unpacked else Where(self.base + at, size, self.path)


def check_programs(container: Container, *, launched: bool) -> Iterator[Finding]:
    """LF3360 to LF3364 for the prefix and the programs among the members of ``container`` that nobody here knows.

    ``launched`` says that the prefix was compared, byte for byte, with the launcher that the manifest implies. Reads at
    most ``PROGRAMS_BYTES`` and, for each program, some headers.
    """
    left = PROGRAMS_BYTES
    for program in _unknown(container, launched):
        if left < LEAST:
            yield _unread(program, 0, program.source.size)
            return
        budget = min(left, PROGRAM_BYTES, program.source.size)
        left -= max(LEAST, budget)
        yield from check_program(program, identify(program.source), budget)


def check_program(program: Program, facts: PrefixFacts, budget: int = PROGRAM_BYTES) -> Iterator[Finding]:
    """What the bytes of ``program`` say, of which ``budget`` are searched."""
    view = View(program.source, program.source.size)
    looked = _look(program, facts, budget)
    for place in _few(shape.writable_code(view, facts)):
        args: dict[str, Value] = {"path": program.name, "what": place.what, "at": program.at(place.at)}
        yield Finding("LF3361", program.where(place.at, place.size), args)
    seen = set()
    for place in (*_few(shape.packers(view, facts)), *looked.marks):
        if place.what not in seen:
            seen.add(place.what)
            args = {"path": program.name, "packer": place.what, "at": program.at(place.at)}
            yield Finding("LF3362", program.where(place.at, place.size), args)
    for rider in looked.riders:
        args = {"path": program.name, "what": rider.what, "at": program.at(rider.at)}
        yield Finding("LF3363", program.where(rider.at, program.source.size - rider.at), args)
    told = "; ".join(_told(program, facts, looked))
    if told:
        args = {"path": program.name, "what": f"it runs on {shape.runs_on(facts, view.upto(0, 4))}; {told}"}
        yield Finding("LF3360", program.where(0, program.source.size), args)
    if looked.unread is not None:
        yield _unread(program, *looked.unread)


@dataclass(slots=True)
class _Looked:
    """What a search found; ``unread`` is the first range that it left out."""

    words: Words
    riders: Riders
    marks: list[shape.Place]
    unread: tuple[int, int] | None = None


def _look(program: Program, facts: PrefixFacts, budget: int) -> _Looked:
    """Search the bytes of ``program``: all of them, or, where the budget does not reach, its two ends."""
    size = program.source.size
    own = [*program.own, *((each.offset, each.offset + each.size) for each in facts.loaders)]
    own += [(each.offset, each.offset + 1) for each in facts.executables]
    riders = Riders(program.source, own, polyglot=shape.is_polyglot(facts), left=max(64, budget >> 14))
    looked = _Looked(Words(max(1 << 15, budget >> 5)), riders, [])
    ends = [(0, size)] if size <= budget else [(0, budget - budget // 4), (size - budget // 4, size)]
    for start, end in ends:
        for at in range(start, end, WINDOW):
            data = program.source.read_at(at, min(WINDOW + OVERLAP, end - at))
            if data.count(0) == len(data):
                continue
            if facts.kind is not PrefixKind.SCRIPT:
                looked.words.look(data, at)
            looked.riders.look(data, at)
            looked.marks += shape.marks(data, at)
    if len(ends) > 1:
        looked.unread = (ends[0][1], ends[1][0])
    elif looked.words.left <= 0 or looked.riders.left <= 0:
        looked.unread = (0, size)
    return looked


def _told(program: Program, facts: PrefixFacts, looked: _Looked) -> Iterator[str]:
    """What is no fault and worth knowing, in words, each with its place in the file."""
    kinds = {PrefixKind.NONE, PrefixKind.OTHER, PrefixKind.SCRIPT}
    functions, unread = ({}, "") if facts.kind in kinds else shape.asks(program.source)
    for what, found in functions.items():
        names = ", ".join(f"{name} at byte {program.at(at)}" for name, at in found[:SHOWN])
        yield f"{what} ({names}{f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''})"
    if unread and facts.kind in shape.NATIVE and facts.end and shape.overlay(facts, 1 << 62):
        yield f"what it asks of its system cannot be read: {unread}"
    for find in looked.words:
        yield f"it has {_SORTS[find.sort]} at byte {program.at(find.at)}: {find.text}"
    behind = shape.overlay(facts, program.source.size)
    if behind is not None and not _padding(program, behind):
        yield f"{behind.size} bytes stand behind all that its headers name, from byte {program.at(behind.at)}"


_SORTS = {
    Sort.PIPELINE: "a pipeline into an interpreter",
    Sort.COMMAND: "a command",
    Sort.ADDRESS: "an address",
    Sort.PATH: "a path",
}


def _padding(program: Program, behind: shape.Place) -> bool:
    """True for at most a window of zeros, and for what the engine's own archive stands in."""
    zeros = behind.size <= WINDOW and not program.source.read_at(behind.at, behind.size).strip(b"\0")
    return zeros or any(behind.at <= start < behind.at + behind.size for start, _ in program.own)


def _few(places: Iterator[shape.Place]) -> list[shape.Place]:
    return [place for place, _ in zip(places, range(SHOWN), strict=False)]


def _unread(program: Program, start: int, end: int) -> Finding:
    args: dict[str, Value] = {"path": program.name, "start": program.at(start), "end": program.at(end)}
    return Finding("LF3364", program.where(start, end - start), args)


def _unknown(container: Container, launched: bool) -> Iterator[Program]:
    """The programs that no digest vouches for, the prefix first."""
    manifest, size = container.manifest, container.engine_size
    prefix = manifest.prefix if manifest is not None else None
    digests = (prefix.sha256, prefix.engine_sha256) if prefix is not None else ()
    known = any(map(is_registered, digests)) or (launched and container.prefix.kind is PrefixKind.LAUNCHER)
    if size and not known and container.prefix.kind is not PrefixKind.NONE:
        yield Program(Window(container.source, 0, size), 0, own=_own_archive(container, size))
    assets = prefix.directory.assets if prefix is not None and prefix.directory is not None else ()
    named = {asset.path: asset.sha256 for asset in assets}
    for member in container.members:
        digest = member.sha256 or named.get(member.path, "")
        if known_build(digest) is None and not is_registered(digest):
            yield from _of_member(container, member)


def _of_member(container: Container, member: MemberFacts) -> Iterator[Program]:
    """``member`` as a program, if it is one: by its role, or, whatever the role, by its first bytes."""
    if member.offset < 0 or member.size < 8 or member.role in _TEXTS:
        return
    if member.stored:
        head = container.source.read_at(member.offset, 4)
        if member.role == "runtime" or head.startswith(_MAGICS):
            yield Program(Window(container.source, member.offset, member.size), member.offset, member.path)
        return
    data = _unpack(container, member)
    if data is not None:
        yield Program(BytesSource(data, member.path), member.offset, member.path, unpacked=True)


def _unpack(container: Container, member: MemberFacts) -> bytes | None:
    """The first bytes of a deflated program; None for what is none, and for what cannot be unpacked."""
    packed = container.source.read_at(member.offset, min(member.stored_size, UNPACKED))
    try:
        if not zlib.decompressobj(-15).decompress(packed[:64], 8).startswith(_MAGICS):
            return None
        return zlib.decompressobj(-15).decompress(packed, UNPACKED)
    except zlib.error:
        return None


def _own_archive(container: Container, size: int) -> list[tuple[int, int]]:
    """Where the engine's own archive stands in the prefix: its members are judged by themselves."""
    inside = read_archive(Window(container.source, 0, size))
    entries = [*container.archive.entries, *inside.entries]
    found = {(entry.header_offset, entry.data_end) for entry in entries if entry.located and entry.header_offset < size}
    if inside.tail is not None and inside.entries:
        found.add((inside.tail.directory_offset, size))
    return sorted(found)


_TEXTS = frozenset({"manifest", "chunks", "signature-record", "license", "card", "template", "arguments"})
