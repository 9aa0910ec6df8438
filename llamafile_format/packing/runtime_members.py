"""Runtimes as members of a container: which builds go in, what goes with them, the launcher in front (spec/1, 14.1).

Builds are taken as their pin names them, by target and flavour. The launcher is computed last: it is a function of the
members, so whenever one of them moves it is written anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamafile_format.engines.members import DEFAULT_ENGINE
from llamafile_format.errors import UsageError
from llamafile_format.manifest.layout import plan
from llamafile_format.manifest.media import media_type
from llamafile_format.manifest.model import Sibling
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, file_order
from llamafile_format.packing.assemble import Content, PrefixContent
from llamafile_format.source import ByteSource, BytesSource, FileSource

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Build, Pin

LAUNCHER = "launcher"
NONE = "none"
DEFAULT_RUNTIME = DEFAULT_ENGINE
FLAVOURS = ("native", "reference", "gpu", "both", "all")
_TOGETHER = {
    "gpu": ("native", "gpu"),  # nobody but a native build starts one for a graphics processor (14.1.13)
    "both": ("native", "reference"),
    "all": ("native", "reference", "gpu"),
}
PAGE, SHADERS, LICENCES, PIN = "webui.tar", "shaders.zst", "LICENCES.txt", "runtime.yaml"
ROOT = "runtimes/"


@dataclass(frozen=True, slots=True)
class Choice:
    """The builds of one pin that go into a container."""

    pin: Pin
    builds: tuple[Build, ...]
    with_gpu: bool = False
    """Shaders go with the builds that use graphics processors."""

    @property
    def folder(self) -> str:
        """The folder of its members, with a slash at its end."""
        return f"{ROOT}{self.pin.name}/{self.pin.version}/"


def choose(runtime: str, flavour: str = "") -> Choice:
    """The builds that ``NAME[@VERSION][:TARGET,…]`` means in ``flavour`` (empty: native), of those that are here.

    ``gpu`` means native builds too, and builds for graphics processors where the pin has them.
    UsageError that lists what there is, if there is no such pin, flavour or target.
    """
    from llamafile_format.engines.store import find_pin, is_here

    name, _, wanted = runtime.partition(":")
    flavour = flavour or FLAVOURS[0]
    if flavour not in FLAVOURS:
        raise UsageError(f"unknown flavour {flavour!r}", hint=f"flavours: {', '.join(FLAVOURS)}")
    pin = find_pin(name)
    flavours = _TOGETHER.get(flavour, (flavour,))
    there = [build for build in pin.builds if build.flavour.value in flavours and is_here(pin, build)]
    targets = list(dict.fromkeys(target.strip() for target in wanted.split(",") if target.strip()))
    known = {build.target for build in there}
    if missing := [target for target in targets if target not in known]:
        raise UsageError(
            f"there is no {'' if len(flavours) > 1 else flavour + ' '}build of {pin.key} for {', '.join(missing)} here",
            hint=f"there are builds for: {', '.join(sorted(known)) or 'nothing'}",
        )
    builds = tuple(build for build in there if not targets or build.target in targets)
    if not builds:
        raise UsageError(
            f"there is no {flavour} build of {pin.key} here", hint="name another, or pack with --prefix none"
        )
    _check_gpu(pin, builds, flavour)
    return Choice(pin, builds, with_gpu=flavour in ("gpu", "all"))


def _check_gpu(pin: Pin, builds: Sequence[Build], flavour: str) -> None:
    """UsageError if ``flavour`` asks for builds for graphics processors, and there are none that could be started."""
    found: dict[str, set[str]] = {}
    for build in builds:
        found.setdefault(build.flavour.value, set()).add(build.target)
    for_gpu = found.get("gpu", set())
    if flavour == "gpu" and not any(pin.uses_gpu(build) for build in builds):
        raise UsageError(
            f"there is no gpu build of {pin.key} here for what is packed",
            hint="leave --flavour out, or make one: llamafile-format runtimes build --flavour gpu",
        )
    if alone := sorted(for_gpu - found.get("native", set())):
        raise UsageError(f"the gpu build of {pin.key} for {alone[0]} needs the native one, which is not here")


def runtime_contents(choice: Choice, alignment: int, there: Mapping[str, Content] | None = None) -> list[Content]:
    """The members of ``choice``: builds, chat page (with native builds), shaders, licences and pin.

    A build that is ``there`` already, by path and digest, is taken from there and not unpacked.
    """
    from llamafile_format.engines.libraries import library_file
    from llamafile_format.engines.members import companion_path, runtime_path
    from llamafile_format.engines.pin import Flavour
    from llamafile_format.engines.store import document, licences, shaders, unpacked, webui

    pin, there = choice.pin, there or {}

    def member(path: str, role: str, source: ByteSource, expected: str = "") -> Content:
        """A member of the runtime, aligned for mapping if it is a build."""
        align = max(alignment, DEFAULT_ALIGNMENT) if role == "runtime" else 1
        return Content(path, role, media_type(path, role), source, align, expected=expected)

    found: list[Content] = []
    for build in choice.builds:
        path = runtime_path(pin, build.flavour, build.target)
        found.append(
            _same(there.get(path), "runtime", build.sha256)
            or member(path, "runtime", FileSource(unpacked(pin, build)), build.sha256)
        )
    page = pin.webui
    if page is not None and any(build.flavour is Flavour.NATIVE for build in choice.builds):
        path = companion_path(pin, PAGE)
        old = _same(there.get(path), "asset", page.sha256)
        found.append(old or member(path, "asset", FileSource(webui(pin)), page.sha256))
    if pin.shaders is not None and choice.with_gpu and any(pin.uses_gpu(build) for build in choice.builds):
        found.append(member(companion_path(pin, SHADERS), "asset", FileSource(shaders(pin))))
    for library in dict.fromkeys(one for build in choice.builds for one in pin.libraries_for(build.target)):
        path = companion_path(pin, library.path)
        old = _same(there.get(path), "asset", library.sha256)
        found.append(old or member(path, "asset", FileSource(library_file(pin, library)), library.sha256))
    found.append(member(companion_path(pin, LICENCES), "license", BytesSource(licences(pin), LICENCES)))
    found.append(member(companion_path(pin, PIN), "document", BytesSource(document(pin), PIN)))
    return found


def _same(old: Content | None, role: str, sha256: str) -> Content | None:
    same = old is not None and old.known is not None and (old.role, old.known.sha256.hex()) == (role, sha256)
    return old if same else None


def pins_among(contents: Iterable[Content]) -> list[Pin]:
    """The pins that ``contents`` carry as documents; those that cannot be read are left to ``verify``."""
    from llamafile_format.engines.embedded import MAX_PIN, is_pin_path, read_embedded
    from llamafile_format.errors import FormatError

    found = []
    for content in contents:
        if is_pin_path(content.path) and content.source.size <= MAX_PIN:
            with contextlib.suppress(FormatError):
                found.append(read_embedded(content.source.read_at(0, content.source.size), content.path))
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """A member to be, as the launcher sees it."""

    path: str
    role: str
    offset: int
    size: int
    sha256: str


def launcher_prefix(
    contents: Iterable[Content], default: str, *, sibling: Sibling | None = None, version: int = 0
) -> PrefixContent:
    """The launcher in front of ``contents``, in whatever order they come; ``version`` 0 is that of this release.

    Reads only builds whose digest nobody knows yet. UsageError if there is nothing that it could start.
    """
    from llamafile_format.engines.implied import LAUNCHER_VERSION, implied_launcher
    from llamafile_format.prefix.bootstrap import LAUNCHER_SIZES

    ordered = sorted(contents, key=lambda content: file_order(content.role, content.path))
    if not any(content.role == "runtime" for content in ordered):
        raise UsageError("there is no runtime that the launcher could start", hint="add one with --runtime llama.cpp")
    sizes = [(content.path, content.source.size, content.alignment) for content in ordered]
    version = version or LAUNCHER_VERSION
    places = plan(LAUNCHER_SIZES[version], sizes).members
    members = [
        _Place(content.path, content.role, placed.data_offset, placed.size, _digest(content))
        for content, placed in zip(ordered, places, strict=True)
    ]
    data = implied_launcher(members, default, version=version, sibling=sibling)
    return PrefixContent(LAUNCHER, BytesSource(data, LAUNCHER), sibling=sibling)


def _digest(content: Content) -> str:
    """SHA-256 of a runtime build; of other members the launcher says nothing."""
    if content.role != "runtime":
        return ""
    if content.known is not None:
        return content.known.sha256.hex()
    from llamafile_format.manifest.hashing import sha256_of

    return content.expected or sha256_of(content.source)


def strange_builds(contents: Iterable[Content]) -> tuple[str, ...]:
    """A note for each build that a launcher in front of ``contents`` would start and nobody here knows (14.3.4)."""
    from llamafile_format.engines.known import known_build

    strange = (each for each in contents if each.role == "runtime" and known_build(_digest(each)) is None)
    return tuple(f"{each.path} is a program that nobody here knows, and the new file starts it" for each in strange)


def targets_of(contents: Sequence[Content]) -> set[str]:
    """The targets that the runtime members among ``contents`` are for."""
    from llamafile_format.engines.members import parse_runtime_path

    names = (parse_runtime_path(content.path) for content in contents if content.role == "runtime")
    return {name.target for name in names if name is not None}
