"""Which builds this installation knows, and what it thinks of them (spec/1.0, 14.3.4).

The one place that answers: the registry of engines, whose rows outlive the releases that carried a build, and the pins
that this installation has. A build of neither is a program of which nothing is known but its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llamafile_format.specdata import spec_yaml


class Status(StrEnum):
    """What the registry says of a build."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class KnownBuild:
    """A build by its digest. ``reason`` says why it is not active; empty for one that is."""

    sha256: str
    key: str
    status: Status
    reason: str = ""


def known_build(sha256: str) -> KnownBuild | None:
    """The build with this SHA-256 (lower-case hex); None if neither registry nor pins have it."""
    for row in spec_yaml("registry/engines.yaml")["builds"]:
        if row["sha256"] == sha256:
            return KnownBuild(sha256, f"{row['engine']}@{row['version']}", Status(row["status"]), row["reason"])
    from llamafile_format.engines.store import pins

    pin = next((pin for pin in pins() if any(build.sha256 == sha256 for build in pin.builds)), None)
    return KnownBuild(sha256, pin.key, Status.ACTIVE) if pin is not None else None


def objection(sha256: str) -> str:
    """Why a build with this SHA-256 is not started unless it is asked for by that; empty if nothing is against it."""
    known = known_build(sha256)
    if known is None:
        return "it is no build that this installation knows"
    return f"it is refused: {known.reason}" if known.status is Status.REFUSED else ""
