"""Programs that nobody here knows, as their bytes describe them (spec/1, 14.8).

Of a program whose digest a registry or a pin has, nothing more is said. Of every other its headers are read, and its
bytes are searched up to a budget, once, window by window. Names play no part.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from llamafile_format.checks import program_shape as shape
from llamafile_format.checks.evidence import Sort
from llamafile_format.checks.program_riders import Riders
from llamafile_format.checks.program_words import Wording
from llamafile_format.engines.known import is_registered, known_build
from llamafile_format.findings import Composed, Finding, Value, Where, quoted
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
HASHED_BYTES = 512 << 20  # of programs whose digest is not known yet, and may be that of a known one
SHOWN = 4  # functions of a sort, and places, that a report names
_MAGICS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", shape.WASM, b"#!")


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
    cut: int = 0  # bytes that it claims to have, if more than were unpacked

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


@dataclass(frozen=True, slots=True)
class Vouching:
    """What this run has compared: ``launched``, the prefix with the launcher that the manifest implies, byte for byte;
    ``paths``, members whose digests were found in the bytes, "" for the prefix. Every other digest is a claim."""

    launched: bool = False
    paths: frozenset[str] = frozenset()


def check_programs(container: Container, vouching: Vouching) -> Iterator[Finding]:
    """LF3360 to LF3364 for the prefix and the programs among the members of ``container`` that nobody here knows.

    Reads at most ``PROGRAMS_BYTES`` and, for each program, some headers; and ``HASHED_BYTES`` of those that claim to be
    known.
    """
    left = PROGRAMS_BYTES
    for program in _unknown(container, vouching):
        if left < LEAST:
            yield _unread(program._replace(path=f"{program.name} and every program behind it"), 0, program.source.size)
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
        what = Composed(f"it runs on {quoted(shape.runs_on(facts, view.upto(0, 4)))}; {told}")
        args = {"path": program.name, "what": what}
        yield Finding("LF3360", program.where(0, program.source.size), args)
    if looked.unread is not None:
        yield _unread(program, *looked.unread)
    elif program.cut:
        yield _unread(program, program.source.size, program.cut)


@dataclass(slots=True)
class _Looked:
    """What a search found; ``unread`` is the first range that it left out."""

    words: Wording
    riders: Riders
    marks: list[shape.Place]
    unread: tuple[int, int] | None = None


def _look(program: Program, facts: PrefixFacts, budget: int) -> _Looked:
    """Search the bytes of ``program``: all of them, or, where the budget does not reach, its two ends."""
    size = program.source.size
    own = [*program.own, *((each.offset, each.offset + each.size) for each in facts.loaders)]
    own += [(each.offset, each.offset + 1) for each in facts.executables]
    script = facts.kind is PrefixKind.SCRIPT
    riders = Riders(program.source, own, polyglot=shape.is_polyglot(facts), script=script, left=max(64, budget >> 14))
    looked = _Looked(Wording(max(1 << 15, budget >> 5)), riders, [])
    ends = [(0, size)] if size <= budget else [(0, budget - budget // 4), (size - budget // 4, size)]
    for start, end in ends:
        for at in range(start, end, WINDOW):
            data = program.source.read_at(at, min(WINDOW + OVERLAP, end - at))
            if data.count(0) == len(data):
                continue
            if not script:
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
    module = program.source.size >= 8 and program.source.read_at(0, 4) == shape.WASM
    functions, unread = ({}, "") if facts.kind in kinds and not module else shape.asks(program.source)
    for what, found in functions.items():
        names = ", ".join(f"{name} at byte {program.at(at)}" for name, at in found[:SHOWN])
        yield f"{what} ({names}{f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''})"
    if unread and (module or (facts.kind in shape.NATIVE and facts.end and shape.overlay(facts, 1 << 62))):
        yield f"what it asks of its system cannot be read: {unread}"
    for find in looked.words:
        yield f"it has {_SORTS[find.sort]} at byte {program.at(find.at)}: {quoted(find.text)}"
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


def _unknown(container: Container, vouching: Vouching) -> Iterator[Program]:
    """The programs that no digest vouches for, the prefix first."""
    asked = _Asked(vouching.paths)
    manifest, size = container.manifest, container.engine_size
    if size and container.prefix.kind is not PrefixKind.NONE:
        prefix = Program(Window(container.source, 0, size), 0)
        # A legacy file claims nothing, and its engine is a file that was published, or begins with one.
        claims = [manifest.prefix.engine_sha256, manifest.prefix.sha256] if manifest is not None else None
        launched = vouching.launched and container.prefix.kind is PrefixKind.LAUNCHER
        if not launched and not asked.is_known(prefix, claims):
            yield prefix._replace(own=_own_archive(container, size))
    for member in container.members:
        program = _of_member(container, member)
        claims = [member.sha256] if manifest is not None and not (program and program.unpacked) else None
        if program is not None and not asked.is_known(program, claims):
            yield program


@dataclass(slots=True)
class _Asked:
    """Which programs are known: by digests that were compared, of those at the ``proven`` paths, or that are computed
    here, of ``left`` bytes at most."""

    proven: frozenset[str]
    left: int = HASHED_BYTES

    def is_known(self, program: Program, claims: Sequence[str] | None) -> bool:
        """Does the registry or a pin have ``program``? A manifest's ``claims`` are enough where they were compared;
        a claim that was not is looked into, and so is a program of which nothing is claimed."""
        if claims is not None:
            claims = [digest for digest in claims if digest and is_told(digest)]
            if not claims or (program.path in self.proven and not program.unpacked):
                return bool(claims)
        source = program.source
        if source.size > self.left:
            return False
        self.left -= source.size
        digest = hashlib.sha256()
        for at in range(0, source.size, WINDOW):
            digest.update(source.read_at(at, min(WINDOW, source.size - at)))
        return is_told(digest.hexdigest())


def is_told(digest: str) -> bool:
    """True if the registry or a pin has a program with this ``digest``: refused ones too, which LF3331 is about."""
    return known_build(digest) is not None or is_registered(digest)


def _of_member(container: Container, member: MemberFacts) -> Program | None:
    """``member`` as a program, if it is one: by its role, or, whatever the role, by its first bytes."""
    if member.offset < 0 or member.size < 8 or member.role in _TEXTS:
        return None
    if member.stored:
        head = container.source.read_at(member.offset, 4)
        if member.role == "runtime" or head.startswith(_MAGICS):
            return Program(Window(container.source, member.offset, member.size), member.offset, member.path)
        return None
    data = _unpack(container, member)
    if data is None:
        return None
    cut = member.size if len(data) < member.size else 0
    return Program(BytesSource(data, member.path), member.offset, member.path, unpacked=True, cut=cut)


def _unpack(container: Container, member: MemberFacts) -> bytes | None:
    """The first bytes of a deflated program, as far as it can be unpacked; None for what is none."""
    head = container.source.read_at(member.offset, min(member.stored_size, 512))
    try:
        if not zlib.decompressobj(-15).decompress(head, 8).startswith(_MAGICS):
            return None
    except zlib.error:  # LF7020 says so
        return None
    stream, found = zlib.decompressobj(-15), b""
    packed = container.source.read_at(member.offset, min(member.stored_size, UNPACKED))
    try:
        for at in range(0, len(packed), WINDOW):
            found += stream.decompress(packed[at : at + WINDOW], UNPACKED - len(found))
            if len(found) >= UNPACKED or stream.eof:
                break
    except zlib.error:  # what came before it is looked at
        pass
    return found


def _own_archive(container: Container, size: int) -> list[tuple[int, int]]:
    """Where the engine's own archive stands in the prefix: its members are judged by themselves."""
    inside = read_archive(Window(container.source, 0, size))
    entries = [*container.archive.entries, *inside.entries]
    found = {(entry.header_offset, entry.data_end) for entry in entries if entry.located and entry.header_offset < size}
    if inside.tail is not None and inside.entries:
        found.add((inside.tail.directory_offset, size))
    return sorted(found)


_TEXTS = frozenset({"manifest", "chunks", "signature-record", "license", "card", "template", "arguments"})
