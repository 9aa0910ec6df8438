"""ELF headers, as far as the extent and the target of a program need them (System V ABI; spec/1, 3.4.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llamafile_format.prefix.facts import Evidence, View

MAGIC = b"\x7fELF"
HEADER_SIZE = 64
MAX_PROGRAM_HEADERS = 128  # real engines have 5 to 12; the count is a u16, so an attacker could ask for 65,535
MAX_SECTION_HEADERS = 1024
MAX_NOTE = 4096

PT_LOAD = 1
PT_DYNAMIC = 2
PT_INTERP = 3
PT_NOTE = 4
SHT_NOBITS = 8
ET_EXEC = 2
ET_DYN = 3
OSABI_FREEBSD = 9

_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}
_OSABI = {0: "linux", 3: "linux", 2: "netbsd", 9: "freebsd", 12: "openbsd"}


@dataclass(frozen=True, slots=True)
class ElfHeader:
    """The fields of an ELF header that matter here. Offsets are as stored (file offsets)."""

    bits: int
    big_endian: bool
    osabi: int
    type: int
    machine: str
    phoff: int
    shoff: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: ``size`` bytes of file at ``offset`` mapped to ``memory_size`` bytes at ``address``.

    ``flags`` is 1 for executable, 2 for writable, 4 for readable.
    """

    type: int
    offset: int
    address: int
    size: int
    memory_size: int
    flags: int = 0

    @property
    def writable_code(self) -> bool:
        """True if the segment is mapped writable and executable at once."""
        return self.type == PT_LOAD and self.flags & 3 == 3


def parse_header(head: bytes) -> ElfHeader | None:
    """The ELF header at the start of ``head``, or None if it is not one (magic, class, byte order, length)."""
    if len(head) < 52 or head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    bits = 64 if head[4] == 2 else 32
    if bits == 64 and len(head) < HEADER_SIZE:
        return None
    order = ">" if head[5] == 2 else "<"
    layout = order + ("HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH")
    kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, _ = struct.unpack_from(
        layout, head, 16
    )
    name = _MACHINES.get(machine, f"machine-{machine}")
    if name in {"riscv", "loongarch"}:
        name += str(bits)
    if name == "ppc64" and order == "<":
        name = "ppc64le"
    return ElfHeader(bits, order == ">", head[7], kind, name, phoff, shoff, phentsize, phnum, shentsize, shnum)


def segments(view: View, header: ElfHeader) -> tuple[Segment, ...] | None:
    """The program headers, or None if the table does not fit the view or its shape is not that of ELF."""
    size = 56 if header.bits == 64 else 32
    if header.phnum == 0:
        return ()
    if header.phentsize != size or header.phnum > MAX_PROGRAM_HEADERS:
        return None
    table = view.take(header.phoff, size * header.phnum)
    if table is None:
        return None
    order = ">" if header.big_endian else "<"
    found = []
    for row in range(0, len(table), size):
        if header.bits == 64:
            kind, flags, offset, address, _, filesz, memsz, _ = struct.unpack_from(order + "IIQQQQQQ", table, row)
        else:
            kind, offset, address, _, filesz, memsz, flags, _ = struct.unpack_from(order + "IIIIIIII", table, row)
        found.append(Segment(kind, offset, address, filesz, memsz, flags))
    return tuple(found)


def section_evidence(view: View, header: ElfHeader) -> list[Evidence]:
    """File ranges that the section table claims: the table itself and each section that has bytes."""
    size = 64 if header.bits == 64 else 40
    if not header.shoff or not header.shnum or header.shentsize != size or header.shnum > MAX_SECTION_HEADERS:
        return []
    table = view.take(header.shoff, size * header.shnum)
    if table is None:
        return [Evidence("ELF section table", header.shoff, header.shoff + size * header.shnum)]
    order = ">" if header.big_endian else "<"
    found = [Evidence("ELF section table", header.shoff, header.shoff + len(table))]
    for row in range(0, len(table), size):
        layout = "IIQQQQ" if header.bits == 64 else "IIIIII"
        _, kind, _, _, offset, length = struct.unpack_from(order + layout, table, row)
        if kind not in (0, SHT_NOBITS) and length:
            found.append(Evidence("ELF section", offset, offset + length))
    return found


def loader_objection(header: ElfHeader, found: tuple[Segment, ...] | None) -> str:
    """Why an APE loader would refuse this header (3.3.5), in plain words; empty if it would not."""
    if header.bits == 32:
        return "it is 32-bit"
    if header.type not in (ET_EXEC, ET_DYN):
        return "it is neither an executable nor a shared object"
    if found is None:
        return "its program headers are not where it says"
    loads = [segment for segment in found if segment.type == PT_LOAD]
    if any(segment.type in (PT_INTERP, PT_DYNAMIC) for segment in found):
        return "it asks for a dynamic linker"
    if not loads:
        return "it loads nothing"
    if any(segment.size > segment.memory_size for segment in loads):
        return "a segment has more file bytes than memory"
    if any(segment.offset % 4096 != segment.address % 4096 for segment in loads):
        return "a segment's file offset and address do not agree modulo the page size"
    return ""


def systems(view: View, header: ElfHeader, found: tuple[Segment, ...]) -> tuple[str, ...]:
    """The operating systems a plain ELF is for, from its notes, its ABI byte and its dynamic linker (3.4.1)."""
    text = b"".join(view.upto(s.offset, min(s.size, MAX_NOTE)) for s in found[:32] if s.type == PT_NOTE)
    openbsd, netbsd = b"OpenBSD\0" in text, b"NetBSD\0" in text
    if openbsd != netbsd:
        return ("openbsd",) if openbsd else ("netbsd",)
    if b"FreeBSD\0" in text:
        return ("freebsd",)
    # Linux never looks at the ABI byte: a static program that FreeBSD's own linker did not mark runs on both.
    dynamic = any(segment.type == PT_INTERP for segment in found)
    base = _OSABI.get(header.osabi, "unknown")
    names = ("linux", "freebsd") if header.osabi == OSABI_FREEBSD and not dynamic else (base,)
    return (*names, "openbsd", "netbsd") if openbsd and header.machine == "x86_64" else names
