"""Builds that this installation has to offer, and which of them takes the place of an older one (spec/1, 14.3.13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.engines.known import known_build, objection
from llamafile_format.engines.members import RuntimeName
from llamafile_format.engines.store import is_here, pins
from llamafile_format.engines.versions import version_key


@dataclass(frozen=True, slots=True)
class Installed:
    """A build that is here and not refused. ``complete`` says of its pin that it names one for every target."""

    name: RuntimeName
    complete: bool = True
    sha256: str = ""


def installed_builds() -> tuple[Installed, ...]:
    """Every build of this installation that could be started."""
    return tuple(
        Installed(RuntimeName(pin.name, pin.version, build.flavour, build.target), pin.complete, build.sha256)
        for pin in pins()
        for build in pin.builds
        if is_here(pin, build) and not objection(build.sha256)
    )


def successor(name: RuntimeName, installed: Iterable[Installed]) -> Installed | None:
    """Of complete pins that are newer than ``name``, the build of the newest for the same target and flavour."""
    kind = (name.engine, name.flavour, name.target)
    newer = (
        each
        for each in installed
        if each.complete
        and (each.name.engine, each.name.flavour, each.name.target) == kind
        and version_key(each.name.version) > version_key(name.version)
    )
    return max(newer, key=lambda each: version_key(each.name.version), default=None)


def better(name: RuntimeName, sha256: str, installed: Iterable[Installed]) -> RuntimeName | None:
    """The successor of ``name`` if it lacks less than the build with this SHA-256 (14.3.12)."""
    known, found = known_build(sha256), successor(name, installed)
    if known is None or found is None:
        return None
    other = known_build(found.sha256)
    return found.name if other is not None and set(other.lacks) < set(known.lacks) else None
