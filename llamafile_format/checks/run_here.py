"""Which build a command starts on behalf of its user: one of the file, or one of the installation (spec/1, 14.7.11).

A function of data: the builds in the file, those of the installation, and what the user wishes. ``run`` and its kin
start what it says, and ``inspect`` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from llamafile_format.checks.what_will_run import Build, builds_of, choose_build, entries_of
from llamafile_format.engines.known import objection
from llamafile_format.engines.members import DEFAULT_ENGINE, RuntimeName
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.successors import Installed, installed_builds, successor
from llamafile_format.engines.versions import version_key

if TYPE_CHECKING:
    from llamafile_format.container import Container


class WhyHere(Enum):
    """Why it is this one (the words of 14.7.11)."""

    OWN = "own"  # the file's own
    NEWER = "newer"  # the successor of the file's own
    ABSENT = "absent"  # the file has none for this target
    BARRED = "barred"  # the file's own is not known here, or refused


@dataclass(frozen=True, slots=True)
class Installation:
    """The second input: the system to start on, and the builds of the installation.

    ``barred`` are members of the file that it does not start (14.3.4), ``unfit`` the engines (``NAME@VERSION``) that do
    not take the models of the file.
    """

    target: str
    builds: tuple[Installed, ...] = ()
    barred: frozenset[str] = frozenset()
    unfit: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for; nothing by default. ``runtime`` is ``ENGINE`` or ``ENGINE@VERSION``."""

    runtime: str = ""
    flavour: str = ""
    embedded: bool = False


NO_WISH = Wish()


@dataclass(frozen=True, slots=True)
class Here:
    """The build that starts. ``member`` is that of the file, empty if it is one of the installation.

    ``instead`` is the member in whose place it starts, empty if the file has none.
    """

    name: RuntimeName
    why: WhyHere
    member: str = ""
    instead: str = ""

    def to_json(self) -> dict[str, Any]:
        """The answer as vectors and ``inspect --json`` give it."""
        return {
            "build": self.name.path,
            "origin": "file" if self.member else "installation",
            "why": self.why.value,
            "instead": self.instead,
        }


def run_here(builds: Sequence[Build], installation: Installation, wish: Wish = NO_WISH) -> Here | None:
    """The build that starts on ``installation`` (14.3.3, 14.3.13); None if none does."""
    own = choose_build(builds, installation.target, flavour=wish.flavour, runtime=wish.runtime)
    if own is not None and own.member not in installation.barred:
        insists = wish.embedded or "@" in wish.runtime
        newer = None if insists else successor(own.name, installation.builds)
        if newer is None or newer.name.key in installation.unfit:
            return Here(own.name, WhyHere.OWN, own.member)
        return Here(newer.name, WhyHere.NEWER, instead=own.member)
    stored = None if wish.embedded else _stored(installation, wish)
    if stored is None:
        return None
    return Here(stored, WhyHere.ABSENT) if own is None else Here(stored, WhyHere.BARRED, instead=own.member)


def _stored(installation: Installation, wish: Wish) -> RuntimeName | None:
    """A build of the installation where the file has none to start: of a complete pin, native, newest."""
    wanted = wish.runtime or DEFAULT_ENGINE
    suiting = [
        each
        for each in installation.builds
        if each.name.target == installation.target
        and each.name.flavour is not Flavour.GPU
        and wish.flavour in ("", each.name.flavour.value)
        and wanted in (each.name.engine, each.name.key)
    ]
    best = max(
        suiting,
        key=lambda each: (each.complete, each.name.flavour is Flavour.NATIVE, version_key(each.name.version)),
        default=None,
    )
    return None if best is None else best.name


def installation_of(container: Container, target: str) -> Installation:
    """This installation, as far as it matters for ``container`` on ``target``. Reads the headers of its models."""
    installed = installed_builds()
    sha256 = {member.path: member.sha256 for member in container.members if member.role == "runtime"}
    successors = {
        newer.name.key
        for build in builds_of(entries_of(container))
        if build.name.target == target and (newer := successor(build.name, installed)) is not None
    }
    return Installation(
        target,
        installed,
        barred=frozenset(path for path, digest in sha256.items() if objection(digest)),
        unfit=frozenset(key for key in successors if not _fits(container, key)),
    )


def _fits(container: Container, key: str) -> bool:
    """Does the engine ``key`` of this installation take the models of ``container``?"""
    from llamafile_format.checks.runtimes import check_fits
    from llamafile_format.engines.store import find_pin
    from llamafile_format.rules import Severity, rule

    if container.manifest is None:
        return True
    found = check_fits(container, container.manifest, [find_pin(key)])
    return not any(rule(finding.rule).severity is Severity.ERROR for finding in found)
