"""A launcher against the one that the manifest implies, byte for byte (spec/1, 14.2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamafile_format.engines.implied import implied_launcher
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.prefix.bootstrap import INDEX_OFFSET, LAUNCHER_SIZES, Form
from llamafile_format.prefix.launcher import regions
from llamafile_format.prefix.launcher_index import INDEX_SIZE, LauncherBuild, read_index

if TYPE_CHECKING:
    from llamafile_format.container import Container
    from llamafile_format.manifest.model import Manifest

HEAD = 1 << 16  # clause 10.4: what quick has read anyway, and everything that differs from file to file stands in it


def check_launcher(container: Container, manifest: Manifest, *, deep: bool) -> Iterator[Finding]:
    """Findings about the launcher in front of ``container``. Without ``deep`` only its first 64 KiB are compared."""
    prefix = manifest.prefix
    if container.form is not Form.POLYGLOT:
        yield Finding("LF1103", Where(0, 64, field="form"), {"form": container.form.value})
    found = container.source.read_at(0, min(HEAD, prefix.size, container.size))
    index = read_index(found)
    if index is None or index.version not in LAUNCHER_SIZES:
        yield Finding("LF1027", Where(0, prefix.size))
        return
    try:
        implied = implied_launcher(
            manifest.members[:-1], manifest.default, version=index.version, sibling=prefix.sibling
        )
    except FormatError as error:
        yield Finding("LF1101", Where(INDEX_OFFSET, INDEX_SIZE), {"part": "index", "reason": error.message})
        return
    if prefix.size != len(implied):
        where = Where(0, prefix.size, field="prefix.size")
        yield Finding("LF1101", where, {"part": "size", "reason": f"{prefix.size} bytes instead of {len(implied)}"})
        return
    yield from _entries(index.builds, manifest)
    if deep:
        found = container.source.read_at(0, min(prefix.size, container.size))
    for region in regions():
        ours, theirs = implied[region.start : region.end], found[region.start : region.end]
        if region.start < len(found) and ours != theirs:
            at = region.start + next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
            args = {"part": region.name, "reason": f"the first difference is at byte {at}"}
            yield Finding("LF1101", Where(at, region.end - at), args)


def _entries(builds: tuple[LauncherBuild, ...], manifest: Manifest) -> Iterator[Finding]:
    """LF1102: entries of the index that lead to something else than a runtime member."""
    members = {(member.offset, member.size, member.sha256): member for member in manifest.with_role("runtime")}
    for row, build in enumerate(builds):
        member = members.get((build.offset, build.size, build.sha256))
        if member is None or not member.path.endswith(f"/{build.flavour}/{build.target}"):
            where = Where(build.offset, build.size, field=f"index.builds[{row}]")
            args: dict[str, Value] = {"target": build.target, "flavour": build.flavour, "offset": build.offset}
            yield Finding("LF1102", where, args)
