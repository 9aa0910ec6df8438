"""The file of a resumed verification: lines that only this user can have written (spec/1, 10.12.9).

Every line carries an HMAC by a key in the user's private cache. So it does not matter who could reach the file: what is
torn, damaged, of another user or made up is no line, and it and all behind it are cut off. The first line says what the
journal is about, and all others are bound to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llamafile_format.engines.private_folder import (
    folder_path,
    judge_file,
    private_folder,
    read_private,
    write_private,
)
from llamafile_format.errors import SourceError

if sys.platform != "win32":
    import fcntl

FOLDER = "resumed"
_KEY = "key"
_KEY_BYTES = 32
_MAGIC = b"llamafile-format resumes 1\n"
_MAC = 64
_LINE = 1 << 20  # bytes of a line; one has 200 to some thousands
_MOST = 1 << 33
"""Bytes of a journal: more are not read."""

OTHER_VERSION = "it was made by another version of this program or of its rules"
_OPEN = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))


@dataclass(frozen=True, slots=True)
class About:
    """What a journal is about. Whoever asks for anything else than that begins a new one."""

    name: str
    identity: str
    size: int
    revision: str
    rules: str
    level: str
    manifest: str
    tensors: str

    def difference(self, other: About) -> str:
        """Why what was right about ``self`` says nothing about ``other``; empty if it does."""
        if self._object != other._object:
            return "the object is another one or has changed since"
        if self.rules != other.rules:
            return OTHER_VERSION
        return "" if self == other else "something else was asked for"

    @property
    def _object(self) -> tuple[str, str, int, str]:
        return self.name, self.identity, self.size, self.revision


class JournalFile:
    """The open journal, locked. Lines are added by any thread, each in one write."""

    def __init__(self, path: Path, descriptor: int, key: bytes) -> None:
        self.path = path
        self._fd = descriptor
        self._key = key
        self._bound = b""
        self._lock = threading.Lock()

    def read(self) -> Iterator[bytes]:
        """What its lines hold, as JSON, the first one first, up to one that is none; there the file is cut.

        Read to the end, or :meth:`begin` afterwards.
        """
        good, self._bound = 0, b""
        with contextlib.suppress(OSError), os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(len(_MAGIC))
            for line in iter(lambda: file.readline(_LINE), b""):
                mac, blank, text = line[:_MAC], line[_MAC : _MAC + 1], line[_MAC + 1 :]
                if blank != b" " or not line.endswith(b"\n") or not hmac.compare_digest(mac, self._mac(text)):
                    break
                self._bound = self._bound or mac
                good = file.tell()
                yield text
            os.ftruncate(self._fd, good)

    def begin(self, about: About, now: int) -> None:
        """Throw away what is there, and begin anew."""
        self._bound = b""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        first = json.dumps({**asdict(about), "begun": now}, sort_keys=True).encode("ascii") + b"\n"
        mac = self._mac(first)
        self._write(_MAGIC + mac + b" " + first)
        self._bound = mac

    def add(self, value: Any) -> None:
        """Another line. What cannot be written is not there the next time."""
        text = json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
        if len(text) + _MAC < _LINE:
            self._write(self._mac(text) + b" " + text)

    def _write(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            os.lseek(self._fd, 0, os.SEEK_END)
            os.write(self._fd, data)

    def _mac(self, text: bytes) -> bytes:
        return hmac.new(self._key, self._bound + b"\0" + text, hashlib.sha256).hexdigest().encode("ascii")

    def remove(self) -> None:
        """The verification has come to its end: nothing is left to go on with."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            self.path.unlink()

    def close(self) -> None:
        """Leave it, for another run to go on."""
        os.close(self._fd)


@contextlib.contextmanager
def opened(identity: str, path: str | os.PathLike[str] | None) -> Iterator[JournalFile]:
    """The journal of the object ``identity``, at ``path`` or in the cache. SourceError if there is no place for one."""
    try:
        key = _the_key()
        where = Path(path) if path is not None else _usual(identity)
        descriptor = os.open(where, _OPEN | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"no journal can be kept: {reason}", hint="name a place for it: --journal FILE") from error
    journal = JournalFile(where, descriptor, key)
    try:
        _judge(descriptor, where)
        yield journal
    finally:
        journal.close()


def _judge(descriptor: int, where: Path) -> None:
    """SourceError unless the open file is this user's alone, in nobody's use, and a journal or empty."""
    try:
        judge_file(descriptor, _MOST)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SourceError(f"{where}: another run is writing this journal", hint="wait until it has ended") from error
    except OSError as error:
        raise SourceError(f"{where} is not believed: it {error}", hint="remove it, or name another place") from error
    if os.pread(descriptor, len(_MAGIC), 0) not in (b"", _MAGIC):
        raise SourceError(f"{where} is no journal, and is left as it is", hint="name another place")


def _usual(identity: str) -> Path:
    folder = folder_path(FOLDER)
    assert folder is not None  # the key is in it
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.journal"


def _the_key() -> bytes:
    """The key of this user's journals, made at the first time. With another one no journal of before counts."""
    with private_folder(FOLDER, make=True) as folder:
        with contextlib.suppress(OSError):
            key = read_private(folder, _KEY, _KEY_BYTES)
            if len(key) == _KEY_BYTES:
                return key
        write_private(folder, _KEY, secrets.token_bytes(_KEY_BYTES))
        return read_private(folder, _KEY, _KEY_BYTES)
