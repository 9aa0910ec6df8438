"""Which builds this installation knows, and what it thinks of them (spec/1, 14.3.4).

The one place that answers: the registry of engines, whose rows outlive the releases that carried a build, and the pins
that this installation has. A build of neither is a program of which nothing is known but its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llamafile_format.prefix.engine import known_engine
from llamafile_format.specdata import spec_yaml


class Status(StrEnum):
    """What the registry says of a build."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


class Guard(StrEnum):
    """What stands between a stranger's file and its user (14.3.12)."""

    ALLOW_LIST = "allow-list"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class KnownBuild:
    """A build by its digest. ``status`` holds since ``date``; ``reason`` says why it is not active, if it is not.

    ``lacks`` are the guards that are not in it. Of a build that only a pin names nobody has said anything: no date.
    """

    sha256: str
    key: str
    status: Status
    reason: str = ""
    date: str = ""
    lacks: tuple[Guard, ...] = ()


def known_build(sha256: str) -> KnownBuild | None:
    """The build with this SHA-256 (lower-case hex); None if neither registry nor pins have it."""
    for row in spec_yaml("registry/engines.yaml")["builds"]:
        if row["sha256"] == sha256:
            key, lacks = f"{row['engine']}@{row['version']}", tuple(map(Guard, row["lacks"]))
            return KnownBuild(sha256, key, Status(row["status"]), row["reason"], row["date"], lacks)
    from llamafile_format.engines.store import pins

    pin = next((pin for pin in pins() if any(build.sha256 == sha256 for build in pin.builds)), None)
    return KnownBuild(sha256, pin.key, Status.ACTIVE) if pin is not None else None


def is_registered(sha256: str) -> bool:
    """True if the registry has an engine or a build with this SHA-256 that is not refused, or a pin has it.

    Of a pin's libraries, which others built, that is told by themselves (LF3334).
    """
    if known_engine(sha256) is not None:
        return True
    known = known_build(sha256)
    if known is not None:
        return known.status is not Status.REFUSED
    from llamafile_format.engines.store import pins

    return any(library.sha256 == sha256 for pin in pins() for library in pin.libraries)


def same_logits(sha256: str) -> tuple[str, ...]:
    """Other versions whose logits the build with this SHA-256 computes, as its pin here says (14.5.13)."""
    from llamafile_format.engines.pin import Flavour
    from llamafile_format.engines.store import pins

    for pin in pins():
        if any(build.sha256 == sha256 and build.flavour is Flavour.REFERENCE for build in pin.builds):
            return pin.logits_as
    return ()


def objection(sha256: str) -> str:
    """Why a build with this SHA-256 is not started unless it is asked for by that; empty if nothing is against it."""
    known = known_build(sha256)
    if known is None:
        return "it is no build that this installation knows"
    return f"it is refused: {known.reason}" if known.status is Status.REFUSED else ""
