"""Repairing what a scrub found damaged: only into what the state recorded when the file was taken in.

The damaged bytes stay, as ``FILE.damaged-DATE``: who repairs can be wrong, and then they are all that is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from llamafile_format.caring import Proof, repair, sidecar_of
from llamafile_format.container import Container
from llamafile_format.errors import LlamafileError, SourceError
from llamafile_format.keeping.compare import records_of
from llamafile_format.keeping.state import Tracked
from llamafile_format.output.leftovers import partial_path
from llamafile_format.output.publish import sync_folder
from llamafile_format.progress import Progress
from llamafile_format.source import FileSource
from llamafile_format.source.pending import real_path

_MOST = 1000  # damaged copies of one file and day


def mended(file: Tracked, day: str, keep: Callable[[str], None], progress: Progress | None = None) -> tuple[Path, str]:
    """Put what ``file`` was in its place; where the damaged copy is now, and what proves the result.

    ``keep`` is told the name of the damaged copy before it gets it. LlamafileError if it cannot be repaired, or only
    into something else than was recorded: then nothing has changed.
    """
    real = real_path(file.path)
    repaired = partial_path(real)
    try:
        result = repair(real, repaired, expect=file.manifest_sha256, progress=progress)
        if result.path is None:
            raise LlamafileError(_why(result.outcome, len(result.lost), result.notes))
        if result.outcome == "intact":
            raise LlamafileError("a second look found nothing to repair: does the medium answer now this, now that?")
        _refuse_other(repaired, file)
        aside = _aside(real, day)
        keep(str(aside))
        _like(repaired, real, sidecar_of(real) if result.slices else None)
        _swap(real, repaired, aside)
    finally:
        with contextlib.suppress(OSError):
            repaired.unlink()
    if result.proof is Proof.DIGEST:  # it was given by the state
        return aside, "the digest that was recorded"
    return aside, result.proof.value if result.proof else ""


def _why(outcome: str, lost: int, notes: tuple[str, ...]) -> str:
    told = f": {'; '.join(notes)}" if notes else ""
    return f"{outcome}{f', {lost} ranges are lost' if lost else ''}{told}"


def _refuse_other(repaired: Path, file: Tracked) -> None:
    """LlamafileError if ``repaired`` has not the manifest and the signature records that were recorded."""
    with FileSource(repaired) as source, Container(source) as container:
        if hashlib.sha256(container.manifest_bytes).hexdigest() != file.manifest_sha256:
            raise LlamafileError("what the repair gives has another manifest than was recorded")
        if records_of(container) != file.records:
            raise LlamafileError("what the repair gives has other signature records than were recorded")


def _aside(real: Path, day: str) -> Path:
    """A name that nothing has, for the damaged copy."""
    for number in range(1, _MOST):
        name = real.with_name(f"{real.name}.damaged-{day}{f'-{number}' if number > 1 else ''}")
        if not os.path.lexists(name):
            return name
    raise LlamafileError(f"{_MOST} damaged copies of {real} are there already")


def _like(repaired: Path, real: Path, by: Path | None) -> None:
    """Owner and time of ``real`` for ``repaired``, as far as that is allowed: it is the same file again, and no newer
    than the recovery data ``by`` which it was made, whenever the damage was done."""
    info = real.stat()
    with contextlib.suppress(OSError, AttributeError):
        if (info.st_uid, info.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(repaired, info.st_uid, info.st_gid)
            repaired.chmod(info.st_mode & 0o7777)
    with contextlib.suppress(OSError):
        changed = min(each.st_mtime_ns for each in (info, *([by.stat()] if by else [])))
        os.utime(repaired, ns=(info.st_atime_ns, changed))


def _swap(real: Path, repaired: Path, aside: Path) -> None:
    """The damaged file gets a second name, and the repaired one its first: at no moment is there none."""
    try:
        try:
            os.link(real, aside)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            real.rename(aside)
        sync_folder(real.parent)
        repaired.replace(real)
        sync_folder(real.parent)
    except OSError as error:
        raise SourceError(f"cannot put the damaged copy aside as {aside}: {error.strerror}") from error
