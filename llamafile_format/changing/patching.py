"""Writing a few bytes over a file that stays where it is, under a journal (spec/1, 8.5.3 to 8.5.6).

What ``convert`` and the commands of the tail do: nothing is moved, so there is no shift, and what is written is small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.changing import surgery
from llamafile_format.changing.journal import PIECE, Intent, Journal, JournalWriter, Record, RecordKind, belongs_to
from llamafile_format.changing.shift import Shift
from llamafile_format.changing.uninterrupted import uninterrupted
from llamafile_format.errors import SourceError
from llamafile_format.source import ByteSource, FileSource
from llamafile_format.source.pending import journal_path

PROBE = 4096  # bytes of one probe


@dataclass(frozen=True, slots=True)
class Patch:
    """``data`` takes the place of what stands at ``offset``; past the end of the old file the file grows."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Amendment:
    """What becomes of a file: ``patches``, and ``size`` bytes in all.

    ``manifest`` is the raw SHA-256 of its manifest, which stays. ``probes`` are offsets of bytes that no patch touches:
    by them ``recover`` knows the file again.
    """

    patches: Sequence[Patch]
    size: int
    manifest: bytes
    probes: Sequence[int]


def patch_in_place(path: Path, source: FileSource, change: Amendment, verb: str) -> None:
    """Do ``change`` to ``source``, which is ``path`` as :func:`surgery.locked` has opened it.

    ``verb`` says in messages what was attempted. Raises SourceError if writing fails; the file is then as it was, or,
    if even that failed, its journal stays and the message says so.
    """
    try:
        _write_journal(path, source, change)
    except OSError as error:
        raise error if isinstance(error, SourceError) else _failed(path, error, verb) from error
    with uninterrupted():
        _carry_out(path, source.fd, verb)


def _write_journal(path: Path, source: FileSource, change: Amendment) -> None:
    writer = JournalWriter(path)
    try:
        for offset in change.probes:
            held = source.read_at(offset, min(PROBE, source.size - offset))
            writer.add(Record(RecordKind.PROBE, offset, hashlib.sha256(held).digest(), length=len(held)))
        for patch in change.patches:
            for at in range(0, len(patch.data), PIECE):
                new = patch.data[at : at + PIECE]
                writer.add(Record(RecordKind.PATCH, patch.offset + at, _old(source, patch.offset + at, len(new)), new))
        intent = Intent(Shift(), source.size, change.size, change.manifest, change.manifest)
        writer.publish(belongs_to(intent, source.fd))
    finally:
        writer.close()


def _old(source: ByteSource, offset: int, length: int) -> bytes:
    """What stands there now; fewer bytes, or none, past the end."""
    length = min(length, source.size - offset)
    return source.read_at(offset, length) if length > 0 else b""


def _carry_out(path: Path, fd: int, verb: str) -> None:
    """Do what the published journal says, or undo it."""
    journal = Journal(journal_path(path))
    try:
        surgery.checkpoint("journal")
        surgery.finish(fd, journal)
        journal.remove()
        surgery.checkpoint("removed")
    except OSError as error:
        try:
            surgery.roll_back(fd, journal)
            journal.remove()
        except OSError as worse:
            raise SourceError(
                f"{path} is half changed: {error.strerror}, and undoing it failed too: {worse.strerror}",
                hint=f"make room, then run: llamafile-format recover {path}",
            ) from error
        raise _failed(path, error, verb) from error
    finally:
        journal.close()


def _failed(path: Path, error: OSError, verb: str) -> SourceError:
    return SourceError(f"cannot {verb} {path}: {error.strerror}; it is as it was", hint="write a new file with -o OUT")
