"""Software Heritage identifiers of files and folders: the names under which an archive of all software keeps them.

``swh:1:cnt:`` and ``swh:1:dir:`` are the object names of git for a blob and a tree (SWHID specification 1.2, ISO/IEC
18670). They are SHA-1 and say what a thing is called, not that it is intact: digests that decide are SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

LEFT_BY_PYTHON = frozenset({"__pycache__"})
"""What Python puts beside sources that it has run: no source, and other bytes on every machine."""
_PIECE = 1 << 20


def of_content(path: Path) -> str:
    """``swh:1:cnt:`` of the bytes of a file."""
    return f"swh:1:cnt:{_blob(path).hex()}"


def of_bytes(data: bytes) -> str:
    """``swh:1:cnt:`` of ``data``."""
    digest = _object("blob", len(data))
    digest.update(data)
    return f"swh:1:cnt:{digest.hexdigest()}"


def of_folder(path: Path, leave_out: frozenset[str] = frozenset()) -> str:
    """``swh:1:dir:`` of a folder with everything in it: names, bytes, links, and which files are programs.

    ``leave_out`` names entries of the folder itself that do not count.
    """
    return f"swh:1:dir:{_tree(path, leave_out).hex()}"


def of_path(path: Path) -> str:
    """The identifier of a file or a folder of ours, without what Python leaves there."""
    return f"swh:1:dir:{_tree(path, everywhere=LEFT_BY_PYTHON).hex()}" if path.is_dir() else of_content(path)


def _blob(path: Path) -> bytes:
    with open(path, "rb") as file:
        digest = _object("blob", os.fstat(file.fileno()).st_size)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()


def _tree(path: Path, leave_out: frozenset[str] = frozenset(), everywhere: frozenset[str] = frozenset()) -> bytes:
    rows = []
    for entry in os.scandir(path):
        if entry.name in leave_out | everywhere:
            continue
        name = os.fsencode(entry.name)
        if entry.is_symlink():
            link = os.fsencode(Path(entry.path).readlink())
            rows.append((name, b"120000", _whole("blob", link)))
        elif entry.is_dir():
            rows.append((name + b"/", b"40000", _tree(Path(entry.path), everywhere=everywhere)))
        else:
            mode = b"100755" if entry.stat().st_mode & stat.S_IXUSR else b"100644"
            rows.append((name, mode, _blob(Path(entry.path))))
    rows.sort()  # git sorts folders as if their names ended in a slash
    return _whole("tree", b"".join(mode + b" " + name.rstrip(b"/") + b"\0" + sha for name, mode, sha in rows))


def _whole(kind: str, data: bytes) -> bytes:
    digest = _object(kind, len(data))
    digest.update(data)
    return digest.digest()


def _object(kind: str, size: int) -> hashlib._Hash:
    return hashlib.sha1(f"{kind} {size}\0".encode(), usedforsecurity=False)
