"""Damage that shows while a file is written: digests computed in this pass against what was known before (8.3)."""

from __future__ import annotations

from collections.abc import Mapping

from llamafile_format.changing.changes import Plan
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.packing import Assembled, Carried, PrefixContent


def check_written(written: Assembled, carried: Carried, plan: Plan) -> None:
    """Digests that were computed in this pass against what was known before; raised before the file gets its name."""
    check_crcs({member.path: int(member.crc32, 16) for member in written.manifest.members}, carried, plan)
    old: PrefixContent = plan.prefix
    if old.engine is carried.engine.source and carried.engine.known is not None:
        digests, _ = carried.engine.known
        if written.manifest.prefix.sha256 != digests.sha256.hex():
            raise SourceError(
                "the prefix is damaged: its bytes no longer have the recorded SHA-256",
                hint="find an intact copy, or give the engine anew with --prefix",
            )


def check_crcs(found: Mapping[str, int], carried: Carried, plan: Plan) -> None:
    """The CRC-32 of members that had no other digest must be the one that their old directory names."""
    old = {content.path: content.source for content in carried.contents}
    kept = {content.path for content in plan.contents if content.source is old.get(content.path)}
    for path, crc in carried.crc32.items():
        if path in kept and path in found and found[path] != crc:
            raise UsageError(
                f"{path} is damaged: its CRC-32 is {found[path]:08x}, the directory says {crc:08x}",
                hint="find an intact copy; repacking would give the damage a valid digest",
            )
