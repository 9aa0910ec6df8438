"""A full verification of a remote object that goes on where one before it was ended (spec/1, 10.12.9).

What is believed is small: that a chunk of this very state of the object had these digests, and what was seen of tensors
in it. Whether they are the right ones is asked again, by the manifest and the chunk list as they are read now. Nothing
that was wrong is ever kept, and no verdict.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from threading import get_ident
from typing import TYPE_CHECKING, Any

from llamafile_format import __version__
from llamafile_format.checks.tensors import Seen
from llamafile_format.checks.verdict import Level
from llamafile_format.errors import UsageError
from llamafile_format.examining.resume_journal import OTHER_VERSION, About, JournalFile, opened
from llamafile_format.rules import ruleset_digest
from llamafile_format.source.remote import RemoteSource
from llamafile_format.weights.tensor_scales import Health

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorWatch
    from llamafile_format.manifest.hashing import Piece

LEAST = 1 << 16
"""Bytes of a chunk that is kept: shorter ones are read again, and cost less than a line about them."""

KEPT = 30 * 86400
"""Seconds for which a journal counts."""

Tell = Callable[[str], None]


class Resumption:
    """The chunks of ``source`` that were right before, and those that are right now.

    :meth:`begin` comes first; then it is the sink of the bytes and knows what is proven. ``resumed`` counts the bytes
    that were not read for that.
    """

    def __init__(self, source: RemoteSource, journal: JournalFile, tell: Tell) -> None:
        self.resumed = 0
        self._source = source
        self._journal = journal
        self._tell = tell
        self._watch: TensorWatch | None = None
        self._right: dict[int, bytes] = {}
        self._seen: dict[int, tuple[int, Seen]] = {}  # by thread: what it has seen last

    def begin(self, watch: TensorWatch, manifest_sha256: str) -> None:
        """Take in what is proven about the object as it is, for the tensors that ``watch`` looks at."""
        self._watch = watch
        source, rules = self._source, f"{__version__} {ruleset_digest()}"
        about = About(
            source.name,
            source.identity,
            source.size,
            source.revision,
            rules,
            Level.FULL.value,
            manifest_sha256,
            watch.choice,
        )
        now, lines = int(time.time()), self._journal.read()
        if reason := _no_ground(next(lines, b""), about, now):
            self._journal.begin(about, now)
            self._tell(f"begun anew: {reason}")
            return
        for text in lines:
            self._right[json.loads(text)[0]] = text  # as text it takes the least memory
        self._tell(f"goes on: {len(self._right)} chunks of it were right in an earlier run")

    def see(self, at: int, view: memoryview) -> None:
        """The sink of all bytes that are read."""
        assert self._watch is not None
        seen = self._watch.look(at, view)
        self._watch.take(seen)
        self._seen[get_ident()] = at, seen

    def knows(self, piece: Piece) -> bool:
        """See :class:`~llamafile_format.manifest.hashing.Proven`."""
        text = self._right.pop(piece.offset, b"")
        if not text:
            return False
        _, digest, seen = json.loads(text)
        if digest != _digest(piece):
            return False
        assert self._watch is not None
        self._watch.take(_decoded(seen))
        self.resumed += piece.length
        return True

    def keep(self, piece: Piece) -> None:
        """See :class:`~llamafile_format.manifest.hashing.Proven`."""
        at, seen = self._seen.get(get_ident(), (-1, Seen([], [])))
        if piece.length >= LEAST and at == piece.offset:
            self._journal.add([piece.offset, _digest(piece), _encoded(seen)])

    def done(self) -> None:
        """All of it was read: the journal is not needed any more."""
        if self._watch is None:
            self._tell("nothing of it can be resumed: it has no list of chunks that could be used")
        self._journal.remove()


@contextmanager
def resumed(
    source: RemoteSource, tell: Tell, path: str | os.PathLike[str] | None = None
) -> Iterator[Resumption | None]:
    """What is to be handed to ``verify`` for it to go on; None if the server does not name the state of the object.

    ``tell`` is told what becomes of it, ``path`` is where the journal lies instead of in the cache. UsageError on
    Windows, SourceError where no journal can be kept.
    """
    if os.name != "posix":
        raise UsageError("--resume is not for Windows", hint="who may write a journal cannot be asked there")
    if not source.pinned:
        tell("cannot be resumed: the server names no ETag or version that stands for the bytes")
        yield None
        return
    with opened(source.identity, path) as journal:
        yield Resumption(source, journal, tell)


def _no_ground(first: bytes, about: About, now: int) -> str:
    """Why the journal that begins with ``first`` is no ground to go on from; empty if it is."""
    if not first:
        return "there is no journal of it that this user has written"
    said = json.loads(first)
    if said.keys() != {"begun", *(each.name for each in fields(About))}:
        return OTHER_VERSION
    if not 0 <= now - said.pop("begun") <= KEPT:
        return f"its journal is older than {KEPT // 86400} days"
    return About(**said).difference(about)


def _digest(piece: Piece) -> str:
    """All that a chunk must be, as one digest: its place and every digest that is asked of it."""
    crc = b"-" if piece.crc32 is None else struct.pack("<I", piece.crc32)
    text = struct.pack("<QQ", piece.offset, piece.length) + piece.sha256 + piece.sha512 + crc
    return hashlib.sha256(text).hexdigest()


def _encoded(seen: Seen) -> Any:
    health = [[index, *asdict(one).values()] for index, one in seen.health]
    for row in health:
        row[-1] = row[-1].hex()
    return [health, [[*place, part.hex()] for *place, part in seen.halves]]


def _decoded(value: Any) -> Seen:
    health, halves = value
    return Seen(
        [(index, Health(*[*row, bytes.fromhex(block)])) for index, *row, block in health],
        [(index, start, at, bytes.fromhex(part)) for index, start, at, part in halves],
    )
