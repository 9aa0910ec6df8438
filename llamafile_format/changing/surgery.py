"""Changing a container in place (spec/1, 8.5): the weights stay on their blocks, everything else moves around them.

The new file is assembled as a shadow in which the weights are holes. A shift of whole blocks brings the weights to
their new offset; what then still differs from the shadow is written over it. A journal holds all of it beforehand.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.changing.belonging import inserted, is_shifted
from llamafile_format.changing.journal import PIECE, Intent, Journal, JournalWriter, Record, RecordKind, belongs_to
from llamafile_format.changing.shift import UNIT, Kind, Shift, can_shift
from llamafile_format.changing.uninterrupted import uninterrupted
from llamafile_format.container import Container
from llamafile_format.errors import SourceError
from llamafile_format.manifest.layout import Layout, plan
from llamafile_format.manifest.roles import file_order
from llamafile_format.output.transfer import file_range, write_at
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, FileSource, Window
from llamafile_format.source.pending import journal_path, refuse_pending

if TYPE_CHECKING:  # commands that only append need none of what assembles a file
    from llamafile_format.changing.changes import Plan
    from llamafile_format.packing import Assembled, Carried, Content, Judgement, PrefixContent

HELD_MINIMUM = 1 << 20  # bytes; smaller members are written anew, larger ones stay on their blocks
MAX_WRITTEN = 512 << 20  # bytes that a change in place may write twice (journal and file)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNABLE = (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ETXTBSY, errno.ENOSYS)
_PROBE = 4096
_PROBES = 16


def checkpoint(step: str) -> None:
    """Called after each step that a crash could follow. Does nothing; tests put a crash here."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file cannot be changed in place; a clause for the middle of a sentence. Nothing was touched."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Held:
    """``length`` bytes that are the same in both files: at ``old`` in the old one, at ``new`` in the new one."""

    old: int
    new: int
    length: int


_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""What no other output cures: there is no such file to begin with."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[FileSource]:
    """``path`` open for reading and writing under an exclusive lock.

    Raises SourceError if somebody else holds the lock, runs the file, or has left a journal.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        hint = "" if error.errno in _NO_FILE else "write a new file with -o OUT"
        raise SourceError(f"cannot change {path}: {error.strerror}", hint=hint) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError(
                f"{path} is locked by another program", hint="wait for it, or write a new file with -o OUT"
            ) from error
        refuse_pending(path)
        if not os.path.samestat(os.fstat(fd), path.stat()):
            raise SourceError(f"{path} was replaced meanwhile", hint="try again")
        yield FileSource.from_descriptor(fd, os.fspath(path))
    finally:
        os.close(fd)


def operate(
    container: Container,
    carried: Carried,
    plan_: Plan,
    target: Path,
    *,
    judgement: Judgement,
    progress: Advance,
) -> Assembled | Refusal:
    """Turn the file of ``container``, which :func:`locked` has opened, into what ``plan_`` says, in place.

    Raises FormatError if ``judgement`` finds that the new file must not be; nothing was touched then. Raises
    SourceError if writing fails; the file is then the old one again, or, if even that failed, the journal stays and the
    message says so.
    """
    from llamafile_format.changing.damage import check_written

    source = container.source
    if not isinstance(source, FileSource):
        return Refusal("its launcher was converted, and is written anew in its first form")
    if plan_.recovery:
        return Refusal("its recovery data are computed from the whole new file")
    if in_use(source.fd):
        return Refusal("another program has it open")
    contents = sorted(plan_.contents, key=lambda content: file_order(content.role, content.path))
    shift, held = _choose(source, plan_, contents)
    if isinstance(shift, str):
        return Refusal(shift)
    if shift.kind is not Kind.NONE and not can_shift(target.parent):
        return Refusal("this file system cannot insert or remove blocks inside a file")
    try:
        with _shadow(target.parent, source, plan_, held, progress=progress) as (shadow, written):
            check_written(written, carried, plan_)
            whole = _Overlaid(target.name, shadow, source, held)
            written = judgement.of(whole, shadow.fd, written, plan_.prefix.records)
            shadow = FileSource.from_descriptor(shadow.fd, shadow.name)  # its size may be another now
            manifests = [bytes.fromhex(digest) for digest in (carried.manifest_sha256, written.manifest_sha256)]
            intent = belongs_to(Intent(shift, source.size, written.size, manifests[0], manifests[1]), source.fd)
            _write_journal(target, source, shadow, intent, held)
    except OSError as error:
        raise error if isinstance(error, SourceError) else _as_it_was(target, error) from error
    executable = plan_.prefix.size > 0 and not carried.engine.source.size
    with uninterrupted():
        refusal = _run(source.fd, target, executable=executable)
    if refusal is not None:
        return refusal
    return replace(written, shared=sum(item.length for item in held))


def _as_it_was(target: Path, error: OSError) -> SourceError:
    hint = "make room, or write a new file on another disk with -o OUT" if error.errno in _FULL else ""
    return SourceError(f"cannot change {target}: {error.strerror}; it is as it was", hint=hint)


def _run(fd: int, target: Path, *, executable: bool) -> Refusal | None:
    """Do what the published journal says, or undo it."""
    journal, mode = Journal(journal_path(target)), os.fstat(fd).st_mode & 0o7777
    try:
        checkpoint("journal")
        if executable:
            os.fchmod(fd, mode | (mode & 0o444) >> 2)
        finish(fd, journal)
        journal.remove()
        checkpoint("removed")
        return None
    except OSError as error:
        try:
            roll_back(fd, journal)
            os.fchmod(fd, mode)
            journal.remove()
        except OSError as worse:
            raise SourceError(
                f"{target} is half changed: {error.strerror}, and undoing it failed too: {worse.strerror}",
                hint=f"make room, then run: llamafile-format recover {target}",
            ) from error
        if error.errno in _UNABLE:
            return Refusal("the file system refused to move its blocks")
        raise _as_it_was(target, error) from error
    finally:
        journal.close()


def finish(fd: int, journal: Journal) -> None:
    """From any state that a crash can leave to the new file. OSError if writing fails."""
    intent = journal.intent
    if not is_shifted(fd, journal):
        intent.shift.apply(fd)
    checkpoint("shift")
    if intent.shift.kind is not Kind.NONE and not journal.shifted:
        os.fsync(fd)
        checkpoint("shift-synced")
        journal.note_shifted()
    checkpoint("noted")
    for record in journal.records(RecordKind.PATCH):
        write_at(fd, record.offset, record.new)
        checkpoint("patch")
    os.ftruncate(fd, intent.new_size)
    checkpoint("truncated")
    os.fsync(fd)
    checkpoint("synced")


def roll_back(fd: int, journal: Journal) -> None:
    """From any state that a crash can leave to the old file. OSError if writing fails."""
    intent = journal.intent
    if is_shifted(fd, journal):
        for record in journal.records(RecordKind.PATCH):
            write_at(fd, record.offset, record.old)
            checkpoint("unpatch")
        os.ftruncate(fd, intent.shifted_size)
        os.fsync(fd)
        checkpoint("untruncated")
        if intent.shift.kind is not Kind.NONE:
            journal.note_shifted(False)  # from here on the size alone tells whether the shift is still there
            checkpoint("unnoted")
            intent.shift.undo(fd)
            checkpoint("unshift")
    for record in journal.records(RecordKind.REMOVED):  # also if the undoing was interrupted just before this
        write_at(fd, record.offset, record.old)
        checkpoint("unremove")
    os.fsync(fd)
    checkpoint("unsynced")


def in_use(fd: int) -> bool:
    """True if another program has the file open or mapped: shifting would change what it sees under its feet.

    Asks for a write lease, which the kernel grants only to the sole user. False where leases do not exist.
    """
    import fcntl
    import signal

    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; the usual SIGIO would end this process
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (BlockingIOError, AttributeError) as error:
        return isinstance(error, BlockingIOError)
    except OSError:
        return False
    return False


def _choose(source: FileSource, plan_: Plan, contents: Sequence[Content]) -> tuple[Shift | str, list[_Held]]:
    """The shift that keeps most bytes where they are, and what it keeps; or why there is none."""
    wide = plan_.labels.profile == "archive"
    sizes = [(content.path, content.source.size, content.alignment) for content in contents]
    where: Layout = plan(plan_.prefix.size, sizes, sha512=wide)
    pairs = []
    for content, placed in zip(contents, where.members, strict=True):
        reusable = content.known is not None and (content.known.sha512 or not wide)
        old = _old_offset(source, content.source)
        if reusable and old is not None and content.source.size >= HELD_MINIMUM:
            pairs.append(_Held(old, placed.data_offset, content.source.size))
    prefix = plan_.prefix
    if prefix.known is not None and (prefix.known[0].chunks512 or not wide) and prefix.engine.size >= HELD_MINIMUM:
        pairs.append(_Held(0, 0, prefix.engine.size))
    anchor = max((pair for pair in pairs if pair.old), key=lambda pair: pair.length, default=None)
    delta = anchor.new - anchor.old if anchor else 0
    if delta % UNIT:
        return "the weights would move by less than a block", []
    low = min((pair.old for pair in pairs if pair.old and pair.new - pair.old == delta), default=0) // UNIT * UNIT
    shift = Shift()
    if delta > 0:
        shift = Shift(Kind.INSERT, low, delta)
    elif low + delta < 0:
        return "the weights would move in front of the file's first block", []
    elif delta < 0:
        shift = Shift(Kind.COLLAPSE, low + delta, -delta)
    gone = range(shift.at, shift.at + shift.length) if delta < 0 else range(0)
    held = [
        pair
        for pair in pairs
        if pair.new - pair.old == (delta if pair.old >= low and delta else 0)
        and (pair.old >= low or pair.old + pair.length <= shift.at or not delta)
        and pair.old not in gone
    ]
    total = plan_.prefix.size + sum(content.source.size for content in contents) + shift.length
    if total - sum(pair.length for pair in held) > MAX_WRITTEN:
        return "too much of it changes", []
    return shift, sorted(held, key=lambda pair: pair.new)


def _old_offset(source: FileSource, part: ByteSource) -> int | None:
    """Where ``part`` lies in the file that is being changed; None if it comes from elsewhere."""
    origin = file_range(part, 0, part.size)
    return origin[1] if origin is not None and origin[0] is source else None


@contextlib.contextmanager
def _shadow(
    folder: Path, source: FileSource, plan_: Plan, held: Sequence[_Held], *, progress: Advance
) -> Iterator[tuple[FileSource, Assembled]]:
    """The new file in a nameless sparse file; what is held is a hole in it. Nothing held is read or written."""
    from tempfile import TemporaryFile

    from llamafile_format.packing import assemble

    with TemporaryFile(dir=folder) as hole, TemporaryFile(dir=folder) as file:
        os.ftruncate(hole.fileno(), max((item.length for item in held), default=0))
        nothing = FileSource.from_descriptor(hole.fileno(), "<held>")
        kept = {item.old: item for item in held}

        def stand_in(part: ByteSource) -> ByteSource:
            """``part``, or a hole of its size if its bytes stay where they are."""
            item = kept.get(_old_offset(source, part) if part.size >= HELD_MINIMUM else None)  # type: ignore[arg-type]
            return Window(nothing, 0, part.size) if item is not None and item.length == part.size else part

        prefix: PrefixContent = replace(plan_.prefix, engine=stand_in(plan_.prefix.engine))
        parts = [replace(content, source=stand_in(content.source)) for content in plan_.contents]
        written = assemble(file.fileno(), prefix, parts, plan_.labels, progress=progress)
        yield FileSource.from_descriptor(file.fileno(), "<shadow>"), written


@dataclass(frozen=True, slots=True)
class _Overlaid:
    """The new file as it will be: the shadow, with what is held read from the old file."""

    name: str
    shadow: FileSource
    old: FileSource
    held: Sequence[_Held]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.shadow.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``: from the shadow, then over it what is held."""
        self.shadow.read_into(offset, buffer)
        end = offset + len(buffer)
        for item in self.held:
            low, high = max(offset, item.new), min(end, item.new + item.length)
            if low < high:
                self.old.read_into(item.old + low - item.new, buffer[low - offset : high - offset])

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        data = bytearray(length)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Many ranges, in the order asked."""
        return [self.read_at(offset, length) for offset, length in ranges]


def _write_journal(target: Path, source: FileSource, shadow: FileSource, intent: Intent, held: Sequence[_Held]) -> None:
    """Compare the shifted file with the shadow and publish the difference as a journal."""
    writer, shift = JournalWriter(target), intent.shift
    try:
        for offset in _probe_offsets(held):
            digest = hashlib.sha256(source.read_at(offset, _PROBE)).digest()
            writer.add(Record(RecordKind.PROBE, offset, digest, length=_PROBE))
        if shift.kind is Kind.COLLAPSE:
            for at, count in _split(shift.at, shift.length, ()):
                writer.add(Record(RecordKind.REMOVED, at, source.read_at(at, count)))
        for low, high in _outside(held, intent.new_size):
            for at, count in _split(low, high - low, (shift.at, shift.at + shift.length)):
                new, old = shadow.read_at(at, count), _shifted(source, shift, at, count)
                if new != old:
                    writer.add(Record(RecordKind.PATCH, at, b"" if inserted(shift, at) else old, new))
        for at, count in _split(intent.new_size, intent.shifted_size - intent.new_size, ()):
            writer.add(Record(RecordKind.PATCH, at, _shifted(source, shift, at, count)))
        writer.publish(intent)
    finally:
        writer.close()


def _probe_offsets(held: Sequence[_Held]) -> list[int]:
    """Places in the old file whose bytes tell it from another: both ends of what is held, and between."""
    result = []
    for item in sorted(held, key=lambda item: -item.length)[:4]:
        steps = _PROBES // 4
        result += [item.old + (item.length - _PROBE) * step // (steps - 1) for step in range(steps)]
    return result


def _outside(held: Sequence[_Held], size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the ranges of the new file that are not held."""
    at = 0
    for item in held:
        if at < item.new:
            yield at, item.new
        at = item.new + item.length
    if at < size:
        yield at, size


def _split(start: int, length: int, borders: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(offset, length) of pieces of at most 64 KiB that cross none of ``borders``."""
    at, end = start, start + length
    while at < end:
        stop = min([end, at + PIECE, *(border for border in borders if border > at)])
        yield at, stop - at
        at = stop


def _shifted(source: FileSource, shift: Shift, at: int, count: int) -> bytes:
    """``count`` bytes at ``at`` of the file as it is after the shift; fewer behind its end. Crosses no border."""
    if inserted(shift, at):
        return bytes(count)
    old = at if at < shift.at else at - shift.delta
    return source.read_at(old, max(0, min(count, source.size - old))) if old < source.size else b""
