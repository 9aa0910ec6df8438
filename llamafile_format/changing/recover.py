"""``recover``: finish or undo a change in place that was interrupted (spec/1.0, 8.6)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.changing.journal import Journal
from llamafile_format.changing.surgery import check_probes, finish, roll_back
from llamafile_format.changing.uninterrupted import uninterrupted
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.source import FileSource
from llamafile_format.source.pending import journal_path, pending, real_path


@dataclass(frozen=True, slots=True)
class RecoverResult:
    """What ``recover`` did to ``path``: ``outcome`` is ``nothing to do``, ``finished`` or ``rolled back``.

    ``size`` is bytes; ``manifest_sha256`` names the manifest that the file has now, empty if nothing was to do.
    """

    path: Path
    outcome: str
    size: int
    manifest_sha256: str = ""


def recover(path: str | os.PathLike[str], *, back: bool = False) -> RecoverResult:
    """Finish the interrupted change of ``path``, or with ``back`` undo it; the file is then exactly the new or the old.

    If finishing fails for want of space, it is undone. Raises SourceError if neither works, if the journal belongs to
    another file or is damaged, or if somebody is still at work on it. Nothing is lost then.
    """
    import fcntl

    target = real_path(path)
    try:
        fd = os.open(target, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise SourceError(f"cannot change {path}: {error.strerror}") from error
    try:
        size = FileSource.from_descriptor(fd, os.fspath(path)).size
        if not pending(target):
            return RecoverResult(Path(path), "nothing to do", size)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError(f"{path} is being changed by another program", hint="wait until it is done") from error
        if not pending(target):  # the other program finished while we waited for the lock
            return RecoverResult(Path(path), "nothing to do", os.fstat(fd).st_size)
        with uninterrupted():
            return _recover(fd, Path(path), _read(target), back)
    finally:
        os.close(fd)


def _read(target: Path) -> Journal:
    try:
        return Journal(journal_path(target))
    except FormatError as error:  # the change stays pending, which is exit code 4
        raise SourceError(str(error), hint=error.hint) from error


def _recover(fd: int, path: Path, journal: Journal, back: bool) -> RecoverResult:
    intent = journal.intent
    try:
        check_probes(fd, journal)
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
