"""The memory of verification: which file was verified in full, in which state, with which verdicts (spec/1, 14.3.8).

It spares ``run`` and its kin the reading of a file that they have read. It answers no question about trust: ``verify``
and whatever knows a policy or a key never ask it. A memory is bound to the identity of the very descriptor that is
handed over; anything odd about it, or about the place where it lies, means that there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llamafile_format import __version__
from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.container import Kind
from llamafile_format.engines.private_folder import folder_path, private_folder, read_private, write_private
from llamafile_format.rules import Layer, ruleset_digest
from llamafile_format.source import FileSource, Identity
from llamafile_format.source.filesystem import tells_of_changes

SETTLED = 2 * 10**9
"""ns that ``ctime`` must be old when reading begins: a later change within its resolution could leave it as it is."""
KEPT = 30 * 86400
"""Seconds for which a memory counts."""
_FOLDER = "verified"
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
        with contextlib.suppress(OSError), private_folder(_FOLDER, make=True) as folder:
            write_private(folder, _name(memory.identity), memory.encode())


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
        with private_folder(_FOLDER, make=False) as folder:
            data = read_private(folder, _name(source.identity), _MOST)
    except OSError:
        return None
    memory = _decode(data)
    return memory if memory is not None and memory.identity == source.identity else None


def memory_folder() -> Path | None:
    """Where memories lie, for whoever lists or empties the cache; None if there are none."""
    return folder_path(_FOLDER)


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
