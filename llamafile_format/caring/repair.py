"""``repair``: a damaged file made whole, by everything that is left of it (spec/1, 17.5)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.caring.attempts import Attempt, Attempts
from llamafile_format.caring.evidence import Copy, Evidence, gather
from llamafile_format.caring.losses import Lost, Span, common, merged, named
from llamafile_format.caring.mosaic import Forgiving, Mosaic
from llamafile_format.caring.proof import Proof, Proven, digest_given, prove
from llamafile_format.errors import FormatError, NotAuthentic, SourceError, UsageError
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import copy, refuse_changed
from llamafile_format.prefix.reverted import revert
from llamafile_format.progress import Progress, counted
from llamafile_format.source import ByteSource, FileSource
from llamafile_format.source.pending import real_path, refuse_pending

if TYPE_CHECKING:
    from llamafile_format.manifest.model import Manifest
    from llamafile_format.signing.trust.policy import Policy

_BLOCK = 4096  # bytes: damage comes in sectors
_MOST_PATCHED = 256 << 20  # bytes that a repair in place writes; beyond it a new file takes the name


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a damaged file.

    ``outcome`` is ``intact``, ``repaired``, ``unproven`` (a result that got no name) or ``beyond repair``. ``path`` is
    the repaired file, None if there is none; ``method`` is ``new file``, ``in place``, ``replaced`` or empty.
    ``damaged`` are the ranges that were wrong, ``lost`` those that are nowhere. ``slices`` of a recovery set were lost,
    and ``recovery`` slices of it are left.
    """

    path: Path | None
    outcome: str
    method: str = ""
    size: int = 0
    manifest_sha256: str = ""
    proof: Proof | None = None
    damaged: tuple[Lost, ...] = ()
    lost: tuple[Lost, ...] = ()
    slices: int = 0
    recovery: int = 0
    notes: tuple[str, ...] = ()


def repair(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    par2: Sequence[str | os.PathLike[str]] = (),
    others: Sequence[Copy] = (),
    expect: str = "",
    policy: Policy | None = None,
    unproven: bool = False,
    in_place: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Repaired:
    """Repair ``path`` by the recovery data inside it, the sidecar set beside it or in ``par2``, and ``others``, copies
    that may be damaged too; write the whole file as ``out`` (default: ``NAME.repaired.SUFFIX`` beside it).

    The original stays as it is, unless ``in_place``: then what is wrong is written over under a journal, or a new file
    takes its name where that is not possible. A result gets a name only if something proves it that is not the recovery
    set itself: a signature that ``policy`` trusts, the SHA-256 ``expect`` (of the file or of its manifest), or the
    manifest that survived in the file (if none did, in a copy); or with ``unproven``. A file that is as it should be is
    ``intact``, and nothing is written.

    Raises UsageError for contradictions, FormatError if there is nothing to repair by, or the result has another digest
    than ``expect``; NotAuthentic if ``policy`` is given and nobody whom it trusts has signed the result (``unproven``
    overrides it); SourceError on I/O. What is beyond repair is no exception: its ``lost`` says what is missing.
    """
    source_path = Path(path)
    wanted = digest_given(expect) if expect else ""
    if in_place and out is not None:
        raise UsageError("--in-place changes the file itself, and has no other output")
    target = source_path if in_place else Path(out) if out is not None else _beside(source_path)
    if not in_place and os.path.lexists(target) and not force:
        raise UsageError(f"{target} exists", hint="add --force to replace it, or choose another name with -o")
    refuse_pending(source_path)
    with _room_told(target.parent, source_path), ExitStack() as stack:
        opened = stack.enter_context(FileSource(source_path))
        evidence = gather(source_path, opened, stack, par2=par2, others=others)
        if not evidence.sets and not evidence.survivors:
            raise FormatError(
                f"nothing is left of {path} to repair it by: no manifest, and no recovery set",
                hint="name its set with --par2, or another copy with --from; `recover --salvage` saves members",
            )
        attempts = Attempts(evidence, target.parent if target.parent.is_dir() else source_path.parent, stack)
        job = _Job(opened, evidence, attempts, source_path, target, progress)
        found = job.best(wanted, policy)
        if found is None:
            return job.beyond()
        attempt, proven = found
        if proven.authentic is False and not unproven:
            raise NotAuthentic(
                "nobody whom you trust has signed what the repair gives", hint="--unproven writes it all the same"
            )
        if not proven.proof.proves and not unproven and not job.same(attempt):
            return job.told("unproven", attempt, proven)
        return job.written(attempt, proven, in_place=in_place, force=force)


@contextmanager
def _room_told(folder: Path, path: Path) -> Iterator[None]:
    """SourceError where what is lost cannot be computed, because the disk is full of something else."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SourceError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise SourceError(
            f"no space left in {folder} to compute what is lost; {path} is as it was",
            hint="free some space there or write to another folder with -o",
        ) from error


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.repaired{path.suffix}")


@dataclass(slots=True)
class _Job:
    """One repair: which attempt counts, and where it goes."""

    opened: FileSource
    evidence: Evidence
    attempts: Attempts
    path: Path
    target: Path
    progress: Progress | None
    failed: list[Attempt] = field(default_factory=list)

    def best(self, expect: str, policy: Policy | None) -> tuple[Attempt, Proven] | None:
        """The first complete attempt that is proven and keeps every signature record, else the best proven one.

        FormatError if results differ from the digest ``expect``, all of them.
        """
        own, survivors = self.evidence.own, {survivor.sha256 for survivor in self.evidence.survivors}
        most, order = self.attempts.most_records(), list(Proof)
        found: list[tuple[int, int, Attempt, Proven]] = []
        refused: FormatError | None = None
        for attempt in self.attempts.all():
            if attempt.result is None:
                self.failed.append(attempt)
                continue
            try:
                proven = prove(attempt.result, own, survivors, by_set=attempt.by_set, expect=expect, policy=policy)
            except FormatError as error:
                refused = error
                continue
            if proven.proof.proves and attempt.records >= most:
                return attempt, proven
            found.append((order.index(proven.proof), -attempt.records, attempt, proven))
        if not found and refused is not None:
            raise refused
        return min(found, key=lambda each: each[:2])[2:] if found else None

    def beyond(self) -> Repaired:
        """What is lost, by the attempts that all failed."""
        spans: list[Span] | None = None
        for attempt in self.failed:
            spans = list(attempt.lost) if spans is None else common(spans, list(attempt.lost))
        best = max(self.failed, key=lambda each: each.by_set, default=Attempt(None))
        lost = named(merged(spans or [(0, self.opened.size)]), self._manifest())
        notes = tuple(dict.fromkeys(each.why for each in self.failed if each.why))
        return Repaired(None, "beyond repair", lost=lost, slices=best.slices, recovery=best.recovery, notes=notes)

    def _manifest(self) -> Manifest | None:
        """Whatever manifest there is to name members by."""
        if self.evidence.survivors:
            return self.evidence.survivors[0].manifest
        skeletons = (each.skeleton for each in self.evidence.sets if each.skeleton)
        return next((manifest for data in skeletons if (manifest := read_manifest(data)[0]) is not None), None)

    def told(self, outcome: str, attempt: Attempt, proven: Proven) -> Repaired:
        """The result as it was found, without a name."""
        assert attempt.result is not None
        return Repaired(
            path=None,
            outcome=outcome,
            size=attempt.result.size,
            manifest_sha256=proven.manifest_sha256,
            proof=proven.proof,
            damaged=named(self._damaged(attempt), self._manifest()),
            slices=attempt.slices,
            recovery=attempt.recovery,
            notes=self._notes(attempt),
        )

    def _notes(self, attempt: Attempt) -> tuple[str, ...]:
        if attempt.reverted and self._view(attempt) is not self.evidence.file:
            return ("the file was converted: the result is in the unconverted form, see `convert`",)
        return ()

    def _view(self, attempt: Attempt) -> ByteSource:
        """The damaged file in the form that ``attempt`` has."""
        return revert(self.evidence.file) if attempt.reverted else self.evidence.file

    def _damaged(self, attempt: Attempt) -> list[Span]:
        assert attempt.result is not None
        return merged(differences(attempt.result, self._view(attempt)))

    def same(self, attempt: Attempt) -> bool:
        """True if the damaged file is none."""
        assert attempt.result is not None
        return self.opened.size == attempt.result.size and not self._damaged(attempt)

    def written(self, attempt: Attempt, proven: Proven, *, in_place: bool, force: bool) -> Repaired:
        """Give the result its name."""
        result = self.told("repaired", attempt, proven)
        if self.same(attempt):
            return replace(result, path=self.path, outcome="intact")
        assert attempt.result is not None
        if in_place and self._patched(attempt, proven, result.damaged):
            return replace(result, path=self.path, method="in place")
        self._copy(attempt.result, force=force or in_place)
        return replace(result, path=self.target, method="replaced" if in_place else "new file")

    def _copy(self, result: Mosaic, *, force: bool) -> None:
        target = real_path(self.target) if self.target == self.path else self.target
        require_room(target.parent, [], result.size)
        mode = os.fstat(self.opened.fd).st_mode & 0o777
        advance = counted(self.progress, result.size)
        with output(target, force=force, mode=mode) as out:
            os.ftruncate(out, result.size)
            for piece in result.pieces:
                copy(_plain(piece.source), piece.start, piece.length, out, piece.offset, progress=advance)
            refuse_changed(self.opened)

    def _patched(self, attempt: Attempt, proven: Proven, damaged: Sequence[Lost]) -> bool:
        """Write what differs over the file, under a journal; False if that is not possible here."""
        from llamafile_format.changing import PROBE, Amendment, Patch, locked, patch_in_place

        result = attempt.result
        assert result is not None
        wrong = merged((each.offset, each.length) for each in damaged)
        amount = sum(length for _, length in wrong)
        if result.size < self.opened.size or amount > _MOST_PATCHED or self._notes(attempt):
            return False
        patches = [Patch(offset, result.read_at(offset, length)) for offset, length in wrong]
        probes = _untouched(wrong, min(self.opened.size, result.size), PROBE)
        manifest = bytes.fromhex(proven.manifest_sha256) if proven.manifest_sha256 else bytes(32)
        real = real_path(self.path)
        with locked(real) as source:
            refuse_changed(self.opened)
            patch_in_place(real, source, Amendment(patches, result.size, manifest, probes), "repair")
        return True


def _plain(source: ByteSource) -> ByteSource:
    """The file behind a source that forgives, whose blocks can be shared: what counts as right could be read."""
    return source.source if isinstance(source, Forgiving) else source


def _untouched(wrong: Sequence[Span], size: int, probe: int) -> list[int]:
    """Offsets of some stretches of ``probe`` bytes that no patch touches."""
    gaps, at = [], 0
    for offset, length in [*wrong, (size, 0)]:
        if min(offset, size) - at >= probe:
            gaps.append(at)
        at = max(at, offset + length)
    return gaps[:16]


def differences(result: Mosaic, source: ByteSource) -> Iterator[Span]:
    """Where ``source`` has other bytes than ``result``, in blocks; what it lacks at its end included."""
    for piece in result.pieces:
        if piece.source is source and piece.start == piece.offset:
            continue
        for at in range(piece.offset, piece.offset + piece.length, _BLOCK):
            length = min(_BLOCK, piece.offset + piece.length - at)
            there = max(0, min(length, source.size - at))
            right = result.read_at(at, length)
            if there < length or source.read_at(at, there) != right:
                yield at, length
