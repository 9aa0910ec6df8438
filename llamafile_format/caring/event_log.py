"""``FILE.events.jsonl``: what happened to a container, beside it and never in it; a line can be added and none changed.

Each line is a JSON object of ASCII with sorted keys. It names the SHA-256 of the manifest that the file had, and that
of the line before, so that a line which was changed, dropped or moved breaks the chain. A last line without its end was
cut by a crash: it is passed over, and overwritten by the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.bounded_json import parse_json
from llamafile_format.caring.event import Event
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.output.publish import sync_folder

SUFFIX = ".events.jsonl"
MAX_LOG = 64 << 20  # bytes
MAX_TEXT = 4096  # characters of one field
FIRST = "0" * 64
"""What the first line names in the place of a line before."""
_FIELDS = ("agent", "detail", "kind", "manifest_sha256", "moment", "outcome", "previous")
_ODD = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

KINDS = (
    "accession",
    "capture",
    "creation",
    "deaccession",
    "fixity check",
    "format identification",
    "ingestion",
    "migration",
    "modification",
    "policy assignment",
    "quarantine",
    "recovery",
    "replication",
    "transfer",
    "unquarantine",
    "validation",
    "virus check",
)
"""Terms of the vocabulary eventType of the Library of Congress that people write down by hand."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A line: the event, and the manifest that the file had then."""

    event: Event
    manifest_sha256: str


def log_of(file: str | os.PathLike[str]) -> Path:
    """Where the events of ``file`` are."""
    return Path(f"{os.fspath(file)}{SUFFIX}")


def manifest_of(file: str | os.PathLike[str]) -> str:
    """SHA-256 of the manifest of the container ``file``. UsageError for what has none."""
    with open_container(file) as container:
        if container.manifest is None:
            raise UsageError(f"{container.name} has no manifest, and events are bound to one", hint="repack makes one")
        return hashlib.sha256(container.manifest_bytes).hexdigest()


def read_log(file: str | os.PathLike[str]) -> tuple[Logged, ...]:
    """The events of ``file``, oldest first; none if there is no log. FormatError if the chain is broken."""
    path = log_of(file)
    if not os.path.lexists(path):
        return ()
    descriptor = _opened(path, os.O_RDONLY)
    try:
        return tuple(logged for logged, _ in _lines(path, _whole(path, descriptor)))
    finally:
        os.close(descriptor)


def add_event(file: str | os.PathLike[str], event: Event) -> Logged:
    """Write ``event`` behind the others. Raises as :func:`read_log`; UsageError for a text that is too long."""
    told = (event.kind, event.moment, event.detail, event.outcome, event.agent)
    if any(len(text) > MAX_TEXT for text in told):
        raise UsageError(f"a text of an event has at most {MAX_TEXT} characters", hint="say it shorter")
    logged = Logged(event, manifest_of(file))
    path = log_of(file)
    descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
    try:
        _lock(path, descriptor)
        data = _whole(path, descriptor)
        last = [line for _, line in _lines(path, data)][-1:]
        at = data.rfind(b"\n") + 1  # behind the last line that is whole
        line = _encoded(logged, hashlib.sha256(last[0]).hexdigest() if last else FIRST)
        if at + len(line) >= MAX_LOG:
            raise UsageError(f"{path} is full", hint="put it away with the file, and begin a new one")
        os.ftruncate(descriptor, at)
        os.lseek(descriptor, at, os.SEEK_SET)
        view = memoryview(line + b"\n")
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
    return logged


def _opened(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | _ODD, 0o666)
    except OSError as error:
        raise SourceError(f"cannot open {path}: {error.strerror}", hint="it is no link, and a plain file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError(f"{path} is no plain file")
    return descriptor


def _lock(path: Path, descriptor: int) -> None:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return
    except OSError as error:
        raise SourceError(f"somebody else is writing to {path}", hint="try again") from error


def _whole(path: Path, descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > MAX_LOG:
        raise FormatError(f"{path} is too large", found=size, allowed=f"{MAX_LOG} bytes")
    data = b""
    while len(data) < size and (more := os.pread(descriptor, size - len(data), len(data))):
        data += more
    return data


def _lines(path: Path, data: bytes) -> list[tuple[Logged, bytes]]:
    """Every whole line, decoded, with its bytes; FormatError for the first that does not belong there."""
    found: list[tuple[Logged, bytes]] = []
    previous = FIRST
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        logged = _decoded(path, number, line)
        if line != _encoded(logged, previous):
            raise FormatError(
                f"{path}, line {number}: the chain is broken",
                hint="a line was changed, dropped or moved: compare with a copy of the log",
            )
        found.append((logged, line))
        previous = hashlib.sha256(line).hexdigest()
    return found


def _decoded(path: Path, number: int, line: bytes) -> Logged:
    try:
        value = parse_json(line)
    except FormatError as error:
        raise FormatError(f"{path}, line {number}: {error}") from error
    if not isinstance(value, dict) or sorted(value) != list(_FIELDS):
        raise FormatError(f"{path}, line {number}: no event", allowed=f"the fields {', '.join(_FIELDS)}")
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in value.values()):
        raise FormatError(f"{path}, line {number}: no event", allowed=f"texts of at most {MAX_TEXT} characters")
    event = Event(value["kind"], value["moment"], value["detail"], value["outcome"], value["agent"])
    return Logged(event, value["manifest_sha256"])


def _encoded(logged: Logged, previous: str) -> bytes:
    event = logged.event
    value = {
        "agent": event.agent,
        "detail": event.detail,
        "kind": event.kind,
        "manifest_sha256": logged.manifest_sha256,
        "moment": event.moment,
        "outcome": event.outcome,
        "previous": previous,
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
