"""A file made the newer one that is elsewhere: what it has already is taken from it, the rest is fetched.

The newer file is known by its end first (``newer``); what it says of signers is judged before a chunk is asked for. The
new file is put together beside the old one, verified in full, and only then takes its place. One that looks like the
newer one already is verified too: nobody may be told that a damaged file, or one that nobody signed, is the newer one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from llamafile_format.checks.verdict import Level, Verdict
from llamafile_format.container import Container, Kind, open_container
from llamafile_format.errors import FormatError, NotAuthentic, SourceError, UsageError
from llamafile_format.examining import Trust, examine, refuse
from llamafile_format.exchanging.newer import Listed, Newer, listed, read_newer
from llamafile_format.manifest.hashing import Piece, check_pieces
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import data_ranges, refuse_changed, write_at
from llamafile_format.prefix.bootstrap import HEADER_SIZE
from llamafile_format.prefix.reverted import HEAD, Reverted
from llamafile_format.progress import Advance, Progress, counted
from llamafile_format.rules import Layer
from llamafile_format.signing.trust.evidence import SignatureFact, Standing
from llamafile_format.signing.trust.policy import Policy
from llamafile_format.source import ByteSource, FileSource, open_source
from llamafile_format.source.pending import real_path, refuse_pending
from llamafile_format.source.remote import RemoteSource
from llamafile_format.zip.writer import local_header

_RUN = 32 << 20
"""Bytes that are fetched at once, at most."""
_AT_ONCE = 1024
"""Lines of the newer chunk list in memory at a time: a stranger says how many there are."""


_Here = dict[tuple[bytes, int], int]
"""By digest and length: where bytes lie."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The file ``path`` of ``size`` bytes is the newer one now, by its manifest, and sound; ``changed`` is False if it
    was so already. ``fetched`` bytes came from elsewhere, all together, and ``reused`` were here. ``lost`` are signers
    that the old file had, and the new one does not."""

    path: Path
    size: int
    manifest_sha256: str
    changed: bool
    fetched: int
    reused: int
    lost: tuple[str, ...] = ()


def update(
    path: str | os.PathLike[str],
    newer: str | os.PathLike[str] | ByteSource,
    *,
    policy: Policy | None = None,
    as_of: datetime | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Updated:
    """Make the container ``path`` the one that is ``newer``, bit for bit; it stays as it is until that is verified.

    One that is the newer one already is read to its end, and made again if it is damaged. ``policy`` is judged as of
    ``as_of`` (default: now) in any case. NotAuthentic if the newer file breaks it, or has lost a signer that the old
    one had, unless ``force``. FormatError for a newer file that is malformed or damaged, SourceError if bytes cannot be
    had, UsageError if ``path`` is no container.
    """
    target = real_path(path)
    refuse_pending(target)
    trust = Trust(policy, as_of or datetime.now(UTC))
    source = open_source(newer)
    with open_container(target) as old:
        if old.kind is not Kind.CONTAINER or old.claims is None:
            raise UsageError(f"{path} is no container that could be updated", hint="llamafile-format verify FILE")
        return _Update(target, old, read_newer(source), source, trust, force).run(progress)


@dataclass(slots=True)
class _Update:
    path: Path
    old: Container
    new: Newer
    origin: ByteSource
    trust: Trust
    force: bool
    fetched: int = 0
    reused: int = 0

    def run(self, progress: Progress | None) -> Updated:
        """Skeleton, signers, what is here, what is not, the form, the verdict."""
        size, start = self.origin.size, self.new.layout.chunks.gap_offset
        if self._looks_same() and self._is_sound(progress):
            return self._result(changed=False)
        # Before a list is read that is as long as its writer likes. Holes of the old file may stay holes.
        require_room(self.path.parent, [self.old.origin], size - self.old.size)
        advance = counted(progress, start)
        with output(self.path, force=True, mode=self.path.stat().st_mode & 0o777) as out:
            os.ftruncate(out, size)
            write_at(out, self.new.start, self.new.rest)
            self._skeleton(out)
            lost = self._judge_signers(out)
            self.new.bring_list(out)
            self._fill(out, advance)
            if isinstance(self.new.source, Reverted):
                write_at(out, 0, self.origin.read_at(0, HEADER_SIZE))
            self._judge(out)
            refuse_changed(self.old.origin)
        return self._result(changed=True, lost=lost)

    def _looks_same(self) -> bool:
        """True if nothing would change where the old file is what it says: the same size, manifest, form and end."""
        start, old = self.new.start, self.old
        return (
            old.size == self.origin.size
            and old.manifest_bytes == self.new.data
            and old.source.read_at(start, old.size - start) == self.new.rest
            and old.origin.read_at(0, HEADER_SIZE) == self.origin.read_at(0, HEADER_SIZE)
        )

    def _is_sound(self, progress: Progress | None) -> bool:
        """True if the old file stands as it is; False if it is damaged. NotAuthentic, or FormatError, if it would be
        refused sound as well."""
        report = examine(self.old, level=Level.FULL, trust=self._asked(), progress=progress)
        if report.complete and report.verdicts.get(Layer.WELL_FORMED) is Verdict.NO:
            return False
        refuse(report, f"is what {self.origin.name} has, and is not accepted")
        return True

    def _asked(self) -> Trust:
        """The trust that counts in the end: the user's, or nothing where the user insists."""
        return Trust(None, self.trust.at) if self.force else self.trust

    def _fill(self, out: int, advance: Advance) -> None:
        """Everything in front of the chunk list, some pieces at a time."""
        here = self._old_pieces()
        pieces = self.new.pieces(FileSource.from_descriptor(out, self.origin.name))
        while some := list(islice(pieces, _AT_ONCE)):
            self._fetch(out, self._reuse(out, some, here, advance), advance)

    def _skeleton(self, out: int) -> None:
        """The headers, which follow from the manifest, and the beginning, which tells what the file is."""
        layout = self.new.layout
        for member, placed in zip(self.new.manifest.members, (*layout.members, layout.chunks), strict=True):
            write_at(out, placed.gap_offset, local_header(placed, int(member.crc32, 16)))
        head = min(HEAD, self.new.manifest.prefix.size)
        write_at(out, 0, self.new.source.read_ranges([(0, head)])[0] if head else b"")

    def _judge_signers(self, out: int) -> tuple[str, ...]:
        """Before a chunk is asked for: NotAuthentic if a signer is lost, or nobody is there whom the policy trusts."""
        with open_container(FileSource.from_descriptor(out, self.origin.name)) as skeleton:
            after = examine(skeleton, level=Level.QUICK, trust=self.trust).signatures
        before = examine(self.old, level=Level.QUICK, trust=self.trust).signatures
        lost = tuple(sorted(_signers(before) - _signers(after)))
        if self.force:
            return lost
        if lost:
            raise NotAuthentic(
                f"{self.origin.name} has lost {', '.join(lost)}, who signed {self.path.name}; nothing was changed",
                hint="ask who made it; insist with --force",
            )
        if self.trust.policy is not None and not any(
            fact.kind.vouches and fact.standing is Standing.TRUSTED for fact in after
        ):
            raise NotAuthentic(f"nobody whom the policy trusts has signed {self.origin.name}; nothing was changed")
        return lost

    def _reuse(self, out: int, pieces: Sequence[Listed], here: _Here | None, advance: Advance) -> list[Listed]:
        """Take from the old file what has the right digest. The rest of ``pieces``, which is missing, in order."""
        missing: list[Listed] = []
        wanted: dict[int, list[Listed]] = {}
        for piece in pieces:
            at = self._place(piece, here)
            if at is None:
                missing.append(piece)
            else:
                wanted.setdefault(at, []).append(piece)
        source = self.old.source

        def sink(offset: int, view: memoryview) -> None:
            """What lies at ``offset`` of the old file goes wherever the new one has it; holes stay holes."""
            spans = list(data_ranges(source, offset, len(view)))
            for piece in wanted[offset]:
                for low, count in spans:
                    write_at(out, piece.tile.offset + low - offset, view[low - offset : low - offset + count])

        expected = [Piece(at, each[0].tile.length, each[0].sha256) for at, each in sorted(wanted.items())]
        for mismatch in check_pieces(source, expected, sink=sink, progress=advance):
            missing += wanted.pop(mismatch.piece.offset)
        self.reused += sum(piece.tile.length for each in wanted.values() for piece in each)
        return sorted(missing, key=lambda piece: piece.tile.offset)

    def _place(self, piece: Listed, here: _Here | None) -> int | None:
        """Where the old file may have the bytes of ``piece``: by its list, or where the new one has them."""
        if here is not None:
            return here.get((piece.sha256, piece.tile.length))
        return piece.tile.offset if piece.tile.offset + piece.tile.length <= self.old.size else None

    def _old_pieces(self) -> _Here | None:
        """Where the old file has which bytes, by its own word; None if its chunk list is damaged."""
        claims, old = self.old.claims, self.old
        assert claims is not None
        here: _Here = {}
        try:
            wide = claims.manifest.profile == "archive"
            for row in listed(old.source, claims.layout, old.name, sha512=wide):
                if row.tile.offset + row.tile.length <= old.size:
                    here.setdefault((row.sha256, row.tile.length), row.tile.offset)
        except (FormatError, SourceError):
            return None
        return here

    def _fetch(self, out: int, missing: Sequence[Listed], advance: Advance) -> None:
        """Ask for what is missing, in long runs. FormatError with the first piece that is not what its list says."""
        left = [piece for piece in missing if not self._is_there(out, piece)]
        for run in _runs(left):
            start, end = run[0].tile.offset, run[-1].tile.offset + run[-1].tile.length
            buffer = memoryview(bytearray(end - start))
            self._read(start, buffer)
            for piece in run:
                part = buffer[piece.tile.offset - start :][: piece.tile.length]
                if hashlib.sha256(part).digest() != piece.sha256:
                    raise FormatError(
                        f"{self.origin.name} is damaged; nothing was changed",
                        offset=piece.tile.offset,
                        found=hashlib.sha256(part).hexdigest(),
                        allowed=piece.sha256.hex(),
                        clause="6.2",
                    )
                write_at(out, piece.tile.offset, part)
                advance(piece.tile.length)
            self.fetched += end - start

    def _is_there(self, out: int, piece: Listed) -> bool:
        """True for headers, which the skeleton has already."""
        if piece.tile.path != "-" or piece.tile.offset < self.new.layout.prefix_size:
            return False
        data = FileSource.from_descriptor(out, "the new file").read_at(piece.tile.offset, piece.tile.length)
        return hashlib.sha256(data).digest() == piece.sha256

    def _read(self, start: int, buffer: memoryview) -> None:
        """The bytes from ``start`` on, and no others; of a converted launcher, in its first form."""
        if not isinstance(self.origin, RemoteSource):
            self.new.source.read_into(start, buffer)
            return
        self.origin.read_exactly(start, buffer)
        if start < HEADER_SIZE:
            count = min(len(buffer), HEADER_SIZE - start)
            buffer[:count] = self.new.source.read_at(start, count)

    def _judge(self, out: int) -> None:
        """*full*, with the policy: the word that counts."""
        with open_container(FileSource.from_descriptor(out, self.path.name)) as made:
            refuse(examine(made, level=Level.FULL, trust=self._asked()), f"as {self.origin.name} has it was not taken")

    def _result(self, *, changed: bool, lost: tuple[str, ...] = ()) -> Updated:
        fetched = self.origin.traffic.bytes if isinstance(self.origin, RemoteSource) else self.fetched
        return Updated(self.path, self.origin.size, self.new.sha256, changed, fetched, self.reused, lost)


def _signers(facts: Sequence[SignatureFact]) -> set[str]:
    """Who vouches: whom the policy names, and otherwise by which key, or whom a certificate names.

    Whoever has attested a report of a file has not approved of it (13.3.9), whatever it says.
    """
    spoken = [fact for fact in facts if fact.kind.vouches and fact.standing is not Standing.BAD]
    return {fact.signer or fact.claims or fact.key_id for fact in spoken} - {""}


def _runs(pieces: Sequence[Listed]) -> Iterator[list[Listed]]:
    """``pieces``, those together that follow one another."""
    run: list[Listed] = []
    for piece in pieces:
        if run and (piece.tile.offset != run[-1].tile.offset + run[-1].tile.length or _length(run) >= _RUN):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _length(run: Sequence[Listed]) -> int:
    return run[-1].tile.offset + run[-1].tile.length - run[0].tile.offset
