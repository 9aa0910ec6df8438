"""PE headers: where the image ends in the file, and whether it is signed (Microsoft PE/COFF; spec/1, 3.4.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llamafile_format.prefix.facts import Evidence, View

MAX_SECTIONS = 96  # the Windows loader's own limit
CERTIFICATE_DIRECTORY = 4
_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i386", 0x1C4: "arm"}


@dataclass(frozen=True, slots=True)
class PeImage:
    """A PE image. ``offset`` is that of ``PE\\0\\0``; ``certificate`` (offset, length) of its Authenticode block."""

    offset: int
    machine: str
    evidence: tuple[Evidence, ...]
    certificate: tuple[int, int] | None

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
    for row in range(sections):
        size, pointer = struct.unpack_from("<II", table, 40 * row + 16)
        if size and pointer:
            name = table[40 * row : 40 * row + 8].rstrip(b"\0").decode("ascii", "backslashreplace")
            evidence.append(Evidence(f"PE section {name}", pointer, pointer + size))
    return PeImage(
        offset, _MACHINES.get(machine, f"machine-{machine:#x}"), tuple(evidence), _certificate(optional, magic)
    )


def _certificate(optional: bytes, magic: int) -> tuple[int, int] | None:
    """(file offset, size) of the certificate table: the one directory that holds a file offset, not an address."""
    count_at = 92 if magic == 0x10B else 108
    at = count_at + 4 + 8 * CERTIFICATE_DIRECTORY
    if len(optional) < at + 8:
        return None
    (count,) = struct.unpack_from("<I", optional, count_at)
    offset, size = struct.unpack_from("<II", optional, at)
    return (offset, size) if count > CERTIFICATE_DIRECTORY and size else None
