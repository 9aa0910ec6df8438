"""Everything that a damaged file can be repaired by: its copies, what survived in them, and recovery sets (17.5.1)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.caring.mosaic import Forgiving
from llamafile_format.caring.sidecars import files_of, files_of_set
from llamafile_format.caring.survivors import Survivor, surviving_manifests
from llamafile_format.container import Container
from llamafile_format.errors import LimitExceeded, SourceError
from llamafile_format.recovery.packets import Packet, packets_in
from llamafile_format.recovery.sets import RecoverySet, sets_of
from llamafile_format.source import ByteSource, FileSource
from llamafile_format.source.pending import refuse_pending
from llamafile_format.source.remote import RemoteSource

Copy = str | os.PathLike[str] | ByteSource
"""Another copy of the file: a path, or a source, which may be on another machine."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """``file`` is the damaged file, ``others`` its copies; ``local`` are those of them that can be searched.

    ``own`` are digests of the manifests that survived in the file itself: what says which file it was.
    """

    file: ByteSource
    others: tuple[ByteSource, ...]
    survivors: tuple[Survivor, ...]
    sets: tuple[RecoverySet, ...]
    own: frozenset[str]

    @property
    def sources(self) -> tuple[ByteSource, ...]:
        """All copies, the file itself first."""
        return (self.file, *self.others)

    @property
    def local(self) -> tuple[ByteSource, ...]:
        """Copies on this machine: every byte of them may be looked at."""
        return tuple(source for source in self.sources if not isinstance(source, RemoteSource))


def gather(
    path: Path, opened: FileSource, stack: ExitStack, *, par2: Sequence[str | os.PathLike[str]], others: Sequence[Copy]
) -> Evidence:
    """All evidence about ``path``, which is ``opened``; what is opened besides is closed with ``stack``."""
    file = Forgiving(opened)
    copies = tuple(_open_copy(other, stack) for other in others)
    sidecars = [*files_of(path)] if not par2 else [name for each in par2 for name in files_of_set(Path(each))]
    beside = [Forgiving(stack.enter_context(FileSource(name))) for name in dict.fromkeys(sidecars)]
    survivors = {survivor.sha256: survivor for survivor in _manifests(file)}
    own = frozenset(survivors)
    survivors |= {survivor.sha256: survivor for source in copies for survivor in _manifests(source)}
    sets = sets_of(_packets([*beside, file, *copies]))
    return Evidence(file, copies, tuple(survivors.values()), tuple(sets), own)


def _open_copy(other: Copy, stack: ExitStack) -> ByteSource:
    if isinstance(other, str | os.PathLike):
        refuse_pending(other)
        return Forgiving(stack.enter_context(FileSource(other)))
    return other


def _manifests(source: ByteSource) -> list[Survivor]:
    """Manifests in ``source``; of one on another machine, the one that its directory names."""
    if not isinstance(source, RemoteSource):
        return surviving_manifests(source)
    try:
        container = Container(source)
    except SourceError:
        return []
    return [Survivor(container.manifest, container.manifest_bytes)] if container.manifest else []


def _packets(sources: Sequence[ByteSource]) -> Iterator[Packet]:
    """Packets of all sources on this machine; others are asked for slices and chunks, and not read through."""
    for source in sources:
        if not isinstance(source, RemoteSource):
            with suppress(LimitExceeded):  # a source that is made to waste time has given what it had until then
                yield from packets_in(source)
