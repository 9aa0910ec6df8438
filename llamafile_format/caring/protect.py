"""``protect``: recovery data beside a file, or inside it (spec/1, 17.7 and 17.8)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.caring.sidecars import files_of, index_of, volumes
from llamafile_format.checks.canonical import signature_entries
from llamafile_format.container import Kind, open_container
from llamafile_format.errors import UsageError
from llamafile_format.output.folder import scratch_folder
from llamafile_format.output.publish import output
from llamafile_format.output.room import free_in, require_room
from llamafile_format.output.transfer import OpenFile, refuse_changed
from llamafile_format.progress import Progress, counted
from llamafile_format.recovery.available import require_numpy
from llamafile_format.recovery.geometry import MAX_PERCENT, Geometry, geometry_of
from llamafile_format.recovery.packets import HEAD, packets_in
from llamafile_format.recovery.sets import RecoverySet, recovery_percent, sets_of
from llamafile_format.source import FileSource
from llamafile_format.source.pending import refuse_pending

if TYPE_CHECKING:
    from llamafile_format.changing import RepackResult

DEFAULT_PERCENT = 5


@dataclass(frozen=True, slots=True)
class Protected:
    """What protects ``path`` now: ``files`` of a sidecar set, or none if the recovery data is inside.

    ``slices`` of ``slice_size`` bytes are covered by ``recovery`` more: so many may be lost, wherever they lie.
    """

    path: Path
    files: tuple[Path, ...]
    percent: int
    slices: int
    slice_size: int
    recovery: int


def protect(
    path: str | os.PathLike[str],
    *,
    percent: int = 0,
    update: bool = False,
    progress: Progress | None = None,
) -> Protected:
    """Write a sidecar set ``FILE.par2`` that covers every byte of ``path``, whatever file that is; it stays as it is.

    ``percent`` of its slices may be lost then (default: 5; with ``update``, what the old set says). ``update`` replaces
    the set that is there. Nothing is left half-written. Raises UsageError if numpy is missing, if a set is there and
    ``update`` is not given, or if the file is empty; SourceError when reading or writing fails.
    """
    require_numpy()
    target = Path(path)
    refuse_pending(target)
    old = files_of(target)
    if old and not update:
        raise UsageError(f"{old[0]} exists", hint="renew it with --update")
    percent = check_percent(percent or _percent_of(old) or DEFAULT_PERCENT)
    with FileSource(target) as source:
        if not source.size:
            raise UsageError(f"{target} is empty: there is nothing to protect")
        geometry = geometry_of(source.size, percent)
        hint = "free some space there, or protect fewer slices: --percent"
        require_room(target.parent, [], geometry.recovery * (geometry.slice_size + HEAD.size), hint=hint)
        files = _write(target, source, geometry, percent, force=update, progress=progress)
    for path_ in old:
        if path_ not in files:
            path_.unlink(missing_ok=True)
    return Protected(target, files, percent, geometry.slices, geometry.slice_size, geometry.recovery)


def protect_inside(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    percent: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> RepackResult:
    """Make recovery data a member of the container ``path``: a repack, as the new file ``out`` or in its place.

    UsageError for a signed file unless ``force``: its signatures sign another manifest, and become history.
    """
    from llamafile_format.changing import repack

    with open_container(path) as container:
        if container.kind is not Kind.CONTAINER:
            raise UsageError(f"{path} is no container", hint="protect it from outside, without --inside")
        if signature_entries(container.archive) and not force:
            raise UsageError(
                f"{path} is signed, and with recovery data inside it would not be",
                hint="protect it from outside, without --inside, or insist with --force",
            )
        there = [member for member in container.members if member.role == "recovery"]
        before = recovery_percent(container.window(there[0].path)) if there and not percent else 0
    wanted = check_percent(percent or before or DEFAULT_PERCENT)
    return repack(path, out, in_place=out is None, recovery=wanted, force=force, progress=progress)


def sidecar_of(path: str | os.PathLike[str]) -> Path | None:
    """The first file of the sidecar set beside ``path``, whether or not it is up to date; None without one."""
    return next(iter(files_of(Path(path))), None)


def sidecar_percent(path: str | os.PathLike[str]) -> int:
    """How many percent of ``path`` the set beside it can bring back; 0 if there is none, or it does not say so."""
    return _percent_of(files_of(Path(path)))


def outdated_set(path: str | os.PathLike[str]) -> Path | None:
    """The first file of the sidecar set beside ``path`` if it is older than the file's last change; else None."""
    found = sidecar_of(path)
    if found is None:
        return None
    try:
        return found if found.stat().st_mtime_ns < Path(path).stat().st_mtime_ns else None
    except OSError:
        return None


def check_percent(percent: int) -> int:
    """``percent`` if that many slices can be protected; UsageError otherwise."""
    if not 1 <= percent <= MAX_PERCENT:
        raise UsageError(f"{percent} % cannot be protected", hint=f"1 to {MAX_PERCENT}")
    return percent


def _percent_of(files: Sequence[Path]) -> int:
    """What a set of ours says that it protects; 0 if none of ``files`` says so."""
    for file in files:
        with FileSource(file) as source:
            found: list[RecoverySet] = sets_of(packets_in(source))
            if found and found[0].percent:
                return found[0].percent
    return 0


def _write(
    target: Path, source: FileSource, geometry: Geometry, percent: int, *, force: bool, progress: Progress | None
) -> tuple[Path, ...]:
    """Write the set; its files get their names together, the index last."""
    from llamafile_format.recovery.encode import encode_set, write_slices
    from llamafile_format.recovery.turbo import write_slices_by_turbo

    advance = counted(progress, 2 * geometry.length)
    encoded = encode_set(source, geometry, name=os.fsencode(target.name), percent=percent, progress=advance)
    parts = volumes(target, geometry.recovery)
    size = HEAD.size + 4 + geometry.slice_size
    stores: dict[int, tuple[OpenFile, int]] = {}
    with ExitStack() as stack:
        index = stack.enter_context(output(index_of(target), force=force, mode=0o666))
        OpenFile(index).write(0, encoded.critical)
        for path, first, count in parts:
            store = OpenFile(stack.enter_context(output(path, force=force, mode=0o666)))
            store.write(0, encoded.critical)
            store.write(len(encoded.critical) + count * size, encoded.critical)
            for number in range(count):
                stores[first + number] = store, len(encoded.critical) + number * size
        place, free = stores.__getitem__, free_in(target.parent)
        twice = free is None or free > 2 * (len(stores) * size + 2 * len(parts) * len(encoded.critical))  # it copies
        made = stack.enter_context(scratch_folder(index_of(target)))
        if twice and write_slices_by_turbo(source, target, encoded, place, made):
            advance(geometry.length)
        else:
            write_slices(source, encoded, place, progress=advance)
        refuse_changed(source)
    return index_of(target), *(path for path, _, _ in parts)
