"""One file against what the state recorded of it. Bytes alone count here, and no rule that a later version may add.

A file whose bytes are not those that were recorded is *damaged*, unless it has another manifest that is whole, or other
signature records that are: then somebody has made another file of it, and it is *changed* on purpose or by mistake,
which only people can tell. What is damaged can be repaired; what is changed never is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from llamafile_format.caring import Lost, surviving_manifests
from llamafile_format.checks.canonical import check_padding, check_structure
from llamafile_format.checks.chunks import check_chunks
from llamafile_format.checks.signatures import read_records
from llamafile_format.checks.verdict import Level, Verdict
from llamafile_format.container import Container, Kind
from llamafile_format.errors import SourceError
from llamafile_format.examining import Trust, examine
from llamafile_format.findings import Finding
from llamafile_format.keeping.spans import Read
from llamafile_format.keeping.state import Records, Tracked
from llamafile_format.manifest.hashing import Piece
from llamafile_format.progress import Advance
from llamafile_format.rules import Layer, rule
from llamafile_format.source import ByteSource, FileSource
from llamafile_format.source.pending import refuse_pending

_TOLD = 100  # faults of one file that are told one by one


class State(Enum):
    """What a look at a file found."""

    RIGHT = "right"
    DAMAGED = "damaged"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Found:
    """``state``, and why: ``detail`` in words, ``faults`` where."""

    state: State
    detail: str = ""
    faults: tuple[Lost, ...] = ()


@dataclass(frozen=True, slots=True)
class _Only:
    """Lets pieces pass that begin in ``[start, stop)``; all others count as proven, by the runs that read them."""

    read: Read

    def knows(self, piece: Piece) -> bool:
        """See :class:`~llamafile_format.manifest.hashing.Proven`."""
        return not self.read.start <= piece.offset < self.read.stop

    def keep(self, piece: Piece) -> None:
        """See :class:`~llamafile_format.manifest.hashing.Proven`."""


def taken_in(path: str) -> Tracked | str:
    """What is to be recorded of ``path``, a file that nobody watches yet; or why it cannot be watched, empty for what
    is no container at all. SourceError if it cannot be read."""
    refuse_pending(path)
    with FileSource(path) as source, Container(source) as container:
        if container.kind is not Kind.CONTAINER:
            return (
                "" if container.kind is Kind.OTHER else "an older llamafile: without a manifest nothing can be watched"
            )
        report = examine(container, level=Level.QUICK, trust=Trust())
        if not report.complete:
            raise SourceError(f"cannot read {path}: {report.error}")
        if container.claims is None or report.verdicts.get(Layer.WELL_FORMED) is Verdict.NO:
            first = next((each for each in report.findings if rule(each.rule).layer is Layer.WELL_FORMED), None)
            return f"not well-formed{f': {rule(first.rule).title} ({first.rule})' if first else ''}"
        whole = (Read(0, container.size),)
        return Tracked(path, report.manifest_sha256, records_of(container), container.size, whole)


def records_of(container: Container) -> Records:
    """Path and SHA-256 of each signature record."""
    records = read_records(container.source, container.archive)
    return tuple((record.path, hashlib.sha256(record.data).hexdigest()) for record in records)


def compared(file: Tracked, read: Read, *, progress: Advance | None = None) -> Found:
    """``file`` as it is now against what was recorded: its structure, and the chunks that begin in ``read``.

    SourceError if it cannot be read, or a change of it was not finished.
    """
    refuse_pending(file.path)
    with FileSource(file.path) as source, Container(source) as container:
        digest = hashlib.sha256(container.manifest_bytes).hexdigest() if container.manifest_bytes else ""
        structure = tuple(_structure(container))
        if container.claims is None or digest != file.manifest_sha256:
            return _other(source, file, digest if container.claims is not None and not structure else "")
        if structure:
            return _damaged(structure)
        if records_of(container) != file.records:
            return Found(State.CHANGED, "other signature records than were recorded")
        faults = tuple(check_chunks(container.source, container.claims, progress=progress, proven=_Only(read)))
        return _damaged(faults) if faults else Found(State.RIGHT)


def _structure(container: Container) -> Iterator[Finding]:
    """Every structure byte that is not what the manifest determines; what a cut file lacks is one too."""
    claims = container.claims
    if claims is None:
        return
    if claims.layout.manifest(len(claims.data)).end > container.size:
        yield Finding("LF3107", args={"end": claims.layout.manifest(len(claims.data)).end, "size": container.size})
        return
    yield from check_structure(container.source, container.archive, claims)
    yield from check_padding(container.source, claims)


def _other(source: ByteSource, file: Tracked, whole: str) -> Found:
    """A file that does not have the manifest which was recorded. ``whole`` is the digest of a manifest that it has and
    that agrees with every structure byte; empty if there is none."""
    there = [whole] if whole else [survivor.sha256 for survivor in surviving_manifests(source)]
    if there and file.manifest_sha256 not in there:
        return Found(State.CHANGED, f"another manifest, sha256:{there[0]}, instead of sha256:{file.manifest_sha256}")
    return Found(State.DAMAGED, "its manifest cannot be read any more")


def _damaged(findings: tuple[Finding, ...]) -> Found:
    faults = tuple(
        Lost(finding.where.offset or 0, finding.where.length or 0, finding.where.member) for finding in findings[:_TOLD]
    )
    titles = ", ".join(dict.fromkeys(f"{rule(finding.rule).title} ({finding.rule})" for finding in findings))
    return Found(State.DAMAGED, titles, faults)
