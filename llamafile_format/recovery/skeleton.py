"""The skeleton: a container's manifest without what follows from it (spec/1, 17.4.1)."""

from __future__ import annotations

from dataclasses import replace

from llamafile_format.manifest.model import Manifest


def skeleton_of(manifest: Manifest) -> bytes:
    """``manifest`` without its members of roles ``recovery`` and ``chunks``, in the canonical form."""
    kept = tuple(member for member in manifest.members if member.role not in ("recovery", "chunks"))
    return replace(manifest, members=kept).encode()
