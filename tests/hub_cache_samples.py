"""A cache as the Hub's library keeps one, written here as it is described."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

COMMIT = "c" * 40


def cached(cache: Path, files: Mapping[str, bytes], *, name: str = "org/name", large: tuple[str, ...] = ()) -> Path:
    """``files`` of a repository at :data:`COMMIT`, which ``main`` stands for; its folder.

    Those called ``large`` are named by SHA-256, the others as Git does.
    """
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs").mkdir()
    for path, data in files.items():
        as_git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        blob = hashlib.sha256(data).hexdigest() if path in large else as_git
        (folder / "blobs" / blob).write_bytes(data)
        link = folder / "snapshots" / COMMIT / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../" * (2 + path.count("/")), "blobs", blob))
    return folder
