"""Mach-O headers: extent and processor of thin and universal files (Apple loader.h; spec/1, 3.4.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llamafile_format.prefix.facts import Evidence, View

MAGIC64 = b"\xcf\xfa\xed\xfe"
MAGIC32 = b"\xce\xfa\xed\xfe"
UNIVERSAL = b"\xca\xfe\xba\xbe"
MAX_COMMAND_BYTES = 1 << 16
MAX_ARCHITECTURES = 16  # Java class files share the magic; their next u32 is a version of 45 and more

_CPUS = {0x01000007: "x86_64", 0x0100000C: "aarch64", 7: "i386", 12: "arm"}
_SEGMENT32, _SEGMENT64, _SYMTAB = 0x1, 0x19, 0x2
_LINKEDIT = {0x1D: "code signature", 0x26: "function starts", 0x29: "data in code", 0x1E: "split info"}


@dataclass(frozen=True, slots=True)
class MachoImage:
    """One Mach-O program: header at ``offset`` and the absolute file ranges it claims.

    ``writable_code`` are its segments that are mapped writable and executable at once.
    """

    offset: int
    machine: str
    evidence: tuple[Evidence, ...]
    writable_code: tuple[Evidence, ...] = ()

    @property
    def end(self) -> int:
        """First byte behind everything that the load commands name."""
        return max((item.end for item in self.evidence), default=self.offset)


def cpu(head: bytes) -> str:
    """The processor of the Mach-O header in ``head`` (at least 8 bytes), or an empty string if it is not one."""
    if len(head) < 8 or head[:4] not in (MAGIC64, MAGIC32):
        return ""
    (kind,) = struct.unpack_from("<I", head, 4)
    return _CPUS.get(kind, f"cpu-{kind:#x}")


def parse(view: View, offset: int) -> MachoImage | None:
    """The thin Mach-O at ``offset``, or None. Offsets inside load commands count from ``offset``."""
    head = view.take(offset, 28)
    machine = cpu(head or b"")
    if head is None or not machine:
        return None
    header_size = 32 if head[:4] == MAGIC64 else 28
    count, length = struct.unpack_from("<II", head, 16)
    commands = view.take(offset + header_size, length) if length <= MAX_COMMAND_BYTES else None
    if commands is None or count * 8 > length:
        return None
    evidence = [Evidence("Mach-O load commands", offset, offset + header_size + length)]
    both = []
    at = 0
    for _ in range(count):
        if at + 8 > length:
            return None
        kind, size = struct.unpack_from("<II", commands, at)
        if size < 8 or at + size > length:
            return None
        for what, start, extent in _command_ranges(kind, commands[at : at + size]):
            if extent:
                evidence.append(Evidence(what, offset + start, offset + start + extent))
                if _both(kind, commands[at : at + size]):
                    both.append(evidence[-1])
        at += size
    return MachoImage(offset, machine, tuple(evidence), tuple(both))


def _both(kind: int, command: bytes) -> bool:
    """True for a segment that is mapped writable and executable at once (``initprot``)."""
    at = {_SEGMENT64: 60, _SEGMENT32: 44}.get(kind, len(command))
    return len(command) >= at + 4 and struct.unpack_from("<I", command, at)[0] & 6 == 6


def _command_ranges(kind: int, command: bytes) -> list[tuple[str, int, int]]:
    """(what, file offset, length) for each range that one load command names."""
    if kind == _SEGMENT64 and len(command) >= 72:
        start, extent = struct.unpack_from("<QQ", command, 40)
    elif kind == _SEGMENT32 and len(command) >= 56:
        start, extent = struct.unpack_from("<II", command, 32)
    elif kind in _LINKEDIT and len(command) >= 16:
        start, extent = struct.unpack_from("<II", command, 8)
        return [(f"Mach-O {_LINKEDIT[kind]}", start, extent)]
    elif kind == _SYMTAB and len(command) >= 24:
        symbols, count, strings, size = struct.unpack_from("<IIII", command, 8)
        return [("Mach-O symbols", symbols, 16 * count), ("Mach-O strings", strings, size)]
    else:
        return []
    name = command[8:24].rstrip(b"\0").decode("ascii", "backslashreplace")
    return [(f"Mach-O segment {name}", start, extent)]


def parse_universal(view: View) -> tuple[MachoImage, ...] | None:
    """The programs of a universal file at offset 0, or None if it is none; an unreadable slice still counts."""
    head = view.take(0, 8)
    if head is None or head[:4] != UNIVERSAL:
        return None
    (count,) = struct.unpack_from(">I", head, 4)
    table = view.take(8, 20 * count) if 0 < count <= MAX_ARCHITECTURES else None
    if table is None:
        return None
    found = []
    for row in range(0, len(table), 20):
        kind, _, start, size, _ = struct.unpack_from(">IIIII", table, row)
        slice_ = Evidence("Mach-O universal slice", start, start + size)
        found.append(MachoImage(start, _CPUS.get(kind, f"cpu-{kind:#x}"), (slice_,)))
    return tuple(found)
