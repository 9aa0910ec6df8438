"""A file as a copy that was read back: every byte is hashed while it is copied, and what lies there is compared.

Blocks are shared with the source where the file system can; they are hashed all the same. What reads back is asked of
the medium, as far as the system lets go of what it remembers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.errors import SourceError
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.output.transfer import clone, refuse_changed, sink_beyond
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, FileSource

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """``size`` bytes with these digests lie there; ``shared`` of them in blocks of the source."""

    size: int
    sha256: str
    sha512: str
    shared: int

    def digest(self, name: str) -> str:
        """The digest ``name``, one of ``sha256`` and ``sha512``."""
        return {"sha256": self.sha256, "sha512": self.sha512}[name]


def checked_copy(source: ByteSource, out: int, *, progress: Advance | None = None) -> Copied:
    """Copy all of ``source`` to the empty file ``out``, which must be open for reading too.

    ``progress`` is told every byte twice: copied, and read back. Raises SourceError if ``source`` changes meanwhile, or
    if what was written reads back otherwise.
    """
    shared = clone(source, 0, source.size, out, 0)
    sink = sink_beyond(shared, source, out, 0)
    found = digest_range(source, 0, source.size, sha512=True, sink=sink, progress=progress)
    os.ftruncate(out, source.size)
    refuse_changed(source)
    _forget(out)
    back = digest_range(FileSource.from_descriptor(out, source.name), 0, source.size, progress=progress)
    if back.sha256 != found.sha256:
        raise SourceError(
            f"what was written of {source.name} reads back with other bytes; nothing was kept",
            hint="the medium, or what lies between, is damaged: try another one",
        )
    return Copied(source.size, found.sha256.hex(), found.sha512.hex(), shared)


def _forget(out: int) -> None:
    """Have what was written on the medium, and not only in memory, before it is read back."""
    os.fsync(out)
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(out, 0, 0, os.POSIX_FADV_DONTNEED)


def digests_of(source: ByteSource, names: Iterable[str], progress: Advance | None = None) -> dict[str, str]:
    """Digests of all of ``source`` by their names in ``hashlib``, lower-case hex; from one read."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    for at in range(0, source.size if hashes else 0, _BLOCK):
        block = source.read_at(at, min(_BLOCK, source.size - at))
        for each in hashes.values():
            each.update(block)
        if progress:
            progress(len(block))
    refuse_changed(source)
    return {name: each.hexdigest() for name, each in hashes.items()}


def mode_of(source: FileSource) -> int:
    """The mode of a copy: executable if the source is, and nothing else that a stranger's folder may have set."""
    return 0o777 if os.fstat(source.fd).st_mode & stat.S_IXUSR else 0o666
