"""``extract``: members as files, digests checked while they are written (spec/1, 10.9).

Names come from a stranger's file: nothing is written outside the target folder, no link is followed, nothing that
exists is replaced unless asked, no mode but a plain file's is set, and a member whose bytes do not match its digest
does not appear under its name.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.container import Container, MemberFacts, Openable, open_container
from llamafile_format.errors import FormatError, UsageError, meant
from llamafile_format.limits import DEFLATE_RATIO
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.output.publish import make_folder, output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import clone, refuse_changed, sink_beyond, write_at
from llamafile_format.progress import Advance, Progress, counted
from llamafile_format.source import Window
from llamafile_format.zip.archive import overlapping
from llamafile_format.zip.names import collisions, name_problems
from llamafile_format.zip.records import DEFLATED


@dataclass(frozen=True, slots=True)
class Extracted:
    """One file written: member, path on disk, bytes, SHA-256 of what was written; did a digest vouch for it?"""

    member: str
    path: Path
    size: int
    sha256: str
    checked: bool


def extract(
    what: Openable,
    folder: str | os.PathLike[str] = ".",
    members: Sequence[str] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Extracted]:
    """Write ``members`` (default: all that are not structure or engine assets) into ``folder``.

    Raises UsageError for a member that is not there or a name that cannot be written safely, FormatError if bytes do
    not match their digest (nothing is left under that name; files written before stay), SourceError on I/O.
    """
    with open_container(what) as container:
        chosen = _choose(container, members)
        _check_names(chosen)
        _check_sizes(container, chosen)
        root = Path(folder)
        make_folder(root)
        _require_room(container, chosen, root)
        advance = counted(progress, sum(member.size for member in chosen))
        return [_write(container, member, root, force, advance) for member in chosen]


def stream_member(
    what: Openable, member: str, write: Callable[[bytes], object], *, progress: Progress | None = None
) -> Extracted:
    """Hand the contents of ``member`` to ``write``, block by block, and check them at the end.

    Raises like :func:`extract`; a damaged member is found out when its bytes have been handed over.
    """
    with open_container(what) as container:
        (chosen,) = _choose(container, [member])
        digest, crc, done = hashlib.sha256(), 0, 0
        for block in container.stream(chosen.path):
            write(block)
            digest.update(block)
            crc = zlib.crc32(block, crc)
            done += len(block)
            if progress:
                progress(done, chosen.size)
        _check(chosen, digest.hexdigest(), crc, "what was written is not what was packed")
        return Extracted(chosen.path, Path("-"), chosen.size, digest.hexdigest(), bool(chosen.sha256))


def _check(member: MemberFacts, sha256: str, crc: int, consequence: str) -> None:
    if sha256 == member.sha256 if member.sha256 else crc == member.crc32:
        return
    kind = "SHA-256" if member.sha256 else "CRC-32"
    raise FormatError(
        f"{member.path} is damaged: its {kind} is not the recorded one; {consequence}",
        offset=member.offset,
        clause="LF4004" if member.sha256 else "LF4005",
        hint="llamafile-format verify FILE shows where",
    )


def _choose(container: Container, wanted: Sequence[str]) -> list[MemberFacts]:
    if not wanted:
        skipped = ("engine-asset", "manifest", "chunks", "signature-record")
        return [member for member in container.members if member.role not in skipped]
    by_path = {member.path: member for member in reversed(container.members)}
    missing = [path for path in wanted if path not in by_path]
    if missing:
        raise UsageError(
            f"no member {missing[0]}",
            hint=meant(missing[0], by_path) or "list the members with: llamafile-format inspect --entries FILE",
        )
    return [by_path[path] for path in dict.fromkeys(wanted)]


def _require_room(container: Container, members: Sequence[MemberFacts], root: Path) -> None:
    stored = [member for member in members if member.stored and member.offset >= 0]
    unpacked = sum(member.size for member in members) - sum(member.size for member in stored)
    require_room(root, [Window(container.source, member.offset, member.size) for member in stored], unpacked)


def _check_names(members: Sequence[MemberFacts]) -> None:
    for member in members:
        problems = name_problems(member.path.encode("utf-8", "surrogateescape"))
        if problems:
            raise UsageError(
                f"member {member.path!r} cannot be written safely: its name {problems[0].value}",
                hint="read it with the library (Container.read), or repack with --rename",
            )
    for index, earlier in collisions([member.path for member in members]):
        raise UsageError(
            f"members {members[earlier].path!r} and {members[index].path!r} cannot both be written everywhere",
            hint="extract one of them by name",
        )


def _check_sizes(container: Container, members: Sequence[MemberFacts]) -> None:
    """Refuse a small file that would become a large folder (clause 12.4.6): what is written is then what it sums to."""
    entries = container.archive.entries
    crossing = {entries[index].path for index in overlapping(entries)}
    for member in members:
        if member.path in crossing:
            raise FormatError(
                f"{member.path} shares bytes with another member; nothing was written",
                offset=member.offset,
                clause="LF2039",
                hint="llamafile-format verify FILE shows which; a file like this is made to fill a disk",
            )
        if member.method == DEFLATED and member.size > DEFLATE_RATIO * member.stored_size:
            raise FormatError(
                f"{member.path} claims to unpack to more than any deflate stream can; nothing was written",
                offset=member.offset,
                clause="12.4.6",
                found=member.size,
                allowed=f"{DEFLATE_RATIO * member.stored_size} bytes",
            )


def _write(container: Container, member: MemberFacts, root: Path, force: bool, advance: Advance) -> Extracted:
    target = safe_target(root, member.path)
    with output(target, force=force) as descriptor:
        if member.stored and member.offset >= 0:
            sha256, crc = _copy(container, member, descriptor, advance)
        else:
            sha256, crc = _unpack(container, member, descriptor, advance)
        _check(member, sha256, crc, "it was not written")
    return Extracted(member.path, target, member.size, sha256, bool(member.sha256))


def _copy(container: Container, member: MemberFacts, out: int, advance: Advance) -> tuple[str, int]:
    """Copy or share a stored member's data and hash what was read; (sha256 hex, crc32)."""
    window = Window(container.source, member.offset, member.size)
    shared = clone(window, 0, member.size, out, 0)
    digests = digest_range(window, 0, member.size, sink=sink_beyond(shared, window, out, 0), progress=advance)
    os.ftruncate(out, member.size)
    refuse_changed(window)
    return digests.sha256.hex(), digests.crc32


def _unpack(container: Container, member: MemberFacts, out: int, advance: Advance) -> tuple[str, int]:
    digest, crc, at = hashlib.sha256(), 0, 0
    for block in container.stream(member.path):
        write_at(out, at, block)
        digest.update(block)
        crc = zlib.crc32(block, crc)
        at += len(block)
        advance(len(block))
    return digest.hexdigest(), crc


def safe_target(root: Path, member: str) -> Path:
    """``root/member`` with its folders made; UsageError if a folder on the way is a link, which could lead outside."""
    folder = root
    *parents, name = member.split("/")
    for part in parents:
        folder = folder / part
        try:
            folder.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise UsageError(
                    f"{folder} is not a plain folder (a link?); refusing to write through it",
                    hint="extract into an empty folder with -C DIR",
                ) from None
    return folder / name
