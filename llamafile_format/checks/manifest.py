"""What a manifest claims, checked against itself (spec/1, 5.4 to 5.7). Its form was checked when it was decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.claims import layout_of
from llamafile_format.manifest.model import (
    ARGUMENTS_PATH,
    CHUNKS_PATH,
    HISTORY_FOLDER,
    MANIFEST_PATH,
    README_PATH,
    RESERVED_FOLDER,
    Manifest,
    Member,
)
from llamafile_format.manifest.roles import FIXED_PATHS, MAPPED_ROLES, file_order, known
from llamafile_format.viewers import is_page
from llamafile_format.zip.names import collision_key, collisions, is_arguments_name, name_problems

PREFIX_KINDS = ("none", "ape", "launcher", "elf", "pe", "macho", "script", "other")  # clause 11.4
SPLIT_NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf\Z")  # clause 7.8
_PLACES = {README_PATH: "readme", CHUNKS_PATH: "chunks"}


def _finding(rule: str, field: str, member: str = "", **args: Value) -> Finding:
    return Finding(rule, Where(member=member or MANIFEST_PATH, field=field), {"field": field, **args})


def check_manifest(manifest: Manifest) -> list[Finding]:
    """All findings about names, roles, order, prefix, default and offsets of ``manifest``."""
    return [
        *_check_names(manifest),
        *_check_roles(manifest),
        *_check_order(manifest),
        *_check_prefix(manifest),
        *_check_default(manifest),
        *_check_offsets(manifest),
    ]


def _check_names(manifest: Manifest) -> Iterator[Finding]:
    assets = manifest.prefix.directory.assets if manifest.prefix.directory else ()
    paths = [MANIFEST_PATH, *(asset.path for asset in assets), *(member.path for member in manifest.members)]

    def field(index: int) -> str:
        """The name of the field that path number ``index`` comes from."""
        asset, member = index - 1, index - 1 - len(assets)
        return f"prefix.directory.assets[{asset}].path" if member < 0 else f"members[{member}].path"

    folders = {asset.path for asset in assets if asset.is_folder}
    for index, path in enumerate(paths):
        if problems := name_problems((path[:-1] if path in folders else path).encode("utf-8")):
            yield _finding("LF3012", field(index), path=path, reason=problems[0].value)
    for index, earlier in collisions(paths):  # extraction would overwrite the first with the second
        yield _finding("LF3013", field(index), path=paths[index], other=paths[earlier])


def _check_roles(manifest: Manifest) -> Iterator[Finding]:
    for index, member in enumerate(manifest.members):
        field = f"members[{index}].role"
        if not known(member.role):
            yield _finding("LF3010", field, path=member.path, role=member.role)
        if (expected := _expected_role(member)) != member.role:
            allowed = expected or "a role for files outside META-LLAMAFILE/"
            yield _finding("LF3020", field, path=member.path, role=member.role, allowed=allowed)
        if (member.role == "arguments") != (
            member.path == ARGUMENTS_PATH
        ):  # runtimes look for the name, readers for both
            yield _finding("LF3029", field, path=member.path, role=member.role)
        if (fixed := FIXED_PATHS.get(member.role, member.path)) != member.path:
            yield _finding("LF3037", field, path=member.path, role=member.role, allowed=fixed)
        if member.role == "viewer" and not is_page(member.sha256):
            yield _finding("LF3038", f"members[{index}].sha256", path=member.path, sha256=member.sha256)
        if member.role not in MAPPED_ROLES and known(member.role) and member.alignment != 1:
            yield _finding("LF3015", f"members[{index}].alignment", found=member.alignment, allowed="1 for this role")
    if manifest.prefix.kind not in PREFIX_KINDS:
        yield _finding("LF3023", "prefix.kind", kind=manifest.prefix.kind)


def _expected_role(member: Member) -> str:
    """The role that a reserved path must have; elsewhere the member's own, unless it is a reserved role."""
    if member.path in _PLACES:
        return _PLACES[member.path]
    if member.path.startswith(HISTORY_FOLDER):
        return "history"
    if collision_key(member.path).startswith(collision_key(RESERVED_FOLDER)):
        return "" if known(member.role) else member.role
    return "" if member.role in ("readme", "chunks", "manifest", "history", "engine-asset") else member.role


def _check_order(manifest: Manifest) -> Iterator[Finding]:
    keys = [file_order(member.role, member.path) for member in manifest.members]
    for index in range(1, len(keys)):
        if keys[index] < keys[index - 1]:
            before, member = manifest.members[index - 1], manifest.members[index]
            yield _finding("LF3014", f"members[{index}]", path=member.path, before=before.path)
    if not manifest.members or manifest.members[-1].path != CHUNKS_PATH:
        yield _finding("LF3019", "members", found=manifest.members[-1].path if manifest.members else "nothing")


def _check_prefix(manifest: Manifest) -> Iterator[Finding]:
    prefix = manifest.prefix
    if (prefix.kind == "none") != (prefix.size == 0):
        yield _finding(
            "LF3017", "prefix.kind", found=f"{prefix.kind} with {prefix.size} bytes", allowed="none with 0 bytes"
        )
    directory = prefix.directory
    for index, asset in enumerate(directory.assets if directory is not None else ()):
        if is_arguments_name(asset.path):
            yield _finding("LF3030", f"prefix.directory.assets[{index}].path", asset.path, path=asset.path)
    if directory is not None and directory.offset + directory.size > prefix.engine_size:
        found = f"[{directory.offset}, {directory.offset + directory.size})"
        yield _finding("LF3026", "prefix.directory", reason=f"{found} leaves the engine's {prefix.engine_size} bytes")


def _check_default(manifest: Manifest) -> Iterator[Finding]:
    weights = [member.path for member in manifest.with_role("weights")]
    if manifest.default and manifest.default not in weights:
        yield _finding("LF3018", "default", found=manifest.default, allowed="the path of a member with role weights")
    shard = SPLIT_NAME.match(manifest.default)
    if shard and int(shard["number"]) > 1:
        first = f"{shard['stem']}-00001-of-{shard['count']}.gguf"
        if first in weights:
            yield _finding("LF3018", "default", found=manifest.default, allowed=f"the first shard, {first}")
    if not manifest.default and weights:
        yield _finding("LF3018", "default", found="nothing", allowed="one of " + ", ".join(weights[:4]))


def _check_offsets(manifest: Manifest) -> Iterator[Finding]:
    where = layout_of(manifest)
    if where is None:
        return
    for index, (placed, member) in enumerate(zip([*where.members, where.chunks], manifest.members, strict=True)):
        for field, found, allowed in (
            ("offset", member.offset, placed.data_offset),
            ("size", member.size, placed.size),
        ):
            if found != allowed:
                yield _finding("LF3016", f"members[{index}].{field}", path=member.path, found=found, allowed=allowed)
