"""The launcher's index: which build for which system lies where (spec/1, 14.2.4). Read by native launchers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.prefix.bootstrap import INDEX_MAGIC, INDEX_OFFSET

INDEX_SIZE = 0x0C00
HEADER = struct.Struct("<8sIIII QQ QQ 32s 104x")  # 192 bytes
ENTRY = struct.Struct("<20s12sQQ32s")  # 80 bytes
MAX_BUILDS = (INDEX_SIZE - HEADER.size) // ENTRY.size
BUILD_UNIT = 1 << 16  # bytes; the second stage counts in blocks, and Windows maps in these steps
SHELLS = ("linux", "macos", "freebsd", "netbsd", "openbsd")
"""Systems whose shells run the bootstrap."""
STARTED = (*SHELLS, "windows")
"""Systems on which a launcher starts something."""
GPU = "gpu"
"""The flavour of builds that a native build starts, and no launcher (14.2.11)."""
EXTERNAL = 1  # flag: weights and container are another file, which the index binds by its manifest


@dataclass(frozen=True, slots=True)
class LauncherBuild:
    """One build of a runtime in the container: [offset, offset + size), absolute, ``offset`` a multiple of 65536.

    ``target`` and ``flavour`` are words such as ``linux-x86_64`` and ``native``; ``sha256`` is hex.
    """

    target: str
    flavour: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Sibling:
    """The container ``NAME.llamafile`` that a small ``NAME.exe`` opens (14.4): where its manifest lies, and its digest.

    ``offset`` and ``size`` are bytes; ``sha256`` is hex.
    """

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LauncherIndex:
    """What an index says. ``weights`` is (offset, size) of the default model's data, None where there is none."""

    version: int
    builds: tuple[LauncherBuild, ...]
    weights: tuple[int, int] | None = None
    sibling: Sibling | None = None

    @property
    def end(self) -> int:
        """Bytes that the file itself must have at least: all builds are in it, and the model if none lies beside it."""
        model = sum(self.weights) if self.weights and not self.sibling else 0
        return max([model, *(build.offset + build.size for build in self.builds)])

    def pack(self) -> bytes:
        """The index's INDEX_SIZE bytes. LimitExceeded for too many builds; FormatError for names that do not fit."""
        if len(self.builds) > MAX_BUILDS:
            raise LimitExceeded(
                "too many runtime builds for one launcher",
                clause="14.2.4",
                found=len(self.builds),
                allowed=str(MAX_BUILDS),
            )
        sibling = self.sibling or Sibling(0, 0, "00" * 32)
        head = HEADER.pack(
            INDEX_MAGIC,
            self.version,
            EXTERNAL if self.sibling else 0,
            len(self.builds),
            ENTRY.size,
            *(self.weights or (0, 0)),
            sibling.offset,
            sibling.size,
            bytes.fromhex(sibling.sha256),
        )
        return (head + b"".join(map(_pack_entry, self.builds))).ljust(INDEX_SIZE, b"\0")


def read_index(prefix: bytes) -> LauncherIndex | None:
    """The index in ``prefix`` (its first 4 KiB suffice), None where there is none or its form is not that of 14.2.4.

    Whether it says the truth is not looked at here.
    """
    if len(prefix) < INDEX_OFFSET + INDEX_SIZE:
        return None
    values = HEADER.unpack_from(prefix, INDEX_OFFSET)
    magic, version, flags, count, entry, weights_offset, weights_size, offset, size, sha256 = values
    if magic != INDEX_MAGIC or entry != ENTRY.size or count > MAX_BUILDS:
        return None
    first = INDEX_OFFSET + HEADER.size
    builds = tuple(_read_entry(prefix, first + row * ENTRY.size) for row in range(count))
    weights = (weights_offset, weights_size) if weights_offset or weights_size else None
    return LauncherIndex(version, builds, weights, Sibling(offset, size, sha256.hex()) if flags & EXTERNAL else None)


def _pack_entry(build: LauncherBuild) -> bytes:
    return ENTRY.pack(
        _word(build.target, 20), _word(build.flavour, 12), build.offset, build.size, bytes.fromhex(build.sha256)
    )


def _word(text: str, size: int) -> bytes:
    """``text`` with at least one NUL behind it, so that C reads a string."""
    data = text.encode("ascii", "replace")
    if not 0 < len(data) < size or not all(c in _LETTERS for c in data):
        raise FormatError(f"{text!r} cannot stand in a launcher's index", clause="14.2.4")
    return data


_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")


def _read_entry(data: bytes, at: int) -> LauncherBuild:
    target, flavour, offset, size, sha256 = ENTRY.unpack_from(data, at)
    return LauncherBuild(_text(target), _text(flavour), offset, size, sha256.hex())


def _text(word: bytes) -> str:
    return word.rstrip(b"\0").decode("ascii", "backslashreplace")


def in_order(builds: Sequence[LauncherBuild]) -> tuple[LauncherBuild, ...]:
    """``builds`` in the order of the index: as they lie in the file. The first of a target and flavour is started."""
    return tuple(sorted(builds, key=lambda build: (build.offset, build.target, build.flavour)))
