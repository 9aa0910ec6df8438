"""The launcher's second stage: a POSIX shell script with one line for each build that a shell can start (14.2.5)."""

from __future__ import annotations

from llamafile_format.errors import LimitExceeded
from llamafile_format.prefix.launcher_index import BUILD_UNIT, SHELLS, LauncherBuild, LauncherIndex

SCRIPT_OFFSET = 0x1000
SCRIPT_SIZE = 0x2000
NATIVE = "native"
_BLOCK = 512
END_STEP = 100_000
"""Bytes: the second stage compares sizes in decimal steps, since not every shell counts with 64 bits."""


def second_stage(text: bytes, index: LauncherIndex) -> bytes:
    """The template ``text`` without comments and with its slots filled: SCRIPT_SIZE bytes, padded with blanks.

    LimitExceeded if there are more builds than the script has room for.
    """
    lines = [line.strip() for line in text.decode("ascii").splitlines()]
    script = "\n".join(line for line in lines if line and not line.startswith("#"))
    script = script.replace("@BUILDS@", "\n".join(_lines(index.builds)))
    script = script.replace("@TARGETS@", _targets(index.builds)).replace("@WEIGHTS@", _weights(index.weights))
    script = script.replace("@END@", str(index.end // END_STEP))  # from version 2 on
    data = script.encode("ascii")
    if len(data) >= SCRIPT_SIZE:
        raise LimitExceeded(
            "too many runtime builds for one launcher", clause="14.2.5", found=len(data), allowed=f"{SCRIPT_SIZE} bytes"
        )
    return data.ljust(SCRIPT_SIZE - 1) + b"\n"


def _lines(builds: tuple[LauncherBuild, ...]) -> list[str]:
    """A ``case`` item for each build; the one that starts in want of a native one needs no flavour."""
    result = []
    for build in builds:
        if build.target.partition("-")[0] not in SHELLS:
            continue
        pattern = f"{build.target}-{build.flavour}"
        if build.flavour != NATIVE and build is default_build(builds, build.target):
            pattern = f"{build.target}-|{pattern}"
        whole, rest = divmod(build.size, BUILD_UNIT)
        blocks, single = divmod(rest, _BLOCK)
        numbers = f"a={build.offset // BUILD_UNIT} b={whole} c={blocks} g={single}"
        result.append(f"{pattern}) {numbers} s={build.sha256};;")
    return result


def default_build(builds: tuple[LauncherBuild, ...], target: str) -> LauncherBuild | None:
    """The build that starts on ``target`` when the user names no flavour: native, else the first there is."""
    there = [build for build in builds if build.target == target]
    return next((build for build in there if build.flavour == NATIVE), there[0] if there else None)


def _targets(builds: tuple[LauncherBuild, ...]) -> str:
    """``linux-x86_64/native,reference windows-x86_64/native``: what the message about a missing build names."""
    flavours: dict[str, list[str]] = {}
    for build in builds:
        found = flavours.setdefault(build.target, [])
        if build.flavour not in found:
            found.append(build.flavour)
    return " ".join(f"{target}/{','.join(names)}" for target, names in flavours.items()) or "none"


def _weights(weights: tuple[int, int] | None) -> str:
    """The command that tells the runtime where the default model's data lies, or that there is none."""
    names = "LFF_WEIGHTS_OFFSET LFF_WEIGHTS_SIZE"
    if weights is None:
        return f"unset {names}"
    return f"LFF_WEIGHTS_OFFSET={weights[0]} LFF_WEIGHTS_SIZE={weights[1]}; export {names}"
