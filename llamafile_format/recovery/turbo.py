"""Recovery slices by par2cmdline-turbo, several times faster than numpy, where that program is there.

It only computes, as a program of its own (its licence is the GPL); repair is always ours. What it made is taken if it
read the bytes that we read, by the sums of every slice, and if a sample of columns is what the definition says
(spec/1, 17.3.2); otherwise it is as if the program were not there.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from llamafile_format.errors import LlamafileError
from llamafile_format.recovery.encode import Encoded, Place, padded, write_heads
from llamafile_format.recovery.field import EXP, LOG, ORDER, Elements, constants
from llamafile_format.recovery.geometry import Geometry
from llamafile_format.recovery.packets import HEAD, SLICE, SUMS, Packet, packets_in
from llamafile_format.source import BytesSource, FileSource

LEAST = 64 << 20
"""Bytes from which on starting another program pays."""

_MEMORY = 256  # MB that it may take
_SAMPLE = 64  # bytes of each slice, at three places
_BLOCK = 4 << 20


@functools.cache
def program() -> Path | None:
    """The program ``par2`` of this Python's environment or of PATH, if it is turbo."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    found = shutil.which("par2", path=places)
    if found is None:
        return None
    try:
        told = subprocess.run([found, "-V"], capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if "par2cmdline-turbo" in told.stdout else None


def write_slices_by_turbo(source: FileSource, path: Path, encoded: Encoded, place: Place, made: Path) -> bool:
    """Write each recovery slice of ``source``, the file ``path``, as a packet at its ``place``; False, with nothing
    that counts written, if turbo is not there or what it makes cannot be taken.

    Its output goes through ``made``, an empty folder, where there has to be room for the recovery data once more.
    """
    if source.size < LEAST or program() is None:
        return False
    with ExitStack() as stack:
        if not _ran(path, encoded.geometry, made):
            return False
        files = [stack.enter_context(FileSource(each)) for each in sorted(made.glob("*.par2"))]
        try:
            packets = [each for file in files for each in packets_in(file)]
        except LlamafileError:
            return False
        slices = {int.from_bytes(p.source.read_at(p.offset, 4), "little"): p for p in packets if p.kind == SLICE}
        if not _read_the_same(packets, encoded) or not _as_defined(source, encoded.geometry, slices):
            return False
        for exponent, slice_ in slices.items():
            out, at = place(exponent)
            for start in range(4, slice_.size, _BLOCK):
                data = slice_.source.read_at(slice_.offset + start, min(_BLOCK, slice_.size - start))
                out.write(at + HEAD.size + start, data)
    write_heads(encoded, place)
    return True


def _ran(path: Path, geometry: Geometry, made: Path) -> bool:
    """Have turbo make a set with this geometry over the file ``path`` in the folder ``made``."""
    command = [str(program()), "create", "-q", "-q", f"-m{_MEMORY}", "-B", "/", "-n1"]
    command += [f"-s{geometry.slice_size}", f"-c{geometry.recovery}", "-a", str(made.resolve() / "x.par2")]
    try:
        done = subprocess.run(
            [*command, "--", str(path.resolve())], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def _read_the_same(packets: list[Packet], encoded: Encoded) -> bool:
    """Did it read what we read? Its sums of all slices are ours; in front of them is the id of the file."""
    ours = next(each.body for each in packets_in(BytesSource(encoded.critical)) if each.kind == SUMS)
    theirs = [each for each in packets if each.kind == SUMS]
    return bool(theirs) and all(each.size == len(ours) and each.body[16:] == ours[16:] for each in theirs)


def _as_defined(source: FileSource, geometry: Geometry, slices: Mapping[int, Packet]) -> bool:
    """Are there all slices, of their size, and are columns at both ends and somewhere between what they should be?"""
    if sorted(slices) != list(range(geometry.recovery)):
        return False
    if any(each.size != 4 + geometry.slice_size for each in slices.values()):
        return False
    last = geometry.slice_size - _SAMPLE
    read, logs = padded(source, geometry), constants(geometry.slices)
    for offset in (0, secrets.randbelow(last // 2 + 1) * 2, last):
        joined = b"".join(read(index, offset, _SAMPLE) for index in range(geometry.slices))
        values = np.frombuffer(joined, np.dtype("<u2")).reshape(geometry.slices, -1)
        for exponent, each in slices.items():
            found = each.source.read_at(each.offset + 4 + offset, _SAMPLE)
            if found != _sum(values, logs * exponent).astype("<u2", copy=False).tobytes():
                return False
    return True


def _sum(values: Elements, powers: np.typing.NDArray[np.int64]) -> Elements:
    """The sum of rows, each times 2 to its power: by the definition, element by element."""
    products = EXP[LOG[values] + (powers % ORDER)[:, None]]
    total: Elements = np.bitwise_xor.reduce(products, axis=0)
    return total
