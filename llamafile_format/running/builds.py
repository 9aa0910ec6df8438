"""Which build is started on a file: one from inside that this installation knows, or one of its own (spec/1, 14.3.3).

The build is read and hashed whole, whatever the cache holds, and a copy of it lies in the private cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.checks.run_here import Here, Installation, WhyHere, Wish, installation_of, run_here
from llamafile_format.checks.what_will_run import Build, builds_of, choose_build, entries_of
from llamafile_format.container import Container, Kind
from llamafile_format.engines.known import objection
from llamafile_format.engines.members import DEFAULT_ENGINE, ROOT, RuntimeName, parse_runtime_path
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.successors import installed_builds
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.source import Window

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Member

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; empty fields mean: whatever suits.

    ``foreign`` is the SHA-256 of a build in the file that is started although this installation does not know it.
    ``embedded`` insists on a build of the file. ``gpu`` is what the program is told by ``LFF_GPU`` (14.6.16).
    """

    runtime: str = ""
    flavour: str = ""
    target: str = ""
    foreign: str = ""
    embedded: bool = False
    gpu: str = ""

    def settled(self) -> Selection:
        """The same with a target; UsageError for words that mean nothing."""
        from llamafile_format.engines.host import host_target

        flavour = self.flavour or os.environ.get("LFF_FLAVOUR", "")
        if flavour == Flavour.GPU.value:
            raise UsageError(
                "a gpu build is started by a native one", hint="choose by LFF_GPU=auto, off or N, or --gpu"
            )
        if flavour not in ("", *(known.value for known in Flavour)):
            raise UsageError(f"unknown flavour {flavour!r}", hint="flavours: native, reference")
        target = self.target or host_target()
        if target is None:
            raise UsageError("there is no name for this system among the targets", hint="name one with --target")
        if target.startswith("wasm"):
            raise UsageError(
                f"{target} is for a WebAssembly runtime to start", hint="extract the build, and start it with one"
            )
        if self.gpu not in ("", "auto", "off") and not (
            self.gpu.isascii() and self.gpu.isdigit() and len(self.gpu) <= 3
        ):
            raise UsageError(
                f"--gpu is auto, off or the number of a device, not {self.gpu!r}", hint="numbers: -- --list-devices"
            )
        return replace(self, flavour=flavour, target=target, foreign=self.foreign.lower())


@dataclass(frozen=True, slots=True)
class Program:
    """A build in the cache, and its pin, if it is one of this installation. ``notes`` are for the user.

    ``sha256`` is that of its bytes, which were hashed for it.
    ``descriptor`` is open on the very file that was checked; None where a system starts programs by their path only.
    """

    path: Path
    build: RuntimeName
    embedded: bool
    pin: Pin | None = None
    notes: tuple[str, ...] = ()
    sha256: str = ""
    descriptor: int | None = None


def program_for(container: Container, wanted: Selection) -> Program:
    """The build to start on ``container``, unpacked. UsageError that says what there is, FormatError for damage."""
    if wanted.foreign:
        member = _foreign(container, wanted)
        against = objection(member.sha256)
        return _embedded(container, member, *_asked(member, against))
    builds = builds_of(entries_of(container)) if container.manifest is not None else ()
    wish = Wish(wanted.runtime, wanted.flavour, wanted.embedded)
    here = run_here(builds, installation_of(container, wanted.target), wish)
    if here is None:
        raise _nothing(container, builds, wanted)
    if here.member:
        return _embedded(container, _member(container, here.member))
    return stored(here.name, _because(container, here))


def _asked(member: Member, against: str) -> tuple[str, ...]:
    return (f"{member.path} was asked for by its digest: {against}",) if against else ()


def _because(container: Container, here: Here) -> str:
    """Why a build of the installation starts, in words for the user."""
    if here.why is WhyHere.NEWER:
        return f"the file's own build of {_version(here.instead)} has a newer one here, which --embedded leaves out"
    if here.why is WhyHere.BARRED:
        return f"{here.instead} is not started: {objection(_member(container, here.instead).sha256)}"
    of = "a legacy llamafile" if container.kind is Kind.LEGACY else "this file"
    return f"{of} has no suiting build inside"


def _version(path: str) -> str:
    name = parse_runtime_path(path)
    return name.key if name is not None else path


def installed(wanted: Selection) -> Program:
    """The build of this installation for a file without any, unpacked. UsageError that says what there is."""
    if wanted.embedded:
        raise UsageError("a plain GGUF has no build inside", hint="leave --embedded out")
    installation = Installation(wanted.target, installed_builds())
    here = run_here((), installation, Wish(wanted.runtime, wanted.flavour))
    if here is None:
        raise _nothing(None, (), wanted)
    return stored(here.name)


def stored(name: RuntimeName, because: str = "") -> Program:
    """The build ``name`` of this installation, unpacked; ``because`` is why it is not one of the file."""
    from llamafile_format.engines.store import find_pin, held

    pin = find_pin(name.key)
    build = pin.build(name.target, name.flavour)
    assert build is not None
    notes = (f"{because}; starting {name.key} ({name.flavour}) of this installation",) if because else ()
    path, descriptor = held(pin, build)
    start = _to_start(descriptor)
    return Program(path, name, embedded=False, pin=pin, notes=notes, sha256=build.sha256, descriptor=start)


def _to_start(descriptor: int) -> int | None:
    """``descriptor``, or None, with it closed, where programs cannot be started by one."""
    if os.execve in os.supports_fd:
        return descriptor
    os.close(descriptor)
    return None


def _nothing(container: Container | None, builds: Sequence[Build], wanted: Selection) -> UsageError:
    """What there is, where nothing can be started."""
    from llamafile_format.engines.store import find_pin

    inside = ", ".join(build.member.removeprefix(f"{ROOT}/") for build in builds[:16])
    has = f"the file has {inside}" if inside else "the file has none"
    key = "" if wanted.embedded else find_pin(wanted.runtime or DEFAULT_ENGINE).key
    text = (
        f"there is no {wanted.flavour + ' ' if wanted.flavour else ''}build for {wanted.target}: {has}"
        f"{f', and {key} has none here' if key else ''}"
    )
    own = choose_build(builds, wanted.target, flavour=wanted.flavour, runtime=wanted.runtime)
    if own is None or container is None:
        hint = "choose with --runtime, --flavour and --target, or build one: llamafile-format runtimes build"
        return UsageError(text, hint=hint)
    member = _member(container, own.member)
    return UsageError(
        f"{member.path} was not started: {objection(member.sha256)}; and {text}",
        hint=f"if you trust whoever packed the file: --foreign-build {member.sha256}",
    )


def _member(container: Container, path: str) -> Member:
    """The member of the manifest that holds a build."""
    assert container.manifest is not None
    member = container.manifest.member(path)
    assert member is not None
    return member


def _embedded(container: Container, member: Member, *notes: str) -> Program:
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
    name = parse_runtime_path(member.path)
    assert name is not None
    path, descriptor = hold(member.sha256, member.size, lambda: _blocks(window))
    return Program(path, name, embedded=True, notes=notes, sha256=member.sha256, descriptor=_to_start(descriptor))


def _foreign(container: Container, wanted: Selection) -> Member:
    """The build that was asked for by its digest. UsageError if the file has none for this system."""
    members = container.manifest.with_role("runtime") if container.manifest is not None else ()
    named = [(name, member) for member in members if (name := parse_runtime_path(member.path))]
    there = [member for name, member in named if name.target == wanted.target]
    found = next((member for member in there if member.sha256 == wanted.foreign), None)
    if found is None:
        has = ", ".join(f"{member.path} sha256:{member.sha256}" for member in there[:4]) or "none"
        raise UsageError(
            f"the file has no build with the SHA-256 {wanted.foreign} for {wanted.target}", hint=f"it has: {has}"
        )
    return found


def _blocks(window: Window) -> Iterator[bytes]:
    for at in range(0, window.size, _BLOCK):
        yield window.read_at(at, min(_BLOCK, window.size - at))
