"""What the manifest says of the prefix, compared with its bytes (spec/1, 10.6)."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.checks.prefix import check_prefix
from llamafile_format.container import Container
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.prefix.facts import PrefixKind


def check_prefix_claims(container: Container, *, deep: bool) -> Iterator[Finding]:
    """The prefix against the manifest, which is there: kind, engine directory, padding rules; ``deep`` looks at every
    byte of a launcher."""
    manifest = container.manifest
    assert manifest is not None
    facts = container.prefix
    if facts.kind.value != manifest.prefix.kind:
        args: dict[str, Value] = {"claimed": manifest.prefix.kind, "found": facts.kind.value}
        yield Finding("LF3027", Where(offset=0, length=manifest.prefix.size, field="prefix.kind"), args)
    launcher = None
    if facts.kind is PrefixKind.LAUNCHER:
        from llamafile_format.checks.launcher import check_launcher

        launcher = check_launcher(container, manifest, deep=deep)
    yield from check_prefix(container.source, manifest.prefix.size, facts, launcher=launcher)
    directory = manifest.prefix.directory
    found = container.engine_directory
    claimed = (
        (0, 0, 0, (), ())
        if directory is None
        else (
            directory.offset,
            directory.size,
            directory.count,
            tuple((asset.path, asset.size) for asset in directory.assets),
            directory.dropped,
        )
    )
    actual = (found.offset, found.size, found.count, tuple((e.path, e.size) for e in found.carried), found.dropped)
    if claimed != actual:
        where = Where(offset=found.offset, length=found.size, field="prefix.directory")
        yield Finding("LF3026", where, {"reason": f"it has {found.count} records, {len(found.carried)} to carry over"})
    elif found.left_out:
        args = {"count": len(found.left_out), "first": found.left_out[0]}
        yield Finding("LF2047", Where(offset=found.offset, length=found.size, field="prefix.directory"), args)
    if found.opaque_reason != manifest.prefix.opaque:
        args = {"reason": f"the manifest calls it {manifest.prefix.opaque!r}, the bytes {found.opaque_reason!r}"}
        yield Finding("LF3026", Where(field="prefix.opaque"), args)
