"""``recover``: finish or undo a change in place that was interrupted (spec/1, 8.6)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.changing.belonging import check_bytes
from llamafile_format.changing.journal import Journal, is_of
from llamafile_format.changing.surgery import finish, roll_back
from llamafile_format.changing.uninterrupted import uninterrupted
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.source import FileSource
from llamafile_format.source.pending import doubt, journal_path, real_path


@dataclass(frozen=True, slots=True)
class RecoverResult:
    """What ``recover`` did to ``path``: ``outcome`` is ``nothing to do``, ``finished`` or ``rolled back``.

    ``size`` is bytes; ``manifest_sha256`` names the manifest that the file has now, empty if nothing was to do.
    """

    path: Path
    outcome: str
    size: int
    manifest_sha256: str = ""


def recover(path: str | os.PathLike[str], *, back: bool = False, moved: bool = False) -> RecoverResult:
    """Finish the interrupted change of ``path``, or with ``back`` undo it; the file is then exactly the new or the old.

    If finishing fails for want of space, it is undone. Raises SourceError if neither works, if the journal belongs to
    another file or is damaged, or if somebody is still at work on it. Nothing is lost then. ``moved`` takes a journal
    that was made for this file at another place: file and journal were copied, or the disk has another number. All
    bytes that it will touch are compared all the same.
    """
    import fcntl

    target = real_path(path)
    try:
        fd = os.open(target, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise SourceError(f"cannot change {path}: {error.strerror}") from error
    try:
        size = FileSource.from_descriptor(fd, os.fspath(path)).size
        if not _is_believed(target, moved):
            return RecoverResult(Path(path), "nothing to do", size)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError(f"{path} is being changed by another program", hint="wait until it is done") from error
        if not _is_believed(target, moved):  # the other program finished while we waited for the lock
            return RecoverResult(Path(path), "nothing to do", os.fstat(fd).st_size)
        with uninterrupted():
            return _recover(fd, Path(path), _read(target), back, moved)
    finally:
        os.close(fd)


def _is_believed(target: Path, moved: bool) -> bool:
    """True if there is a journal of this file, False if there is none; SourceError if what is there is a stranger's."""
    reason = doubt(target, moved=moved)
    if reason:
        raise SourceError(
            f"{journal_path(target)} is not believed: {reason}",
            hint="remove it; if file and journal were copied here together, add --moved",
        )
    return reason is not None


def _read(target: Path) -> Journal:
    try:
        return Journal(journal_path(target))
    except FormatError as error:  # the change stays pending, which is exit code 4
        raise SourceError(str(error), hint=error.hint) from error


def _recover(fd: int, path: Path, journal: Journal, back: bool, moved: bool) -> RecoverResult:
    intent = journal.intent
    try:
        if not moved and not is_of(intent, fd):
            raise SourceError(
                f"{journal.path} was made for a file on another device",
                hint="if the disk has got another number since, add --moved",
            )
        check_bytes(fd, journal)
        outcome = "rolled back" if back else "finished"
        try:
            (roll_back if back else finish)(fd, journal)
        except SourceError:
            raise
        except OSError as error:
            if back:
                raise SourceError(f"cannot restore {path}: {error.strerror}", hint="make room and try again") from error
            outcome = _undo(fd, path, journal, error)
        journal.remove()
        manifest = intent.new_manifest if outcome == "finished" else intent.old_manifest
        return RecoverResult(path, outcome, os.fstat(fd).st_size, manifest.hex())
    finally:
        journal.close()


def _undo(fd: int, path: Path, journal: Journal, cause: OSError) -> str:
    try:
        roll_back(fd, journal)
    except OSError as error:
        raise SourceError(
            f"cannot finish the change of {path}: {cause.strerror}, nor undo it: {error.strerror}",
            hint="make room and try again; the journal holds everything that is needed",
        ) from error
    return "rolled back"
