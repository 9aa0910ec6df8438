"""Build the launcher prefix from what the manifest says about runtime builds (spec/1, 3.2.3 and 14.2).

Deterministic: the same builds and weights give the same bytes for ever. Nothing here reads a build or the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.prefix.bootstrap import (
    HEADER_SIZE,
    INDEX_OFFSET,
    LAUNCHER_SIZE,
    POLYGLOT,
    SLOTS_MAGIC,
    SLOTS_OFFSET,
    veiled,
)
from llamafile_format.prefix.launcher_elf import place_elf
from llamafile_format.prefix.launcher_index import (
    BUILD_UNIT,
    GPU,
    INDEX_SIZE,
    LauncherBuild,
    LauncherIndex,
    Sibling,
    in_order,
    read_index,
)
from llamafile_format.prefix.launcher_pe import relocate
from llamafile_format.prefix.launcher_script import SCRIPT_OFFSET, SCRIPT_SIZE, second_stage
from llamafile_format.prefix.launcher_templates import VERSIONS, template

__all__ = [
    "LAUNCHER_SIZE",
    "LauncherBuild",
    "LauncherIndex",
    "Region",
    "Sibling",
    "build_launcher",
    "read_index",
    "regions",
]

VERSION = 2
"""The version that this release writes."""
VEILED = 2
"""From this version on, headers are kept with their first byte inverted."""
WITHOUT_GPU = 2
"""From this version on, the index does not list builds that only another build may start."""
SECTIONS_OFFSET = SCRIPT_OFFSET + SCRIPT_SIZE
ELF_OFFSETS = {"x86_64": 0x10000, "aarch64": 0x20000}  # multiples of the largest page; each has 64 KiB of room
ELF_ROOM = 0x10000


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the launcher with a name: bytes [start, end)."""

    name: str
    start: int
    end: int


def build_launcher(
    builds: Sequence[LauncherBuild],
    weights: tuple[int, int] | None,
    version: int = VERSION,
    *,
    sibling: Sibling | None = None,
) -> bytes:
    """The launcher for ``builds``: LAUNCHER_SIZE bytes.

    ``weights`` is (offset, size) of the default model's data in the container, None where there is none. ``sibling``
    makes it the launcher of a small ``NAME.exe``: offsets of weights then count in ``NAME.llamafile``.
    Raises FormatError for a build that cannot be indexed, LimitExceeded for too many of them.
    """
    if version not in VERSIONS:
        raise FormatError(f"this release does not know version {version} of the launcher", clause="14.2.3")
    for build in builds:
        if build.offset % BUILD_UNIT or not 0 < build.size < 1 << 40 or not 0 < build.offset < 1 << 62:
            raise FormatError(
                f"the launcher cannot reach the build for {build.target}",
                clause="14.2.4",
                found=f"{build.size} bytes at {build.offset}",
                allowed=f"at a multiple of {BUILD_UNIT}",
            )
    listed = [build for build in builds if version < WITHOUT_GPU or build.flavour != GPU]
    index = LauncherIndex(version, in_order(listed), weights, sibling)
    headers, sections = relocate(template(version, "launcher.exe"), HEADER_SIZE, SECTIONS_OFFSET)
    launcher = bytearray(LAUNCHER_SIZE)
    _put(launcher, 0, POLYGLOT, HEADER_SIZE)
    _put(launcher, HEADER_SIZE, headers, INDEX_OFFSET - HEADER_SIZE)
    _put(launcher, INDEX_OFFSET, index.pack(), INDEX_SIZE)
    _put(launcher, SCRIPT_OFFSET, second_stage(template(version, "stage2.sh"), index), SCRIPT_SIZE)
    _put(launcher, SECTIONS_OFFSET, sections, SLOTS_OFFSET - SECTIONS_OFFSET)
    slots = [SLOTS_MAGIC.ljust(HEADER_SIZE, b"\0"), POLYGLOT]
    for processor, base in ELF_OFFSETS.items():
        header, image = place_elf(template(version, f"launcher-{processor}.elf"), base)
        slots.append(veiled(header) if version >= VEILED else header)
        _put(launcher, base, image, ELF_ROOM)
    _put(launcher, SLOTS_OFFSET, b"".join(slots), 0x10000 - SLOTS_OFFSET)
    return bytes(launcher)


def _put(launcher: bytearray, offset: int, data: bytes, room: int) -> None:
    if len(data) > room:
        raise LimitExceeded(
            "a part of the launcher is too long",
            clause="14.2.4",
            found=len(data),
            allowed=f"{room} bytes at {offset:#x}",
        )
    launcher[offset : offset + len(data)] = data


def regions() -> tuple[Region, ...]:
    """The parts of a launcher in file order; they tile [0, LAUNCHER_SIZE)."""
    starts = [
        ("bootstrap", 0),
        ("PE headers", HEADER_SIZE),
        ("index", INDEX_OFFSET),
        ("second stage", SCRIPT_OFFSET),
        ("PE sections", SECTIONS_OFFSET),
        ("swap slots", SLOTS_OFFSET),
        *((f"ELF launcher for {processor}", base) for processor, base in ELF_OFFSETS.items()),
        ("reserve", max(ELF_OFFSETS.values()) + ELF_ROOM),
        ("", LAUNCHER_SIZE),
    ]
    return tuple(Region(name, start, end) for (name, start), (_, end) in pairwise(starts))
