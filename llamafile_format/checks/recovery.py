"""The recovery data inside a container: are they those of this file? (spec/1, 17.8)"""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.claims import Claims
from llamafile_format.manifest.model import Member
from llamafile_format.manifest.roles import FIXED_PATHS
from llamafile_format.progress import Advance
from llamafile_format.recovery.available import have_numpy
from llamafile_format.recovery.geometry import geometry_of
from llamafile_format.recovery.sets import RecoverySet, leading_set
from llamafile_format.recovery.skeleton import skeleton_of
from llamafile_format.source import ByteSource, Window

PATH = FIXED_PATHS["recovery"]


def check_recovery(
    source: ByteSource, claims: Claims, *, whole: bool, damaged: bool, progress: Advance | None = None
) -> Iterator[Finding]:
    """Findings about the recovery member, if there is one in its place. ``whole``: it is computed again and compared.

    Of a file that is ``damaged`` nothing is said but whether the data are stale: what is wrong is told already.
    """
    manifest = claims.manifest
    index = next((at for at, m in enumerate(manifest.members) if m.role == "recovery" and m.path == PATH), None)
    if index is None:
        return
    member = manifest.members[index]
    for behind in manifest.members[index + 1 : -1]:
        yield _finding("LF4014", behind, path=behind.path)
    found = leading_set(Window(source, member.offset, member.size))
    if found is not None and found.skeleton and found.skeleton != skeleton_of(manifest):
        yield _finding("LF4012", member, path=PATH)
        return
    covered = claims.layout.members[index].gap_offset
    if damaged:
        return
    if found is None or not found.skeleton or not _fits(found, covered):
        yield _finding("LF4013", member, path=PATH, offset=member.offset)
        return
    if not whole:
        return
    if not have_numpy():
        yield _finding("LF9008", member, path=PATH)
        return
    from llamafile_format.recovery.encode import first_difference

    data = Window(source, member.offset, member.size)
    at = first_difference(Window(source, 0, covered), found.percent, found.skeleton, data, progress=progress)
    if at is not None:
        yield _finding("LF4013", member, path=PATH, offset=member.offset + at)


def _fits(found: RecoverySet, covered: int) -> bool:
    """True if the set says that it protects [0, ``covered``) in slices of the rule."""
    ours = geometry_of(covered, found.percent) if covered else None
    return ours is not None and (found.geometry.length, found.geometry.slice_size) == (ours.length, ours.slice_size)


def _finding(rule: str, member: Member, **args: str | int) -> Finding:
    return Finding(rule, Where(offset=member.offset, length=member.size, member=member.path), args)
