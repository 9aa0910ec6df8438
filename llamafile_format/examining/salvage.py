"""``recover --salvage``: members of a file that was cut off, or has lost its directory (spec/1, 8.6.6).

Nothing but the local header in front of each member says what it is, so that is what is looked for, from byte 0 on.
What a header says is believed only as far as the bytes bear it out: a member counts as complete if all of its data is
there and has the CRC-32 of its header, and the SHA-256 of the manifest if that is among what was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.examining.extract import safe_target
from llamafile_format.manifest.model import MANIFEST_PATH
from llamafile_format.output.publish import make_folder, output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import write_at
from llamafile_format.progress import Progress
from llamafile_format.source import ByteSource, FileSource, Window
from llamafile_format.source.pending import refuse_pending
from llamafile_format.zip.entry import extra_fields
from llamafile_format.zip.names import collisions, name_problems
from llamafile_format.zip.records import (
    DEFLATED,
    EXTRA_ZIP64,
    FLAG_DATA_DESCRIPTOR,
    FLAG_ENCRYPTED,
    LOCAL_HEADER,
    SENTINEL32,
    STORED,
    LocalHeader,
    parse_local_header,
)

MAX_HEADERS = 65_536
"""More are not looked for: a file of nothing but headers must not take for ever."""
MAX_TRIES = 1 << 20
"""Places that begin like a header; in data without meaning there is one in 4 GiB."""
MAX_MANIFEST = 64 << 20
MAX_UNPACKED = 1 << 30  # bytes of one deflated member; legacy llamafiles deflate pages and texts
_MAGIC = b"PK\x03\x04"
_BLOCK = 1 << 20


class State(Enum):
    """What became of a member."""

    COMPLETE = "complete"
    SAVED = "saved"
    CUT_OFF = "cut off"
    DAMAGED = "damaged"
    REPLACED = "replaced"  # a later member has its name
    REFUSED = "refused"

    @property
    def lost(self) -> bool:
        """Is there something that could not be saved?"""
        return self in (State.CUT_OFF, State.DAMAGED, State.REFUSED)


@dataclass(frozen=True, slots=True)
class Found:
    """A local header and what is behind it.

    ``offset`` is where its data begins and ``stored`` how many bytes of it should be there, ``there`` how many are;
    ``size`` counts bytes when it is unpacked. ``reason`` says why it was not saved, ``checked`` by what it was.
    """

    name: str
    offset: int
    size: int
    stored: int
    there: int
    crc32: int
    method: int
    state: State
    reason: str = ""
    checked: str = "CRC-32"
    path: Path | None = None
    sha256: str = ""


def salvage(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    members: Sequence[str] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Found]:
    """What can be found in ``path``, in the order of its bytes; with ``folder`` what is complete is saved there.

    ``members`` limits it to these names. Raises UsageError for names that are not there or files that exist (unless
    ``force``), SourceError on I/O and if a change of ``path`` is not finished (recover it first).
    """
    refuse_pending(path)
    with FileSource(path) as source:
        found = _judge(source, list(scan(source)), progress)
        if missing := [name for name in members if name not in {item.name for item in found}]:
            raise UsageError(f"no member {missing[0]} was found", hint="leave the names out to see those that were")
        if members:
            found = [item for item in found if item.name in members]
        if folder is None:
            return found
        root = Path(folder)
        make_folder(root)
        complete = [item for item in found if item.state is State.COMPLETE]
        require_room(root, [], sum(item.size for item in complete))
        return [_save(source, item, root, force) if item.state is State.COMPLETE else item for item in found]


def scan(source: ByteSource) -> Iterator[Found]:
    """Every local header and its data. Behind a member that reaches beyond the end nothing is looked for."""
    search, at, headers = _Search(source), 0, 0
    for _ in range(MAX_TRIES):
        at = search.next(at)
        if at < 0 or headers == MAX_HEADERS:
            return
        header = _header(source, at)
        if header is None:
            at += len(_MAGIC)
            continue
        headers += 1
        found = _found(source, header, at + header.length)
        yield found
        if found.there < found.stored:
            return
        at = found.offset + found.stored


class _Search:
    """Where the next header may be; a block that was read is looked through to its end before another is read."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._start, self._block = 0, b""

    def next(self, at: int) -> int:
        """Offset of the next magic from ``at`` on with room for a header behind it, or -1."""
        last = self._source.size - LOCAL_HEADER.size
        while at <= last:
            if not self._start <= at <= self._start + len(self._block) - len(_MAGIC):
                self._start, self._block = at, self._source.read_at(at, min(_BLOCK, self._source.size - at))
            hit = self._block.find(_MAGIC, at - self._start)
            if hit >= 0:
                return self._start + hit if self._start + hit <= last else -1
            at = self._start + len(self._block) - len(_MAGIC) + 1
        return -1


def _header(source: ByteSource, at: int) -> LocalHeader | None:
    """The header at ``at``; None if what begins like one cannot be one."""
    head = source.read_at(at, LOCAL_HEADER.size)
    names, extras = struct.unpack_from("<HH", head, 26)
    if not names or source.size - at - LOCAL_HEADER.size < names + extras:
        return None
    rest = source.read_at(at + LOCAL_HEADER.size, names + extras)
    header = parse_local_header(head, rest[:names], rest[names:])
    plausible = header.method in (STORED, DEFLATED) and header.version_needed <= 63 and b"\0" not in header.name
    return header if plausible else None


def _found(source: ByteSource, header: LocalHeader, offset: int) -> Found:
    size, stored = _sizes(header)
    there = min(stored, source.size - offset)
    name = header.name.decode("utf-8", "backslashreplace")
    state, reason = State.COMPLETE, ""
    if header.flags & FLAG_ENCRYPTED:
        state, reason = State.REFUSED, "it is encrypted"
    elif header.flags & FLAG_DATA_DESCRIPTOR and not stored:
        state, reason = State.REFUSED, "its size stands behind its data"
    elif there < stored:
        state, reason = State.CUT_OFF, f"{there} of {stored} bytes are there"
    elif name.endswith("/"):
        state, reason = State.REFUSED, "it is a folder"
    elif problems := name_problems(header.name):
        state, reason = State.REFUSED, f"its name {problems[0].value}"
    elif (header.method == STORED and size != stored) or size > (1 << 62):
        state, reason = State.DAMAGED, "its sizes contradict one another"
    elif header.method == DEFLATED and size > MAX_UNPACKED:
        state, reason = State.REFUSED, f"it would unpack to {size} bytes"
    return Found(name, offset, size, stored, there, header.crc32, header.method, state, reason)


def _sizes(header: LocalHeader) -> tuple[int, int]:
    """Size and stored size, from the Zip64 field where the header refers to it (APPNOTE 4.5.3)."""
    size, stored = header.size, header.compressed_size
    wide = next((body for kind, body in extra_fields(header.extra) if kind == EXTRA_ZIP64), b"")
    values = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    if size == SENTINEL32:
        size = next(values, size)
    if stored == SENTINEL32:
        stored = next(values, stored)
    return size, stored


def _judge(source: ByteSource, found: list[Found], progress: Progress | None) -> list[Found]:
    """Read what seems complete and compare its digests; of members of one name, the last complete one counts."""
    total, done = sum(item.stored for item in found if item.state is State.COMPLETE), 0
    judged: list[Found] = []
    for item in found:
        if item.state is State.COMPLETE:
            item = _digested(source, item)
            done += item.stored
            if progress:
                progress(done, total)
        judged.append(item)
    said = _said(source, judged)
    judged = [_held_against(item, said) for item in judged]
    last = {item.name: index for index, item in enumerate(judged) if item.state is State.COMPLETE}
    judged = [
        replace(item, state=State.REPLACED, reason="a later one has its name")
        if item.state is State.COMPLETE and last[item.name] != index
        else item
        for index, item in enumerate(judged)
    ]
    whole = [index for index, item in enumerate(judged) if item.state is State.COMPLETE]
    for twin, earlier in collisions([judged[index].name for index in whole]):
        reason = f"with {judged[whole[earlier]].name} it would be one file on some systems"
        judged[whole[twin]] = replace(judged[whole[twin]], state=State.REFUSED, reason=reason)
    return judged


def _digested(source: ByteSource, item: Found) -> Found:
    digest, crc, size = hashlib.sha256(), 0, 0
    try:
        for block in _blocks(source, item):
            digest.update(block)
            crc = zlib.crc32(block, crc)
            size += len(block)
    except FormatError as error:
        return replace(item, state=State.DAMAGED, reason=error.message)
    if crc != item.crc32 or size != item.size:
        return replace(item, state=State.DAMAGED, reason="its CRC-32 is not the recorded one")
    return replace(item, sha256=digest.hexdigest())


def _said(source: ByteSource, found: Sequence[Found]) -> dict[str, str]:
    """SHA-256 by path, from the last manifest that is complete; damage elsewhere makes it no less readable."""
    for item in reversed(found):
        if item.name == MANIFEST_PATH and item.state is State.COMPLETE and item.size <= MAX_MANIFEST:
            try:
                members = json.loads(b"".join(_blocks(source, item)))["members"]
                return {str(member["path"]): str(member["sha256"]) for member in members}
            except (ValueError, KeyError, TypeError, RecursionError):
                return {}
    return {}


def _held_against(item: Found, said: dict[str, str]) -> Found:
    if item.state is not State.COMPLETE or item.name not in said:
        return item
    if said[item.name] != item.sha256:
        return replace(item, state=State.DAMAGED, reason="its SHA-256 is not that of the manifest")
    return replace(item, checked="SHA-256 of the manifest")


def _blocks(source: ByteSource, item: Found) -> Iterator[bytes]:
    """The contents, unpacked, never more than the header says. FormatError if they cannot be unpacked."""
    data = Window(source, item.offset, item.stored)
    pieces = (data.read_at(at, min(_BLOCK, item.stored - at)) for at in range(0, item.stored, _BLOCK))
    if item.method == STORED:
        yield from pieces
        return
    unpack, left = zlib.decompressobj(-zlib.MAX_WBITS), item.size
    try:
        for piece in pieces:
            while piece:
                block = unpack.decompress(piece, min(_BLOCK, left + 1))
                left -= len(block)
                if left < 0:
                    raise FormatError("it unpacks to more than its header says")
                yield block
                piece = unpack.unconsumed_tail
                if not block and not piece:
                    break
    except zlib.error as error:
        raise FormatError("it cannot be unpacked") from error


def _save(source: ByteSource, item: Found, root: Path, force: bool) -> Found:
    target = safe_target(root, item.name)
    digest, at = hashlib.sha256(), 0
    with output(target, force=force) as descriptor:
        for block in _blocks(source, item):
            write_at(descriptor, at, block)
            digest.update(block)
            at += len(block)
        if digest.hexdigest() != item.sha256:
            raise SourceError(f"{source.name} changed while it was read; {target} was not written")
    return replace(item, state=State.SAVED, path=target)
