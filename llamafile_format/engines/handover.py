"""The very file that was verified, for the program that reads it next (spec/1, 14.3.7 and 14.6.7).

A path can lead to another file a moment later. A build that knows how takes the open descriptor, with what it was when
verifying began. To others it goes by a path of its own, which only Linux has: whoever inherits a descriptor opens the
same file again by that, whatever its name leads to by then.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.known import known_build
from llamafile_format.errors import SourceError
from llamafile_format.source import FileSource, Identity
from llamafile_format.specdata import spec_yaml

VARIABLE = "LFF_CONTAINER_FD"


@dataclass(frozen=True, slots=True)
class Handover:
    """How a program learns of a file: ``environment``, and ``descriptor`` (on Windows a handle), which it inherits.

    Without ``descriptor`` it opens a path, and what that leads to then is not proven.
    """

    environment: dict[str, str]
    descriptor: int | None = None


def takes_descriptor(sha256: str) -> bool:
    """True for a build, known by its digest, of an engine that takes an open container (14.6.7)."""
    known = known_build(sha256)
    return known is not None and known.key in spec_yaml("registry/engines.yaml")["handing_over"]


def hand_over(source: FileSource, path: Path, *, takes: bool) -> Handover:
    """``source``, verified, for a program that ``takes`` descriptors or does not; ``path`` is its name for people.

    The descriptor is one of its own, open until whoever asked for it closes it. SourceError if the file has changed.
    """
    named = {"LFF_CONTAINER": os.fspath(path.absolute())}
    if takes and os.name == "nt":
        from llamafile_format.engines.handover_windows import exclusive

        handle, numbers = exclusive(path, source.identity)
        return Handover({**named, VARIABLE: value_of(handle, numbers)}, handle)
    descriptor = _dup(source.fd)
    if takes:
        return Handover({**named, VARIABLE: value_of(descriptor, source.identity)}, descriptor)
    own = path_of_descriptor(descriptor)
    if own is not None:
        return Handover({"LFF_CONTAINER": own}, descriptor)
    os.close(descriptor)
    return Handover(named)


def value_of(number: int, identity: Identity) -> str:
    """What the variable says of the descriptor ``number``, open on a file that was ``identity`` before it was read."""
    return ":".join(map(str, (number, identity.device, identity.inode, identity.size, identity.mtime, identity.ctime)))


def _dup(fd: int) -> int:
    """Another number for ``fd``, above those of the standard streams."""
    if os.name == "nt":
        return os.dup(fd)
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError as error:
        raise SourceError(f"the open file cannot be handed over: {error.strerror}") from error


def path_of_descriptor(fd: int) -> str | None:
    """The path by which a program that inherits ``fd`` under that number opens its file; None where there is none."""
    path = f"/proc/self/fd/{fd}"
    if sys.platform != "linux":
        return None
    try:
        return path if os.path.samestat(Path(path).stat(), os.fstat(fd)) else None
    except OSError:  # no /proc, as in some sandboxes
        return None
