"""The launcher that a container's members imply: a function of them alone (spec/1, 14.2.3).

The packer writes it, the verifier computes it again and compares. Neither reads a build or the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Protocol

from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.manifest.model import Sibling
from llamafile_format.prefix.launcher import VERSION, LauncherBuild, build_launcher
from llamafile_format.prefix.launcher import Sibling as Bound

LAUNCHER_VERSION = VERSION
"""The version of the launcher that this release writes."""


class Placed(Protocol):
    """What is known of a member once its place is: the manifest's :class:`Member`, or a member to be."""

    @property
    def path(self) -> str:
        """Its name."""
        ...

    @property
    def role(self) -> str:
        """What it is for."""
        ...

    @property
    def offset(self) -> int:
        """Where its data starts, absolute."""
        ...

    @property
    def size(self) -> int:
        """Bytes of its data."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of its data, in hex; used of runtimes only."""
        ...


def implied_launcher(
    members: Iterable[Placed], default: str, *, version: int = LAUNCHER_VERSION, sibling: Sibling | None = None
) -> bytes:
    """The launcher of a container with ``members`` whose default model is ``default`` (empty if there is none).

    It indexes the members of role ``runtime`` whose names have the form of 14.1. FormatError if one of them cannot be
    indexed, or for an unknown ``version``; LimitExceeded for too many.
    """
    members = list(members)
    builds = [
        LauncherBuild(name.target, name.flavour, member.offset, member.size, member.sha256)
        for member in members
        if member.role == "runtime" and (name := parse_runtime_path(member.path)) is not None
    ]
    if sibling is not None:
        bound = Bound(sibling.offset, sibling.size, sibling.sha256)
        return build_launcher(builds, sibling.weights, version, sibling=bound)
    return build_launcher(builds, _weights(members, default), version)


def _weights(members: Sequence[Placed], default: str) -> tuple[int, int] | None:
    """(offset, size) of the data of the default model; None without one."""
    return next(
        ((member.offset, member.size) for member in members if member.role == "weights" and member.path == default),
        None,
    )


@cache
def blank_launcher(version: int = LAUNCHER_VERSION) -> bytes:
    """The launcher of ``version`` that indexes nothing: its digest stands for all of that version (clause 8.4.1)."""
    return build_launcher([], None, version)
