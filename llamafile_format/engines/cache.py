"""The private cache of unpacked programs, addressed by digest: the one that the launcher uses (spec/1, 14.2).

A program lies at ``CACHE/llamafile-format/rt/SHA256/runtime``. Nobody else can exchange it or a folder on the way to
it. A program gets its name only when it is complete and has its digest, so that no start ever meets half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from llamafile_format.engines.private_place import firm, is_own
from llamafile_format.errors import FormatError, SourceError

preferred: ContextVar[Callable[[], str | None] | None] = ContextVar("preferred", default=None)
"""Tells the folder that the user would rather have, where LFF_CACHE names none; asked only if a cache is needed."""

_PIECE = 1 << 20
PART = re.compile(r"(?:runtime(?:\.exe)?|webui\.tar|[0-9a-f]{64})\.(?P<host>.+)\.(?P<process>[0-9]{1,10})")
"""What a file of the cache, or a folder of wheels, is called while a process writes it."""
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
    path, descriptor = hold(sha256, size, pieces, name)
    os.close(descriptor)
    return path


def hold(sha256: str, size: int, pieces: Callable[[], Iterable[bytes]], name: str = "runtime") -> tuple[Path, int]:
    """As :func:`place`, with a descriptor of the very file whose bytes have the digest; the caller closes it."""
    file = f"{name}.exe" if os.name == "nt" and name == "runtime" else name
    reasons = []
    for cache in candidates():
        try:
            folder = _private(cache, sha256)
            sweep(folder)
            path = folder / file
            descriptor = _open(path, sha256, size)
            if descriptor is None:
                _put(path, sha256, size, pieces)
                descriptor = _open(path, sha256, size)
            if descriptor is not None and (name != "runtime" or os.access(path, os.X_OK)):
                return path, descriptor
            if descriptor is not None:
                os.close(descriptor)
            reasons.append(f"{cache} does not allow programs to run")
        except OSError as error:  # not ours, read-only, full: the next one may do
            if isinstance(error, SourceError):
                raise
            reasons.append(f"{cache}: {error.strerror or error}")
    raise SourceError(f"no folder takes the program: {'; '.join(reasons)}", hint="name one with LFF_CACHE")


def _open(path: Path, sha256: str, size: int) -> int | None:
    """A descriptor of ``path``, if it is this user's own file of ``size`` bytes with this digest; else None."""
    names = ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NONBLOCK")
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in names)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb", closefd=False) as file:
        info = os.fstat(descriptor)
        sound = stat.S_ISREG(info.st_mode) and is_own(info) and info.st_size == size
        if sound and hashlib.file_digest(file, "sha256").hexdigest() == sha256:
            os.lseek(descriptor, 0, os.SEEK_SET)
            return descriptor
    os.close(descriptor)
    return None


def work_folder(*names: str) -> Path:
    """A folder in the cache for what is neither program nor permanent, such as builds; it may not exist yet."""
    for cache in candidates():
        with contextlib.suppress(OSError):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(cache, os.W_OK):
                return firm(cache).joinpath("llamafile-format", *names)
    raise SourceError("no folder takes the cache", hint="name one with LFF_CACHE")


def _private(cache: Path, sha256: str) -> Path:
    """The folder of a digest, made if need be; PermissionError if others could exchange something on the way to it."""
    shared = cache.name.startswith(_SHARED)
    if shared and cache.is_symlink():
        raise PermissionError(errno.EPERM, "is a link in a place of many users", str(cache))
    cache.mkdir(mode=0o700, parents=not shared, exist_ok=True)
    folder = firm(cache)
    for name in ("llamafile-format", "rt", sha256):
        folder /= name
        folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or not is_own(found):
            raise PermissionError(errno.EPERM, f"{folder} is not this user's alone", str(folder))
    return folder


def part_name(name: str) -> str:
    """How the file ``name`` is called while this process writes it."""
    return f"{name}.{platform.node() or 'host'}.{os.getpid()}"


def has_process(number: int) -> bool:
    """True if this user has a process of that number (on POSIX)."""
    try:
        os.kill(number, 0)
    except (OSError, OverflowError):  # PermissionError: by now it is somebody else's number
        return False
    return True


def sweep(folder: Path) -> None:
    """Take away what processes of this machine left behind that are no more (14.2.9)."""
    if os.name != "posix":
        return
    with os.scandir(folder) as entries:
        for entry in list(entries):
            match = PART.fullmatch(entry.name)
            if match and match["host"] == (platform.node() or "host") and not has_process(int(match["process"])):
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        Path(entry.path).unlink()


def _put(path: Path, sha256: str, size: int, pieces: Callable[[], Iterable[bytes]]) -> None:
    partial = path.with_name(part_name(path.name))
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
        faster = _open(path, sha256, size)  # of another command, and perhaps somebody is reading it: it stays
        if faster is None:
            partial.replace(path)
        else:
            os.close(faster)
    finally:
        partial.unlink(missing_ok=True)
