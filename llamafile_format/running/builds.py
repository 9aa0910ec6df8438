"""Which build is started on a file: one from inside that this installation knows, or one of its own (spec/1.0, 14.3.3).

The build is read and hashed whole, whatever the cache holds, and a copy of it lies in the private cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.container import Container, Kind
from llamafile_format.engines.known import objection
from llamafile_format.engines.members import RuntimeName, parse_runtime_path
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.packing import DEFAULT_RUNTIME
from llamafile_format.source import Window

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Member

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; empty fields mean: whatever suits.

    ``foreign`` is the SHA-256 of a build in the file that is started although this installation does not know it.
    """

    runtime: str = ""
    flavour: str = ""
    target: str = ""
    foreign: str = ""

    def settled(self) -> Selection:
        """The same with a target; UsageError for words that mean nothing."""
        from llamafile_format.engines.host import host_target

        flavour = self.flavour or os.environ.get("LFF_FLAVOUR", "")
        if flavour not in ("", *(known.value for known in Flavour)):
            raise UsageError(f"unknown flavour {flavour!r}", hint="flavours: native, reference")
        target = self.target or host_target()
        if target is None:
            raise UsageError("there is no name for this system among the targets", hint="name one with --target")
        if target.startswith("wasm"):
            raise UsageError(
                f"{target} is for a WebAssembly runtime to start", hint="extract the build, and start it with one"
            )
        return Selection(self.runtime, flavour, target, self.foreign.lower())


@dataclass(frozen=True, slots=True)
class Program:
    """A build in the cache, and its pin, if it is one of this installation. ``notes`` are for the user.

    ``descriptor`` is open on the very file that was checked; None where a system starts programs by their path only.
    """

    path: Path
    build: RuntimeName
    embedded: bool
    pin: Pin | None = None
    notes: tuple[str, ...] = ()
    descriptor: int | None = None


def program_for(container: Container, wanted: Selection) -> Program:
    """The build to start on ``container``, unpacked. UsageError that says what there is, FormatError for damage."""
    found = _foreign(container, wanted) if wanted.foreign else _suiting(container, wanted)
    if found is None:
        of = "a legacy llamafile" if container.kind is Kind.LEGACY else "this file"
        return installed(container, wanted, because=f"{of} has no suiting build inside")
    name, member = found
    against = objection(member.sha256)
    if not against:
        return _embedded(container, name, member)
    if wanted.foreign:
        return _embedded(container, name, member, f"{member.path} was asked for by its digest: {against}")
    try:
        return installed(container, wanted, because=f"{member.path} is not started: {against}")
    except UsageError as error:
        raise UsageError(
            f"{member.path} was not started: {against}; and {error.message}",
            hint=f"if you trust whoever packed the file: --foreign-build {member.sha256}",
        ) from error


def installed(container: Container | None, wanted: Selection, *, because: str = "") -> Program:
    """The build of this installation that suits, unpacked. UsageError that says what there is."""
    from llamafile_format.engines.store import find_pin, held, is_here

    pin = find_pin(wanted.runtime or DEFAULT_RUNTIME)
    flavours = [Flavour(wanted.flavour)] if wanted.flavour else list(Flavour)
    builds = [pin.build(wanted.target, flavour) for flavour in flavours]
    usable = (build for build in builds if build is not None and is_here(pin, build) and not objection(build.sha256))
    build = next(usable, None)
    if build is None:
        inside = _inside(container)
        raise UsageError(
            f"there is no {wanted.flavour + ' ' if wanted.flavour else ''}build for {wanted.target}: "
            f"{'the file has ' + inside if inside else 'the file has none'}, and {pin.key} has none here",
            hint="choose with --runtime, --flavour and --target, or build one: llamafile-format runtimes build",
        )
    name = RuntimeName(pin.name, pin.version, build.flavour, build.target)
    notes = (f"{because}; starting {name.key} ({name.flavour}) of this installation",) if because else ()
    path, descriptor = held(pin, build)
    return Program(path, name, embedded=False, pin=pin, notes=notes, descriptor=_to_start(descriptor))


def _to_start(descriptor: int) -> int | None:
    """``descriptor``, or None, with it closed, where programs cannot be started by one."""
    if os.execve in os.supports_fd:
        return descriptor
    os.close(descriptor)
    return None


def _embedded(container: Container, name: RuntimeName, member: Member, *notes: str) -> Program:
    """The build ``member``, unpacked; its bytes are hashed whatever the cache holds."""
    from llamafile_format.engines.cache import hold

    window = Window(container.source, member.offset, member.size)
    digest = hashlib.sha256()
    for block in _blocks(window):
        digest.update(block)
    if digest.hexdigest() != member.sha256:
        raise FormatError(
            f"{container.name} was not started: {member.path} is damaged; the manifest names another SHA-256",
            offset=member.offset,
            clause="14.3.2",
            hint="llamafile-format verify says where; restore it, or choose another with --runtime",
        )
    path, descriptor = hold(member.sha256, member.size, lambda: _blocks(window))
    return Program(path, name, embedded=True, notes=notes, descriptor=_to_start(descriptor))


def _named(container: Container) -> list[tuple[RuntimeName, Member]]:
    members = container.manifest.with_role("runtime") if container.manifest is not None else ()
    return [(name, member) for member in members if (name := parse_runtime_path(member.path))]


def _suiting(container: Container, wanted: Selection) -> tuple[RuntimeName, Member] | None:
    """The member to start (14.3.3): without wishes, the very one that the launcher starts."""
    from llamafile_format.checks.what_will_run import Entry, builds_of, choose_build

    manifest = container.manifest
    if manifest is None:
        return None
    builds = builds_of([Entry(member.path, member.role, member.offset) for member in manifest.members])
    build = choose_build(builds, wanted.target, flavour=wanted.flavour, runtime=wanted.runtime)
    member = manifest.member(build.member) if build is not None else None
    return (build.name, member) if build is not None and member is not None else None


def _foreign(container: Container, wanted: Selection) -> tuple[RuntimeName, Member]:
    """The build that was asked for by its digest. UsageError if the file has none for this system."""
    there = [item for item in _named(container) if item[0].target == wanted.target]
    found = next((item for item in there if item[1].sha256 == wanted.foreign), None)
    if found is None:
        has = ", ".join(f"{member.path} sha256:{member.sha256}" for _, member in there[:4]) or "none"
        raise UsageError(
            f"the file has no build with the SHA-256 {wanted.foreign} for {wanted.target}", hint=f"it has: {has}"
        )
    return found


def _inside(container: Container | None) -> str:
    members = container.manifest.with_role("runtime") if container is not None and container.manifest else ()
    return ", ".join(member.path.removeprefix("runtimes/") for member in members[:16])


def _blocks(window: Window) -> Iterator[bytes]:
    for at in range(0, window.size, _BLOCK):
        yield window.read_at(at, min(_BLOCK, window.size - at))
