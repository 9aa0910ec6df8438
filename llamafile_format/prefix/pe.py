"""PE headers: where the image ends in the file, and whether it is signed (Microsoft PE/COFF; spec/1, 3.4.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llamafile_format.prefix.facts import Evidence, View

MAX_SECTIONS = 96  # the Windows loader's own limit
CERTIFICATE_DIRECTORY = 4
WRITABLE_CODE = 0xA000_0000  # IMAGE_SCN_MEM_WRITE and IMAGE_SCN_MEM_EXECUTE
_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i386", 0x1C4: "arm"}


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the section table: ``size`` bytes of file at ``offset``, both 0 for a section without any; ``at`` is
    where the row stands."""

    name: str
    offset: int
    size: int
    writable_code: bool
    at: int


@dataclass(frozen=True, slots=True)
class PeImage:
    """A PE image. ``offset`` is that of ``PE\\0\\0``; ``certificate`` (offset, length) of its Authenticode block."""

    offset: int
    machine: str
    evidence: tuple[Evidence, ...]
    certificate: tuple[int, int] | None
    sections: tuple[Section, ...] = ()

    @property
    def end(self) -> int:
        """First byte behind everything that the headers map, without the certificate."""
        return max((item.end for item in self.evidence), default=0)


def parse(view: View, offset: int) -> PeImage | None:
    """The PE image whose headers start at ``offset`` (the value of ``e_lfanew``), or None if there is none."""
    head = view.take(offset, 24)
    if head is None or head[:4] != b"PE\0\0":
        return None
    machine, sections, _, _, _, optional_size, _ = struct.unpack_from("<HHIIIHH", head, 4)
    optional = view.take(offset + 24, optional_size)
    table_at = offset + 24 + optional_size
    table = view.take(table_at, 40 * sections)
    if optional is None or table is None or sections > MAX_SECTIONS or optional_size < 64:
        return None
    (magic,) = struct.unpack_from("<H", optional)
    if magic not in (0x10B, 0x20B):
        return None
    evidence = [Evidence("PE headers", offset, table_at + 40 * sections)]
    rows = tuple(_section(table, 40 * row, table_at) for row in range(sections))
    evidence += [
        Evidence(f"PE section {each.name}", each.offset, each.offset + each.size) for each in rows if each.size
    ]
    name = _MACHINES.get(machine, f"machine-{machine:#x}")
    return PeImage(offset, name, tuple(evidence), _certificate(optional, magic), rows)


def _section(table: bytes, at: int, base: int) -> Section:
    """The row of ``table`` at ``at``; ``base`` is where the table stands in the file."""
    size, pointer, flags = struct.unpack_from("<II12xI", table, at + 16)
    name = table[at : at + 8].rstrip(b"\0").decode("ascii", "backslashreplace")
    there = size and pointer
    both = flags & WRITABLE_CODE == WRITABLE_CODE
    return Section(name, pointer if there else 0, size if there else 0, both, base + at)


def _certificate(optional: bytes, magic: int) -> tuple[int, int] | None:
    """(file offset, size) of the certificate table: the one directory that holds a file offset, not an address."""
    count_at = 92 if magic == 0x10B else 108
    at = count_at + 4 + 8 * CERTIFICATE_DIRECTORY
    if len(optional) < at + 8:
        return None
    (count,) = struct.unpack_from("<I", optional, count_at)
    offset, size = struct.unpack_from("<II", optional, at)
    return (offset, size) if count > CERTIFICATE_DIRECTORY and size else None
