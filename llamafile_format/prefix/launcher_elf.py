"""Place a static ELF program inside the launcher, so that its header alone makes the file a native one (14.2.7).

The kernel reads the header at byte 0 and everything else where the header and the program headers point to. So those
pointers count from the launcher's first byte, and the header stands in a slot until ``convert`` puts it there. The
first segment begins at byte 0 of the file, in front of the program: loaders that compute where the program headers are
in memory from its address alone, as QEMU does, would else be wrong by the distance.
"""

from __future__ import annotations

import struct

from llamafile_format.errors import FormatError
from llamafile_format.prefix.elf import HEADER_SIZE, MAGIC, PT_DYNAMIC, PT_INTERP, PT_LOAD

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def place_elf(program: bytes, base: int) -> tuple[bytes, bytes]:
    """(header for byte 0, image for ``base``) of a static 64-bit ELF ``program``; ``base`` is a multiple of 65,536.

    Section headers are dropped: nothing that runs the program reads them. FormatError if it is not static.
    """
    fields = list(_HEADER.unpack_from(program))
    ident, _, _, _, _, table, _, _, size, entry_size, count, _, _, _ = fields
    if ident[:5] != MAGIC + b"\2" or size != HEADER_SIZE or entry_size != _PROGRAM_HEADER.size:
        raise FormatError("the launcher's ELF program is not a 64-bit one")
    image, end = bytearray(program), 0
    for row in range(table, table + entry_size * count, entry_size):
        kind, flags, offset, address, physical, length, memory, align = _PROGRAM_HEADER.unpack_from(image, row)
        if kind in (PT_INTERP, PT_DYNAMIC):
            raise FormatError("the launcher's ELF program is not static")
        end = max(end, offset + length)
        ahead = base if kind == PT_LOAD and not offset else 0
        place = (base + offset - ahead, address - ahead, physical - ahead, length + ahead, memory + ahead)
        _PROGRAM_HEADER.pack_into(image, row, kind, flags, *place, align)
    fields[5], fields[6] = base + table, 0
    fields[11:14] = 0, 0, 0
    header = _HEADER.pack(*fields)
    image[:HEADER_SIZE] = header
    return header, bytes(image[: max(end, table + entry_size * count)])
