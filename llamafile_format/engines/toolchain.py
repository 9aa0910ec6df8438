"""The pinned compiler as a toolchain that CMake understands: five two-line scripts and one file (spec/1, 14.5.5)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from llamafile_format.engines.pin import Flavour, Pin, Target


def fill(text: str, places: Mapping[str, str]) -> str:
    """``text`` with every ``{name}`` of ``places`` filled in; other braces stay as they are."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def toolchain_files(pin: Pin, target: Target, flavour: Flavour, places: Mapping[str, str]) -> dict[str, str]:
    """The files of the toolchain by name: ``cc``, ``c++``, ``ar``, ``ranlib``, ``rc`` and ``toolchain.cmake``."""
    zig = shlex.quote(fill(pin.recipe.tools["zig"], places))
    kind = pin.flavours[flavour]
    flags = [fill(flag, places) for flag in (*pin.recipe.flags, *target.flags, *kind.flags)]
    words = " ".join(shlex.quote(word) for word in ("-target", target.zig, *flags))
    scripts = {"cc": f"cc {words}", "c++": f"c++ {words}", "ar": "ar", "ranlib": "ranlib", "rc": "rc"}
    files = {name: f'#!/bin/sh\nexec {zig} {command} "$@"\n' for name, command in scripts.items()}
    files["toolchain.cmake"] = _cmake(pin, target, kind.processor or target.processor, places)
    return files


def _cmake(pin: Pin, target: Target, processor: str, places: Mapping[str, str]) -> str:
    folder = places["toolchain"]
    variables = {"CMAKE_SYSTEM_NAME": target.system, "CMAKE_SYSTEM_PROCESSOR": processor}
    for language, compiler in (("C", "cc"), ("CXX", "c++")):
        variables[f"CMAKE_{language}_COMPILER"] = f"{folder}/{compiler}"
    variables["CMAKE_RC_COMPILER"] = f"{folder}/rc"
    cached = {}
    for tool in ("AR", "RANLIB"):
        for name in (f"CMAKE_{tool}", f"CMAKE_C_COMPILER_{tool}", f"CMAKE_CXX_COMPILER_{tool}"):
            cached[name] = f"{folder}/{tool.lower()}"
    variables["CMAKE_EXE_LINKER_FLAGS_INIT"] = " ".join(fill(flag, places) for flag in (*pin.recipe.link, *target.link))
    variables |= {name: fill(value, places) for name, value in {**pin.recipe.toolchain, **target.toolchain}.items()}
    lines = [f"set({name} {_quoted(value)})" for name, value in variables.items()]
    lines += [f'set({name} {_quoted(value)} CACHE FILEPATH "")' for name, value in cached.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """``value`` as one argument of CMake's language."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def write_toolchain(folder: Path, files: Mapping[str, str]) -> None:
    """Put ``files`` into ``folder``, which is emptied of anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in [path for path in folder.iterdir() if path.name not in files]:
        leftover.unlink()
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        path.chmod(0o644 if name.endswith(".cmake") else 0o755)
