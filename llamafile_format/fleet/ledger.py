"""The ledger: what was verified, in which state, by which rules, under which policy (spec/1, 10.15.4).

A folder of JSONL files, one for each run. A line is a shard: it is written and synced when its objects are judged, and
never changed. So a run that is killed loses what it was at and nothing else: a line that it has not finished is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from llamafile_format import __version__
from llamafile_format.errors import FormatError, SourceError
from llamafile_format.fleet.row import ANSWERS, Row, read_row
from llamafile_format.output.lock import held
from llamafile_format.output.publish import make_folder, sync_folder
from llamafile_format.source.address import shown

_SUFFIX = ".jsonl"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Basis:
    """What a judgement rests on besides the object: digests of the rules and of what was demanded, and the level."""

    rules: str
    level: str
    demands: str

    def key(self, name: str, version: str) -> bytes:
        """What stands for one object in one state on this basis: 16 bytes."""
        text = json.dumps([self.rules, self.level, self.demands, shown(name), version])
        return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Line:
    """A shard as it stands in the ledger."""

    basis: Basis
    time: str
    rows: tuple[Row, ...]


class Known:
    """What a ledger knows on a basis. About 100 bytes for each object, whatever the ledger says of it."""

    def __init__(self, basis: Basis, lines: Iterator[Line]) -> None:
        self._basis = basis
        self._answers: dict[bytes, int] = {}
        self._learned: dict[bytes, str] = {}
        for line in lines:
            if line.basis == basis:
                for row in line.rows:
                    self.add(row)

    def add(self, row: Row) -> None:
        """Note ``row``, if it need not be done again."""
        if row.final:
            self._answers[self._basis.key(row.name, row.version)] = ANSWERS.index(row.answer)
            if row.learned:
                self._learned[self._basis.key(row.name, "")] = row.version

    def answer(self, name: str, version: str) -> str:
        """The answer on ``name`` in this state; empty if there is none yet."""
        found = self._answers.get(self._basis.key(name, version)) if version else None
        return "" if found is None else ANSWERS[found]

    def learned(self, name: str) -> str:
        """In which state an object was, of which only reading tells that."""
        return self._learned.get(self._basis.key(name, ""), "")


class Ledger:
    """A ledger that is written to: by one coordinator at a time. Use it in a ``with``."""

    def __init__(self, folder: Path, basis: Basis) -> None:
        """Open or begin the ledger in ``folder``. SourceError, UsageError if another run is writing to it."""
        self._basis = basis
        make_folder(folder)
        self._lock = held(folder, f"the ledger {folder}")
        self._file: IO[bytes] | None = None
        try:
            self._path = folder / f"{_next(folder):06}-{secrets.token_hex(4)}{_SUFFIX}"
            self.known = Known(basis, lines(folder))
        except BaseException:
            self.close()
            raise

    def append(self, rows: Sequence[Row]) -> None:
        """Write a shard, so that no crash takes it away again. SourceError."""
        value = {
            "ledger": _VERSION,
            "tool": __version__,
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "rules": self._basis.rules,
            "level": self._basis.level,
            "demands": self._basis.demands,
            "rows": [row.value() for row in rows],
        }
        try:
            if self._file is None:
                self._file = self._path.open("xb")
                sync_folder(self._path.parent)
            self._file.write(json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SourceError(f"cannot write to the ledger {self._path}: {error.strerror or error}") from error
        for row in rows:
            self.known.add(row)

    def close(self) -> None:
        """End writing, and let others write."""
        if self._file is not None:
            self._file.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Ledger:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """:meth:`close`."""
        self.close()


def _files(folder: Path) -> list[Path]:
    """The files of all runs, oldest first: their names begin with a number that grows."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError as error:
        raise SourceError(f"cannot read the ledger {folder}: {error.strerror}") from error


def _next(folder: Path) -> int:
    """The number of the next run."""
    numbers = [int(path.name.partition("-")[0]) for path in _files(folder) if path.name.partition("-")[0].isdecimal()]
    return max(numbers, default=0) + 1


def lines(folder: Path) -> Iterator[Line]:
    """All shards in the ledger in ``folder``, oldest run first. FormatError for what is none."""
    for path in _files(folder):
        yield from _lines(path)


def _lines(path: Path) -> Iterator[Line]:
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, 1):
                if not data.endswith(b"\n"):  # a run was killed while it wrote this: as if it had not been done
                    return
                try:
                    yield _line(json.loads(data))
                except (ValueError, RecursionError, TypeError, KeyError) as error:
                    raise FormatError(f"{path}, line {number}: no shard of a ledger: {error}") from error
    except OSError as error:
        raise SourceError(f"cannot read the ledger {path}: {error.strerror}") from error


def _line(value: Mapping[str, Any]) -> Line:
    if value["ledger"] != _VERSION:
        raise ValueError(f"version {value['ledger']!r:.20} of ledgers is not known")
    basis = Basis(str(value["rules"]), str(value["level"]), str(value["demands"]))
    if not isinstance(value["rows"], list):
        raise TypeError("rows are a list")
    return Line(basis, str(value["time"]), tuple(map(read_row, value["rows"])))


def newest(folder: Path) -> Iterator[tuple[Line, Row]]:
    """Each object once, as it was judged last, with the shard where that stands. Reads the ledger twice."""
    last: dict[bytes, int] = {}
    for at, row in enumerate(row for line in lines(folder) for row in line.rows):
        last[_short(row.name)] = at
    at = -1
    for line in lines(folder):
        for row in line.rows:
            at += 1
            if last.get(_short(row.name)) == at:
                yield line, row


def _short(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
