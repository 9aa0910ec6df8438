"""What a manifest claims about the whole file: the layout that follows from it, and so every structure byte (4.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.manifest.layout import Layout, plan
from llamafile_format.manifest.model import CHUNKS_PATH, Manifest


@dataclass(frozen=True, slots=True)
class Claims:
    """What determines a container's structure: the manifest, its ``data`` as it stands in the file, the layout that it
    implies, and the ``engine`` directory records carried over from the prefix, verbatim."""

    manifest: Manifest
    data: bytes
    layout: Layout
    engine: Sequence[bytes] = ()


def layout_of(manifest: Manifest) -> Layout | None:
    """The layout that ``manifest`` determines; None if it has no chunk list at its end."""
    if not manifest.members or manifest.members[-1].path != CHUNKS_PATH:
        return None
    members = [(member.path, member.size, member.alignment) for member in manifest.members[:-1]]
    return plan(manifest.prefix.size, members, sha512=manifest.profile == "archive")
