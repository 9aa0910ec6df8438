"""Recovery sets: packets that belong together, read within bounds (spec/1, 17.6).

Every number is compared with what the standard and this library allow before anything is allocated or computed by it.
The name of a file in a set is a label: it never becomes a path.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from llamafile_format.errors import FormatError
from llamafile_format.limits import MANIFEST_BYTES
from llamafile_format.recovery.geometry import MAX_EXPONENT, MAX_LENGTH, MAX_PERCENT, MAX_SLICES, Geometry
from llamafile_format.recovery.packets import FILE, HEAD, MAIN, SKELETON, SLICE, SUMS, Packet, leading
from llamafile_format.source import ByteSource

NAME = b"covered.bin"
"""What the protected range is called in a set inside a container."""

HASHED_FIRST = 16_384  # bytes whose MD5 is part of the file's id
MAX_SETS = 16
"""Sets in one search; more are not looked at."""

_MAIN = struct.Struct("<QI16s")
_FILE = struct.Struct("<16s16s16sQ")
_SUM = struct.Struct("<16sI")
_SKELETON = struct.Struct("<QQ")
_MAX_NAME = 4096
_CAPS = {
    MAIN: (_MAIN.size, _MAIN.size + 16 * MAX_SLICES),
    FILE: (_FILE.size, _FILE.size + _MAX_NAME),
    SUMS: (16 + _SUM.size, 16 + _SUM.size * MAX_SLICES),
    SKELETON: (_SKELETON.size, _SKELETON.size + MANIFEST_BYTES + 4),
}
"""Least and most bytes of the bodies that are read into memory."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What says that a slice, filled up with zeros, is intact."""

    md5: bytes
    crc32: int


@dataclass(frozen=True, slots=True)
class RecoverySet:
    """One file's set. ``parity`` has the data of each recovery slice that was found, by its exponent, as a packet whose
    first four bytes are the exponent. ``skeleton`` is empty in a set that covers whole files."""

    set_id: bytes
    name: str
    geometry: Geometry
    md5: bytes
    sums: tuple[Sum, ...]
    parity: dict[int, Packet]
    skeleton: bytes = b""
    percent: int = 0


@dataclass(slots=True)
class _Gathered:
    """Packets of one set: the first intact one of each kind, and all recovery slices."""

    critical: dict[bytes, bytes] = field(default_factory=dict)
    parity: dict[int, Packet] = field(default_factory=dict)
    sizes: set[int] = field(default_factory=set)


def sets_of(found: Iterable[Packet]) -> list[RecoverySet]:
    """The complete sets that ``found`` packets make up, those with most recovery slices first.

    Incomplete and contradictory ones are left out; :func:`read_set` says of a single one why.
    """
    gathered = gather(found)
    result = []
    for set_id, packets in gathered.items():
        try:
            result.append(read_set(set_id, packets))
        except FormatError:
            continue
    return sorted(result, key=lambda each: (-len(each.parity), each.set_id))


def gather(found: Iterable[Packet]) -> dict[bytes, _Gathered]:
    """Packets by set; of at most :data:`MAX_SETS` sets."""
    gathered: dict[bytes, _Gathered] = {}
    for packet in found:
        if packet.set_id not in gathered and len(gathered) == MAX_SETS:
            continue
        _take(gathered.setdefault(packet.set_id, _Gathered()), packet)
    return gathered


def _take(into: _Gathered, packet: Packet) -> None:
    if packet.kind in _CAPS:
        least, most = _CAPS[packet.kind]
        if least <= packet.size <= most and packet.kind not in into.critical:
            into.critical[packet.kind] = packet.body
    elif packet.kind == SLICE and packet.size > 4:
        (exponent,) = struct.unpack("<I", packet.source.read_at(packet.offset, 4))
        if exponent <= MAX_EXPONENT:
            into.parity.setdefault(exponent, packet)


def read_set(set_id: bytes, packets: _Gathered) -> RecoverySet:
    """The set that ``packets`` make up. FormatError if it is incomplete, contradictory, or covers several files."""
    missing = [kind for kind in (MAIN, FILE, SUMS) if kind not in packets.critical]
    if missing:
        raise FormatError("a recovery set lacks its critical packets", clause="17.1.2")
    main, file, sums = (packets.critical[kind] for kind in (MAIN, FILE, SUMS))
    slice_size, count, file_id = _MAIN.unpack_from(main)
    if hashlib.md5(main, usedforsecurity=False).digest() != set_id or count != 1 or len(main) != _MAIN.size:
        raise FormatError("a recovery set covers more than one file, or has another id", clause="17.1.3")
    described, md5, first, length = _FILE.unpack_from(file)
    name = file[_FILE.size :].rstrip(b"\0")
    digest = hashlib.md5(first + struct.pack("<Q", length) + name, usedforsecurity=False).digest()
    if described != file_id or digest != file_id or sums[:16] != file_id:
        raise FormatError("a recovery set describes another file than it names", clause="17.1.3")
    if not 0 < length <= MAX_LENGTH or not 0 < slice_size <= MAX_LENGTH or slice_size % 4:
        raise FormatError("a recovery set names impossible sizes", clause="17.6")
    slices = -(-length // slice_size)
    if slices > MAX_SLICES or len(sums) != 16 + _SUM.size * slices:
        raise FormatError("a recovery set has another number of slices than its sizes imply", clause="17.6")
    percent, skeleton = _skeleton(packets.critical.get(SKELETON, b""))
    parity = {exponent: each for exponent, each in packets.parity.items() if each.size == slice_size + 4}
    return RecoverySet(
        set_id=set_id,
        name=name.decode("utf-8", "backslashreplace"),
        geometry=Geometry(length, slice_size, len(parity)),
        md5=md5,
        sums=tuple(Sum(*_SUM.unpack_from(sums, at)) for at in range(16, len(sums), _SUM.size)),
        parity=parity,
        skeleton=skeleton,
        percent=percent,
    )


def _skeleton(body: bytes) -> tuple[int, bytes]:
    """Percent and skeleton of our own packet; of none, or one that makes no sense, 0 and nothing."""
    if len(body) < _SKELETON.size:
        return 0, b""
    percent, size = _SKELETON.unpack_from(body)
    rest = body[_SKELETON.size :]
    if not 0 < percent <= MAX_PERCENT or len(rest) != size + -size % 4:
        return 0, b""
    return percent, rest[:size]


def critical_bodies(
    name: bytes, geometry: Geometry, md5: bytes, first: bytes, sums: Sequence[Sum], *, percent: int, skeleton: bytes
) -> tuple[bytes, dict[bytes, bytes]]:
    """The id of a set over one file, and the bodies of its critical packets by kind, in their order."""
    file_id = hashlib.md5(first + struct.pack("<Q", geometry.length) + name, usedforsecurity=False).digest()
    main = _MAIN.pack(geometry.slice_size, 1, file_id)
    bodies = {
        MAIN: main,
        FILE: _FILE.pack(file_id, md5, first, geometry.length) + name,
        SUMS: file_id + b"".join(_SUM.pack(each.md5, each.crc32) for each in sums),
        SKELETON: _SKELETON.pack(percent, len(skeleton)) + skeleton,
    }
    return hashlib.md5(main, usedforsecurity=False).digest(), bodies


def leading_set(member: ByteSource) -> RecoverySet | None:
    """The set whose critical packets ``member`` begins with, without its recovery slices; None if there is none."""
    return next(iter(sets_of(leading(member, HEAD.size + _CAPS[SKELETON][1]))), None)


def recovery_percent(member: ByteSource) -> int:
    """What the set in ``member`` says that it protects; 0 if it cannot be read."""
    found = leading_set(member)
    return found.percent if found else 0
