"""The pins and builds that this installation has, and programs unpacked from them (spec/1, 14.5)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from llamafile_format.engines.pin import Build, Licence, Page, Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.versions import version_key
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.specdata import runtimes_dir

_LONGEST_TEXT = 1 << 22  # bytes of a licence; the longest is that of what ONNX Runtime contains, a third of a million


def pins_dir() -> Path:
    """Folder of the pins: that of this installation, or the one that ``LFF_RUNTIMES`` names in its place."""
    named = os.environ.get("LFF_RUNTIMES", "")
    return Path(named) if named else runtimes_dir()


def pins() -> tuple[Pin, ...]:
    """Every pin of this installation, by name, newest version first."""
    return _pins_in(pins_dir())


@cache
def _pins_in(folder: Path) -> tuple[Pin, ...]:
    found = [load_pin(path) for path in sorted(folder.glob("*/*/runtime.yaml"))]
    found.sort(key=lambda pin: version_key(pin.version), reverse=True)
    return tuple(sorted(found, key=lambda pin: pin.name))


def find_pin(name: str) -> Pin:
    """The pin ``NAME@VERSION``, or the newest of ``NAME`` (14.5.12). UsageError that lists what there is."""
    engine, _, version = name.partition("@")
    found = [pin for pin in pins() if pin.name == engine and version in ("", pin.version)]
    for pin in (*(pin for pin in found if pin.complete), *found):
        return pin
    there = ", ".join(pin.key for pin in pins()) or "none"
    raise UsageError(f"there is no pinned runtime {name}", hint=f"there is: {there}")


def is_here(pin: Pin, build: Build | Page) -> bool:
    """Does this installation carry the build, or only its digest?"""
    return _place(pin, build) is not None


def read_build(pin: Pin, build: Build | Page) -> bytes:
    """The decompressed bytes of a build or of the chat page, checked. FormatError if they are damaged."""
    import hashlib

    from llamafile_format.engines.packed import pieces
    from llamafile_format.errors import FormatError

    data = b"".join(pieces(_file(pin, build), build.size))
    if len(data) != build.size or hashlib.sha256(data).hexdigest() != build.sha256:
        raise FormatError(f"{_file(pin, build)} is damaged", allowed=f"{build.sha256}, {build.size} bytes")
    return data


def unpacked(pin: Pin, build: Build) -> Path:
    """The program of ``build``, decompressed and checked, in the private cache; ready to be started."""
    return _cached(pin, build, "runtime")


def held(pin: Pin, build: Build) -> tuple[Path, int]:
    """As :func:`unpacked`, with a descriptor of the very file that was checked; the caller closes it."""
    from llamafile_format.engines.cache import hold
    from llamafile_format.engines.packed import pieces

    file = _file(pin, build)
    return hold(build.sha256, build.size, lambda: pieces(file, build.size))


def webui(pin: Pin) -> Path:
    """The archive of the chat page, decompressed and checked, in the private cache."""
    if pin.webui is None:
        raise UsageError(f"{pin.key} has no chat page")
    return _cached(pin, pin.webui, "webui.tar")


def shaders(pin: Pin) -> Path:
    """The shaders as they are kept and carried: one compressed frame, checked. FormatError if it is damaged."""
    from llamafile_format.engines.packed import frame_differs
    from llamafile_format.errors import FormatError

    if pin.shaders is None:
        raise UsageError(f"{pin.key} has no shaders")
    path = _file(pin, pin.shaders)
    if reason := frame_differs(path.read_bytes(), pin.shaders.sha256, pin.shaders.size):
        raise FormatError(f"{path} is damaged: {reason}")
    return path


def licences(pin: Pin) -> bytes:
    """The licences of everything in the builds of ``pin``: one text, for a member of role ``licence``."""
    parts = [f"Licences of what is in the programs of {pin.key}\n"]
    for licence in pin.licences:
        text = licence_text(pin, licence).rstrip()
        parts.append(
            f"{'=' * 78}\n{licence.component}\nSPDX-License-Identifier: {licence.spdx}\n{reach(licence)}\n\n{text}\n"
        )
    return "\n".join(parts).encode()


def licence_text(pin: Pin, licence: Licence) -> str:
    """The text of a licence, which lies beside its pin, a long one compressed (14.5.7)."""
    from llamafile_format.engines.packed import pieces
    from llamafile_format.errors import FormatError

    path = pin.folder / licence.text
    if path.is_file():
        return path.read_text(encoding="utf-8")
    packed = path.with_name(f"{path.name}.zst")
    if not packed.is_file():
        raise SourceError(f"{path}, a licence of {pin.key}, is not here", hint="this installation is not whole")
    data = b"".join(pieces(packed, _LONGEST_TEXT))
    if len(data) > _LONGEST_TEXT:
        raise FormatError(f"{packed} is damaged", allowed=f"a text of at most {_LONGEST_TEXT} bytes")
    return data.decode()


def reach(licence: Licence) -> str:
    """The line of the licences that says in which programs the component is."""
    return f"(in the programs for {', '.join(licence.targets)})" if licence.targets else "(in every program)"


def document(pin: Pin) -> bytes:
    """The pin as it is written, for a member of role ``document``."""
    return (pin.folder / "runtime.yaml").read_bytes()


def _cached(pin: Pin, build: Build | Page, name: str) -> Path:
    from llamafile_format.engines.cache import place
    from llamafile_format.engines.packed import pieces

    file = _file(pin, build)
    return place(build.sha256, build.size, lambda: pieces(file, build.size), name)


def _file(pin: Pin, build: Build | Page) -> Path:
    path = _place(pin, build)
    if path is None:
        missing = pin.folder / build.file
        raise SourceError(f"{missing} is not here", hint=f"llamafile-format runtimes build {pin.key} makes it again")
    return path


def _place(pin: Pin, build: Build | Page) -> Path | None:
    """Where a build or a companion lies: beside its pin, or beside another that has the same page or shaders."""
    beside: list[tuple[Pin, Build | Page]] = [(pin, build)]
    if isinstance(build, Page):
        others = [(other, one) for other in _pins_in(pin.folder.parent.parent) for one in (other.webui, other.shaders)]
        beside += [(other, one) for other, one in others if one is not None and one.sha256 == build.sha256]
    return next((path for of, one in beside if (path := of.folder / one.file).is_file()), None)
