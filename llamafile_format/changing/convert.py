"""``convert``: exchange the first 64 bytes of a launcher, and back (spec/1, 3.2.5 and 14.2.12).

A shell runs the first form and Windows does; programs that start others without a shell want the native one. Size,
offsets, weights, manifest and signatures stay as they are.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.changing.patching import PROBE, Amendment, Patch, patch_in_place
from llamafile_format.changing.surgery import locked
from llamafile_format.checks.verdict import Level
from llamafile_format.container import Container, open_container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.examining import examine, refuse
from llamafile_format.output.publish import output, spare_inputs
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import copy, write_at
from llamafile_format.prefix.bootstrap import HEADER_SIZE, LAUNCHER_SIZES, SLOT_FORMS, Form, slot
from llamafile_format.prefix.facts import PrefixKind
from llamafile_format.prefix.launcher_index import read_index
from llamafile_format.prefix.reverted import HEAD
from llamafile_format.progress import Progress, counted
from llamafile_format.source import FileSource
from llamafile_format.source.pending import real_path

FORMS = tuple(form.value for form in SLOT_FORMS)


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What ``convert`` did: ``path`` of ``size`` bytes went from form ``before`` to form ``after``.

    ``changed`` is False if nothing had to be written to the file itself.
    """

    path: Path
    size: int
    before: str
    after: str
    changed: bool


def convert(
    what: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Convert the launcher of the container ``what`` to ``to`` (one of FORMS), in place or as the new file ``out``.

    In place it writes 64 bytes under a lock and a journal, whatever the size of the file. ``force`` replaces an
    existing ``out``. UsageError for an unknown form or a file without a launcher, FormatError for a file that verify
    refuses, without digests of data, SourceError when reading or writing fails.
    """
    if to not in FORMS:
        raise UsageError(f"unknown form {to!r}", hint=f"forms: {', '.join(FORMS)}")
    path, form = Path(what), Form(to)
    if out is not None:
        return _write_new(path, Path(out), form, force=force, progress=progress)
    path = real_path(path)
    with locked(path) as source, open_container(source) as container:
        header = _header(container, form)
        result = ConvertResult(Path(what), container.size, container.form.value, to, container.form is not form)
        if result.changed:
            _exchange(path, source, container, header)
    return result


def _header(container: Container, form: Form) -> bytes:
    """The 64 bytes that make the launcher of ``container`` one of ``form``."""
    head = container.source.read_at(0, min(HEAD, container.size))
    if container.manifest is None or container.prefix.kind is not PrefixKind.LAUNCHER:
        raise UsageError(
            f"{container.name} does not begin with a launcher, and only launchers can be converted",
            hint="put one in front with: llamafile-format repack FILE --prefix launcher -o OUT",
        )
    index = read_index(head)
    if index is None or index.version not in LAUNCHER_SIZES:
        raise FormatError(f"this release does not know the launcher of {container.name}", clause="14.2.3")
    header = slot(head, form)
    if header != _expected(index.version, form):
        raise FormatError(
            f"the launcher of {container.name} is damaged: its header for {form.value} is not the right one",
            clause="14.2.7",
            hint=f"llamafile-format verify {container.name}",
        )
    refuse(examine(container, level=Level.QUICK, thorough=True), "was not converted")
    return header


def _expected(version: int, form: Form) -> bytes:
    """What the slot of ``form`` holds in every launcher of ``version``."""
    from llamafile_format.engines.implied import blank_launcher

    return slot(blank_launcher(version)[:HEAD], form)


def _write_new(path: Path, target: Path, form: Form, *, force: bool, progress: Progress | None) -> ConvertResult:
    spare_inputs(target, [path], "without -o it is converted in place")
    with open_container(path) as container:
        header, source = _header(container, form), container.origin
        require_room(target.parent, [source])
        with output(target, force=force, mode=0o777) as file:
            os.ftruncate(file, source.size)
            copy(source, 0, source.size, file, 0, progress=counted(progress, source.size))
            write_at(file, 0, header)
        return ConvertResult(target, source.size, container.form.value, form.value, container.form is not form)


def _exchange(path: Path, source: FileSource, container: Container, header: bytes) -> None:
    """Write ``header`` at byte 0. One sector is written at once or not at all; the journal is for everything else."""
    manifest = hashlib.sha256(container.manifest_bytes).digest()
    probes = (HEADER_SIZE, source.size - PROBE)  # does this journal belong to this file?
    patch_in_place(path, source, Amendment([Patch(0, header)], source.size, manifest, probes), "convert")
