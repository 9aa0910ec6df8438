"""The journal of a change in place: everything that is needed to finish it or to undo it (spec/1, 8.5.3).

It lies beside the file as ``FILE.journal``. It gets that name only when it is complete and on the medium, and loses it
only when the changed file is; so as long as it is there, the file may be neither the old one nor the new one.

It holds for one file: the one whose inode it names and that has, wherever the journal will touch it, the old bytes or
the new ones (``belonging``). So whoever does not know the file cannot write a journal for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from llamafile_format.changing.shift import UNIT, Kind, Shift
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.output.leftovers import announce, claim, partial_path
from llamafile_format.output.publish import sync_folder
from llamafile_format.output.transfer import write_at
from llamafile_format.source import FileSource
from llamafile_format.source.pending import HEAD, MAGIC, READ, SUFFIX, journal_path, pending, refuse_pending

__all__ = ["Intent", "Journal", "JournalWriter", "Record", "RecordKind", "journal_path", "pending", "refuse_pending"]

VERSION = 2
HEADER = struct.Struct(HEAD.format + "32s32s32s32s")  # 8.5.3, 200 bytes; the last field is the SHA-256 of the others
RECORD = struct.Struct("<IIQII")  # 8.5.4, 24 bytes: kind, zero, offset, length of old bytes, length of new bytes
SHIFTED = b"SHIFTED\n"
PIECE = 65536  # bytes of a file in one record, at most
_NAME_MAX = 255  # bytes, on every file system in use
_SUMMED = HEADER.size - 32
_MASK = (1 << 64) - 1


class RecordKind(IntEnum):
    """What a record holds."""

    PROBE = 1  # SHA-256 of old bytes that stay: is this the file that the journal belongs to?
    REMOVED = 2  # old bytes that the shift takes out
    PATCH = 3  # bytes after the shift: old ones and new ones


@dataclass(frozen=True, slots=True)
class Record:
    """One record. ``offset`` counts in the old file for probes and removed bytes, in the shifted one for patches.

    A probe has the ``length`` of the bytes it covers and their digest as ``old``.
    """

    kind: RecordKind
    offset: int
    old: bytes
    new: bytes = b""
    length: int = 0

    @property
    def size(self) -> int:
        """Bytes of the file that ``old`` is, or whose digest it is."""
        return self.length if self.kind is RecordKind.PROBE else len(self.old)

    def pack(self) -> bytes:
        """The record's bytes."""
        return RECORD.pack(self.kind, 0, self.offset, self.size, len(self.new)) + self.old + self.new


@dataclass(frozen=True, slots=True)
class Intent:
    """The change as a whole. Sizes are bytes; digests are of the manifests, raw. ``inode`` and ``device`` are the
    file's."""

    shift: Shift
    old_size: int
    new_size: int
    old_manifest: bytes
    new_manifest: bytes
    inode: int = 0
    device: int = 0

    @property
    def shifted_size(self) -> int:
        """Size of the file after the shift and before anything else."""
        return self.old_size + self.shift.delta

    @property
    def steady(self) -> int:
        """Bytes at the start that the file has at every moment after the shift."""
        return min(self.new_size, self.shifted_size)


def belongs_to(intent: Intent, fd: int) -> Intent:
    """``intent`` as that of the open file ``fd``."""
    info = os.fstat(fd)
    return replace(intent, inode=info.st_ino, device=info.st_dev & _MASK)


def is_of(intent: Intent, fd: int) -> bool:
    """True if ``intent`` was made for the open file ``fd``, at the place where it is."""
    return belongs_to(intent, fd) == intent


class JournalWriter:
    """Writes a journal under a temporary name and publishes it."""

    def __init__(self, path: Path) -> None:
        self.path = journal_path(path)
        if len(os.fsencode(self.path.name)) > _NAME_MAX:
            raise SourceError(
                f"the name of {path} is too long: a change in place needs a journal, FILE{SUFFIX}, beside it",
                hint="give it a shorter name, or write a new file with -o OUT",
            )
        announce(self.path.parent)
        self._temporary = partial_path(self.path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(self._temporary, flags, 0o600)
        claim(self._fd)
        self._size = HEADER.size
        self._digest = hashlib.sha256()

    def add(self, record: Record) -> None:
        """Append ``record``."""
        data = record.pack()
        write_at(self._fd, self._size, data)
        self._digest.update(data)
        self._size += len(data)

    def publish(self, intent: Intent) -> None:
        """Write the header, bring everything to the medium, and give the journal its name."""
        shift = intent.shift
        head = HEADER.pack(
            MAGIC,
            VERSION,
            shift.kind,
            intent.old_size,
            intent.new_size,
            shift.at,
            shift.length,
            self._size - HEADER.size,
            intent.inode,
            intent.device,
            intent.old_manifest,
            intent.new_manifest,
            self._digest.digest(),
            b"",
        )[:_SUMMED]
        write_at(self._fd, 0, head + hashlib.sha256(head).digest())
        os.fsync(self._fd)
        if os.path.lexists(self.path):
            raise SourceError(f"{self.path} is in the way", hint="look at it, and move it away if it is not needed")
        self._temporary.rename(self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file, and remove it if it was not published."""
        os.close(self._fd)
        with contextlib.suppress(OSError):
            self._temporary.unlink()


class Journal:
    """A published journal, read strictly: header, records and their digests are checked before anything is done."""

    def __init__(self, path: Path) -> None:
        """Open the journal at ``path``. SourceError if it cannot be read, FormatError if it is damaged."""
        self.path = path
        try:
            self._fd = os.open(path, READ & ~os.O_ACCMODE | os.O_RDWR)
        except OSError as error:
            raise SourceError(f"cannot open {path}: {error.strerror}") from error
        self._noted: bool | None = None
        try:
            self._source = FileSource.from_descriptor(self._fd, os.fspath(path))
            self.intent, self._length = self._header()
            self._check_digest()
            self._check_records()
        except BaseException:
            os.close(self._fd)
            raise

    def _header(self) -> tuple[Intent, int]:
        if self._source.size < HEADER.size:
            raise self._damaged("it is cut off")
        data = self._source.read_at(0, HEADER.size)
        magic, version, kind, old, new, at, length, records, inode, device, before, after, _, check = HEADER.unpack(
            data
        )
        if magic != MAGIC or hashlib.sha256(data[:_SUMMED]).digest() != check:
            raise self._damaged("its header does not match its digest")
        if version != VERSION:
            raise FormatError(f"{self.path} has version {version}; this tool knows {VERSION}", clause="8.5.3")
        fits = kind in Kind.__members__.values() and bool(kind) == bool(length)
        if not fits or at % UNIT or length % UNIT or max(old, new, at + length) >= 1 << 62:
            raise self._damaged("its shift makes no sense")
        if at + (length if kind == Kind.COLLAPSE else 0) > old:
            raise self._damaged("its shift leaves the file")
        return Intent(Shift(Kind(kind), at, length), old, new, before, after, inode, device), records

    def _check_digest(self) -> None:
        end = HEADER.size + self._length
        if not end <= self._source.size <= end + len(SHIFTED):
            raise self._damaged("its length is not the one in its header")
        digest = hashlib.sha256()
        for at in range(HEADER.size, end, 1 << 20):
            digest.update(self._source.read_at(at, min(1 << 20, end - at)))
        if digest.digest() != HEADER.unpack(self._source.read_at(0, HEADER.size))[12]:
            raise self._damaged("its records do not match their digest")

    def _check_records(self) -> None:
        """Every record lies in the file that it speaks of, and what the file loses or gains is all in the journal."""
        intent, shift = self.intent, self.intent.shift
        taken, gained, lost, last = shift.at, intent.shifted_size, intent.new_size, 0
        for record in self._records():
            at, old, new = record.offset, record.offset + record.size, record.offset + len(record.new)
            if record.kind is not RecordKind.PATCH and (record.new or old > intent.old_size):
                raise self._damaged("a record lies outside the file")
            if record.kind is RecordKind.REMOVED:
                if at != taken or old > shift.at + shift.length:
                    raise self._damaged("removed bytes are not those that its shift takes out")
                taken = old
            if record.kind is RecordKind.PATCH:
                if at < last or (record.old and old > intent.shifted_size) or (record.new and new > intent.new_size):
                    raise self._damaged("a record lies outside the file, or before the one in front of it")
                last = max(old, new)
                gained = new if at <= gained < new else gained
                lost = old if at <= lost < old else lost
        if shift.kind is Kind.COLLAPSE and taken != shift.at + shift.length:
            raise self._damaged("it does not hold all bytes that its shift takes out")
        if gained < intent.new_size or lost < intent.shifted_size:
            raise self._damaged("it does not hold all bytes that the file gains or loses")

    def _damaged(self, why: str) -> FormatError:
        return FormatError(f"{self.path} is damaged: {why}", clause="8.5.3", hint="restore the file itself from a copy")

    @property
    def shifted(self) -> bool:
        """True if the shift was noted as done. What follows the records is believed only if it is the whole note."""
        if self._noted is None:
            end = HEADER.size + self._length
            whole = self._source.size == end + len(SHIFTED)
            self._noted = whole and self._source.read_at(end, len(SHIFTED)) == SHIFTED
        return self._noted

    def note_shifted(self, done: bool = True) -> None:
        """Note durably that the shift is done, or, on the way back, that it is about to be undone."""
        if done:
            write_at(self._fd, HEADER.size + self._length, SHIFTED)
        else:
            os.ftruncate(self._fd, HEADER.size + self._length)
        os.fsync(self._fd)
        self._noted = done

    def records(self, kind: RecordKind) -> Iterator[Record]:
        """The records of one kind, in order, at most 64 KiB of old and new bytes at a time."""
        return (record for record in self._records() if record.kind is kind)

    def _records(self) -> Iterator[Record]:
        at, end = HEADER.size, HEADER.size + self._length
        while at < end:
            if end - at < RECORD.size:
                raise self._damaged("a record is cut off")
            kind, zero, offset, old, new = RECORD.unpack(self._source.read_at(at, RECORD.size))
            probe = kind == RecordKind.PROBE
            stored = 32 if probe else old
            if kind not in RecordKind.__members__.values() or zero or max(old, new) > PIECE or offset >= 1 << 62:
                raise self._damaged("a record makes no sense")
            if at + RECORD.size + stored + new > end:
                raise self._damaged("a record is cut off")
            data = self._source.read_at(at + RECORD.size, stored + new)
            yield Record(RecordKind(kind), offset, data[:stored], data[stored:], old if probe else 0)
            at += RECORD.size + stored + new

    def remove(self) -> None:
        """The change is over: take the journal away."""
        self.close()
        self.path.unlink()
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Leave the journal where it is; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
