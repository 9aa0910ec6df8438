"""The private cache of unpacked programs, addressed by digest: the one that the launcher uses (spec/1.0, 14.2).

A program lies at ``CACHE/llamafile-format/rt/SHA256/runtime``. Its folder belongs to this user and nobody else may
enter it. A program gets its name only when it is complete and has its digest, so that no start ever meets half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from llamafile_format.errors import FormatError, SourceError

preferred: ContextVar[Callable[[], str | None] | None] = ContextVar("preferred", default=None)
"""Tells the folder that the user would rather have, where LFF_CACHE names none; asked only if a cache is needed."""

_PIECE = 1 << 20
_SHARED = "lff-"  # folders of this name are made in places that others write to as well


def candidates() -> Iterator[Path]:
    """Folders that may hold the cache, best first; the same ones, in the same order, as the launcher tries."""
    environment, home = os.environ.get, os.environ.get("HOME", "")
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    wish = preferred.get()
    named = [environment("LFF_CACHE", "") or (wish() if wish else None) or ""]
    if os.name == "nt":
        named += [environment("LOCALAPPDATA", ""), environment("TEMP", "")]
    else:
        usual = f"{home}/.cache" if home else ""
        if sys.platform == "darwin":
            usual = f"{home}/Library/Caches" if home else ""
        else:
            usual = environment("XDG_CACHE_HOME", "") or usual
        shared = [f"{environment('TMPDIR') or '/var/tmp'}/{_SHARED}{user}", f"/tmp/{_SHARED}{user}"]
        named += [usual, environment("XDG_RUNTIME_DIR", ""), *shared]
    for name in dict.fromkeys(named):
        if name:
            yield Path(name)


def place(sha256: str, size: int, pieces: Callable[[], Iterable[bytes]], name: str = "runtime") -> Path:
    """The file with this digest in the cache, put there from ``pieces`` (which give ``size`` bytes) if it is missing.

    Raises FormatError if the pieces do not have that digest, SourceError if no folder takes programs.
    """
    file = f"{name}.exe" if os.name == "nt" and name == "runtime" else name
    reasons = []
    for cache in candidates():
        try:
            folder = _private(cache, sha256)
            path = folder / file
            if not holds(path, sha256, size):
                _put(path, sha256, size, pieces)
            if name != "runtime" or os.access(path, os.X_OK):
                return path
            reasons.append(f"{cache} does not allow programs to run")
        except OSError as error:  # not ours, read-only, full: the next one may do
            if isinstance(error, SourceError):
                raise
            reasons.append(f"{cache}: {error.strerror or error}")
    raise SourceError(f"no folder takes the program: {'; '.join(reasons)}", hint="name one with LFF_CACHE")


def holds(path: Path, sha256: str, size: int) -> bool:
    """Is ``path`` a file of ``size`` bytes with this digest?"""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def work_folder(*names: str) -> Path:
    """A folder in the cache for what is neither program nor permanent, such as builds; it may not exist yet."""
    for cache in candidates():
        with contextlib.suppress(OSError):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(cache, os.W_OK):
                return cache.joinpath("llamafile-format", *names)
    raise SourceError("no folder takes the cache", hint="name one with LFF_CACHE")


def _private(cache: Path, sha256: str) -> Path:
    """The folder of a digest, made if need be; PermissionError unless it is this user's alone."""
    folder = cache / "llamafile-format" / "rt" / sha256
    if cache.name.startswith(_SHARED):
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _own(cache)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    _own(folder)
    return folder


def _own(folder: Path) -> None:
    if os.name == "nt":
        return
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(errno.EPERM, "is not this user's alone", str(folder))


def _put(path: Path, sha256: str, size: int, pieces: Callable[[], Iterable[bytes]]) -> None:
    partial = path.with_name(f"{path.name}.{platform.node() or 'host'}.{os.getpid()}")
    digest, written = hashlib.sha256(), 0
    try:
        with open(partial, "wb") as file:
            for piece in pieces():
                digest.update(piece)
                written += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256 or written != size:
            raise FormatError(
                f"{path.name} is damaged", found=f"{digest.hexdigest()}, {written} bytes", allowed=f"{sha256}, {size}"
            )
        partial.chmod(0o700)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
