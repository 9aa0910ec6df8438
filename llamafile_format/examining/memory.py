"""The memory of verification: which file was verified in full, in which state, with which verdicts (spec/1.0, 14.3.8).

It spares ``run`` and its kin the reading of a file that they have read. It answers no question about trust: ``verify``
and whatever knows a policy or a key never ask it. A memory is bound to the identity of the very descriptor that is
handed over; anything odd about it, or about the place where it lies, means that there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llamafile_format import __version__
from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.container import Kind
from llamafile_format.engines.cache import candidates
from llamafile_format.engines.private_place import firm, is_own
from llamafile_format.rules import Layer, ruleset_digest
from llamafile_format.source import FileSource, Identity
from llamafile_format.source.filesystem import tells_of_changes

SETTLED = 2 * 10**9
"""ns that ``ctime`` must be old when reading begins: a later change within its resolution could leave it as it is."""
KEPT = 30 * 86400
"""Seconds for which a memory counts."""
_FOLDERS = ("llamafile-format", "verified")
_MOST = 4096  # bytes of a memory; one has 500


@dataclass(frozen=True, slots=True)
class Memory:
    """One verification. ``time`` in seconds since 1970; ``rules``: versions of the library and of its rule table."""

    identity: Identity
    manifest_sha256: str
    level: str
    verdicts: dict[str, str]
    rules: str
    time: int

    @property
    def day(self) -> str:
        """The day of it, in UTC."""
        return datetime.fromtimestamp(self.time, UTC).date().isoformat()

    def encode(self) -> bytes:
        """As it is kept: one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class Watch:
    """A file that is about to be read, in a state that a memory may be about."""

    source: FileSource

    def keep(self, report: Report) -> None:
        """Remember ``report`` of the file, unless something is wrong with it or the file has changed meanwhile."""
        verdicts = {layer.value: report.verdicts.get(layer) for layer in (Layer.WELL_FORMED, Layer.VALID)}
        if not report.complete or report.kind is Kind.OTHER or report.level is Level.QUICK:
            return
        if not set(verdicts.values()) <= {Verdict.YES, Verdict.UNDETERMINED} or self.source.changed():
            return
        told = {name: verdict.value for name, verdict in verdicts.items() if verdict is not None}
        memory = Memory(
            self.source.identity, report.manifest_sha256, report.level.value, told, _rules(), int(time.time())
        )
        with contextlib.suppress(OSError), _folder(make=True) as folder:
            _write(folder, _name(memory.identity), memory.encode())


def watch(source: FileSource) -> Watch | None:
    """Begin before anything of ``source`` is read; None if no memory can be about it.

    What other processes have stored through a mapping is written back first: from then on another store moves
    ``ctime``, as a write does.
    """
    if os.name != "posix" or source.changed() or not tells_of_changes(source.fd):
        return None
    if source.opened - source.identity.ctime < SETTLED:
        return None
    try:
        os.fsync(source.fd)
    except OSError:
        return None
    return Watch(source)


def recall(source: FileSource, manifest_sha256: str) -> Memory | None:
    """What is remembered of ``source`` as it is now, by these rules, within :data:`KEPT`; None means: verify."""
    memory = last_verified(source)
    if memory is None or memory.manifest_sha256 != manifest_sha256 or memory.rules != _rules():
        return None
    return memory if 0 <= time.time() - memory.time <= KEPT else None


def last_verified(source: FileSource) -> Memory | None:
    """The last full verification of ``source`` as it is now, however old, by whatever rules; for people to read."""
    if os.name != "posix" or source.changed() or not tells_of_changes(source.fd):
        return None
    try:
        with _folder(make=False) as folder:
            data = _read(folder, _name(source.identity))
    except OSError:
        return None
    memory = _decode(data)
    return memory if memory is not None and memory.identity == source.identity else None


def memory_folder() -> Path | None:
    """Where memories lie, for whoever lists or empties the cache; None if there are none."""
    for place in candidates():
        with contextlib.suppress(OSError):
            os.close(_enter(place, make=False))
            return place.joinpath(*_FOLDERS)
    return None


def _rules() -> str:
    return f"{__version__} {ruleset_digest()}"


def _name(identity: Identity) -> str:
    return f"{identity.device:x}-{identity.inode:x}.json"


def _decode(data: bytes) -> Memory | None:
    """The memory that is encoded as ``data``, byte for byte; None for anything else."""
    try:
        value: Any = json.loads(data)
        memory = Memory(**value | {"identity": Identity(**value["identity"])})
        numbers = [*asdict(memory.identity).values(), memory.time]
        words = [memory.manifest_sha256, memory.level, memory.rules, *memory.verdicts.values()]
        plain = all(type(number) is int for number in numbers) and all(isinstance(word, str) for word in words)
        answers = {Verdict(word) for word in memory.verdicts.values()}
        layers = {Layer(layer) for layer in memory.verdicts}
        level = Level(memory.level)
        exact = memory.encode() == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    good = layers == {Layer.WELL_FORMED, Layer.VALID} and Verdict.NO not in answers and level is not Level.QUICK
    return memory if plain and exact and good else None


# The folder and its files, by descriptors: no link is followed, and nothing is believed that is not this user's.


@contextlib.contextmanager
def _folder(*, make: bool) -> Iterator[int]:
    """A descriptor of the first folder that works. Raises OSError if none does."""
    reason = OSError("no folder takes memories")
    for place in candidates():
        try:
            folder = _enter(place, make=make)
        except OSError as error:
            reason = error
            continue
        try:
            yield folder
        finally:
            os.close(folder)
        return
    raise reason


def _enter(place: Path, *, make: bool) -> int:
    """A descriptor of the folder of memories in ``place``. Raises OSError unless it is this user's alone."""
    if make:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(firm(place), flags)
    try:
        for name in _FOLDERS:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=folder)
            inner = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
            _own(os.fstat(folder), 0o077 if name == _FOLDERS[-1] else 0o022)
    except OSError:
        os.close(folder)
        raise
    return folder


def _own(info: os.stat_result, forbidden: int) -> None:
    if not is_own(info, forbidden):
        raise PermissionError("is not this user's alone")


def _read(folder: int, name: str) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        info = os.fstat(file)
        _own(info, 0o022)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_size > _MOST:
            raise PermissionError("is no memory")
        return os.read(file, _MOST)
    finally:
        os.close(file)


def _write(folder: int, name: str, data: bytes) -> None:
    """Put ``data`` under ``name`` in one step, in place of whatever has it."""
    partial = f"{name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # of a process of this id that was killed here
        os.unlink(partial, dir_fd=folder)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(file, data)
        os.fchmod(file, 0o600)  # whatever the umask is
    finally:
        os.close(file)
    try:
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(partial, dir_fd=folder)
        raise
