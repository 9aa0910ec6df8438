"""Which build runs a record again: the embedded one for this machine, or another that was asked for (spec/1, 15.5).

The program is taken out of the file into the private cache, and only if it has the SHA-256 that the manifest names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llamafile_format.container import Container, MemberFacts
from llamafile_format.engines.behaviour import Runtime
from llamafile_format.engines.host import host_target
from llamafile_format.engines.known import objection, same_logits
from llamafile_format.engines.launch import HERE, Via
from llamafile_format.engines.members import RuntimeName, parse_runtime_path
from llamafile_format.errors import RuntimeFailure, UsageError
from llamafile_format.running.default_model import default_model
from llamafile_format.running.shut_in import shut_in

FLAVOURS = ("reference", "native")
"""Best first: only the reference flavour computes the same bits everywhere."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; empty fields mean: whatever fits best. ``runtime`` names a pin of the local store.

    ``foreign`` is the SHA-256 of a build in the file that is run although this installation does not know it.
    """

    flavour: str = ""
    target: str = ""
    via: Via = HERE
    runtime: str = ""
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A build that is about to run. ``pinned`` if its digest is that of a build that this installation knows;
    ``note`` says why it is another one than that of the file.
    """

    runtime: Runtime
    program: Path
    via: Via
    embedded: bool
    pinned: bool
    note: str = ""
    counts_as: tuple[str, ...] = ()
    """Other versions whose logits it computes, bit for bit (14.5.13)."""
    before: tuple[str, ...] = ()
    """What runs it in the sandbox, where it is a text (14.10.5)."""

    def promises(self, recorded: Runtime) -> bool:
        """True if it owes what ``recorded`` said, bit for bit (15.5.4)."""
        return self.runtime.kin(recorded) or any(
            replace(self.runtime, version=version).kin(recorded) for version in self.counts_as
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: RuntimeName
    sha256: str
    member: MemberFacts | None


def choose_runtime(container: Container, wanted: Wanted, *, like: Runtime | None = None) -> Chosen:
    """The build to run, unpacked. ``like`` is the build that was recorded: its kin come first.

    A build that this installation does not know is run only if it was asked for by its digest; else one of this
    installation takes its place (14.3.4). Raises UsageError for contradictions, RuntimeFailure if nothing fits,
    FormatError if the build is damaged.
    """
    target = _target(wanted, like)
    candidates = _stored(wanted.runtime) if wanted.runtime else _embedded(container)
    fitting = _fitting(candidates, wanted, target)
    if not fitting:
        raise _nothing(candidates, target, wanted)
    known = [item for item in fitting if not objection(item.sha256) or item.sha256 == wanted.foreign.lower()]
    best = min(known or _in_place_of(fitting, wanted, target, like), key=lambda item: _preference(item, like))
    name = best.name
    runtime = Runtime(name.engine, name.version, str(name.flavour), name.target, best.sha256)
    against = objection(fitting[0].sha256) if not known else ""
    note = f"{fitting[0].name.path} is not started: {against}; {name.key} of this installation is" if against else ""
    pinned = not objection(best.sha256)
    program, embedded = _program(container, best), best.member is not None
    before = shut_in(container, default_model(container), best.sha256, program)
    if before and wanted.via != HERE:
        raise UsageError(f"{name.key} is no program that {wanted.via.name} runs")
    return Chosen(runtime, program, wanted.via, embedded, pinned, note, same_logits(best.sha256), before)


def _fitting(candidates: list[_Candidate], wanted: Wanted, target: str) -> list[_Candidate]:
    flavours = (wanted.flavour,) if wanted.flavour else FLAVOURS
    return [item for item in candidates if item.name.target == target and item.name.flavour in flavours]


def _in_place_of(unknown: list[_Candidate], wanted: Wanted, target: str, like: Runtime | None) -> list[_Candidate]:
    """Builds of this installation instead of ``unknown`` ones of the file. RuntimeFailure if there is none.

    Of every version where one was recorded; else of the one that an engine's name alone means (14.5.12).
    """
    from llamafile_format.engines.store import find_pin, pins

    engines = {item.name.engine for item in unknown}
    named = {find_pin(pin.name).key for pin in pins()}
    stored = [
        item
        for pin in pins()
        if pin.name in engines and (like is not None or pin.key in named)
        for item in _stored(pin.key)
    ]
    usable = [item for item in _fitting(stored, wanted, target) if not objection(item.sha256)]
    if not usable:
        first = unknown[0]
        raise RuntimeFailure(
            f"{first.name.path} was not started: {objection(first.sha256)}",
            hint=f"if you trust whoever packed the file: --foreign-build {first.sha256}",
        )
    return usable


def _target(wanted: Wanted, like: Runtime | None) -> str:
    """The target to look for: the one asked for, else what the emulator implies, else this machine."""
    if wanted.via.name == "wine":
        implied = "windows-x86_64"
    elif wanted.via.name == "wasmtime":
        implied = "wasm32-wasi"
    elif wanted.via.name == "qemu":
        implied = like.target if like is not None and like.target.startswith("linux-") else ""
        if not wanted.target and (not implied or implied == host_target()) and not wanted.via.cpu:
            raise UsageError("--via qemu needs to know which build to run", hint="such as --target linux-aarch64")
        implied = implied or host_target() or ""
    else:
        implied = host_target() or ""
    target = wanted.target or implied
    families = {"wine": ("windows-",), "wasmtime": ("wasm32-",), "qemu": ("linux-",)}.get(wanted.via.name)
    if families and not target.startswith(families):
        raise UsageError(f"{wanted.via.name} does not run {target} builds")
    return target


def _preference(item: _Candidate, like: Runtime | None) -> tuple[int, int, str]:
    """The recorded build's kin first, then what counts as that, then its engine and version (15.5.2)."""
    name = item.name
    if like is None:
        return 0, FLAVOURS.index(name.flavour), name.path
    kind = (name.engine, name.flavour) == (like.engine, like.flavour)
    same = (name.engine, name.version) == (like.engine, like.version)
    counts = kind and like.version in same_logits(item.sha256)
    rank = 0 if same and kind else 1 if counts else 2 if same else 3
    return rank, 0 if name.flavour == like.flavour else 1 + FLAVOURS.index(name.flavour), name.path


def _embedded(container: Container) -> list[_Candidate]:
    found = []
    for member in container.members:
        name = parse_runtime_path(member.path)
        if member.role == "runtime" and name is not None and member.stored and member.offset >= 0:
            found.append(_Candidate(name, member.sha256, member))
    return found


def _stored(runtime: str) -> list[_Candidate]:
    from llamafile_format.engines.store import find_pin, is_here

    pin = find_pin(runtime)
    return [
        _Candidate(RuntimeName(pin.name, pin.version, build.flavour, build.target), build.sha256, None)
        for build in pin.builds
        if is_here(pin, build)
    ]


def _program(container: Container, item: _Candidate) -> Path:
    member = item.member
    if member is None:
        from llamafile_format.engines.store import find_pin, unpacked

        pin = find_pin(item.name.key)
        build = pin.build(item.name.target, item.name.flavour)
        assert build is not None
        return unpacked(pin, build)
    from llamafile_format.engines.cache import place

    def pieces() -> Iterator[bytes]:
        """The build, as it is taken out of the file."""
        yield from container.stream(member.path)

    return place(item.sha256, member.size, pieces)


def _nothing(candidates: list[_Candidate], target: str, wanted: Wanted) -> RuntimeFailure:
    """Why nothing fits, and what would."""
    flavour = f"{wanted.flavour} " if wanted.flavour else ""
    if not candidates:
        return RuntimeFailure(
            "the file holds no runtime that could be started",
            hint="add one with `llamafile-format repack --runtime llama.cpp`, or name a stored one with --runtime",
        )
    there = ", ".join(sorted(f"{item.name.flavour}/{item.name.target}" for item in candidates))
    return RuntimeFailure(
        f"there is no {flavour}build for {target or 'this machine'}; there is: {there}",
        hint="a foreign build runs with --via qemu, wine or wasmtime and --target",
    )
