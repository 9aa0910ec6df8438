"""Move a linked PE program into the launcher: headers to one place, section data to another (spec/1, 14.2.6).

Nothing is linked again: a section is mapped by its address, and only ``PointerToRawData`` says where it lies in the
file. Layout: Microsoft PE/COFF; offsets below count from ``PE\\0\\0``.
"""

from __future__ import annotations

import struct

from llamafile_format.errors import FormatError

PAGE = 0x1000
FILE_ALIGNMENT = 0x200
_COFF = struct.Struct("<4sHHIIIHH")
_OPTIONAL = _COFF.size
_PE32_PLUS = 0x20B
_SIZE_OF_HEADERS = _OPTIONAL + 60
_CHECKSUM = _OPTIONAL + 64
_DIRECTORIES = _OPTIONAL + 112
_SECURITY, _DEBUG = 4, 6
_SECTION = 40
_DEBUG_ENTRY = 28


def relocate(program: bytes, headers_at: int, sections_at: int) -> tuple[bytes, bytes]:
    """(headers, section data) of ``program`` as they stand at ``headers_at`` and ``sections_at`` of the launcher.

    FormatError if the program is not a PE32+ that can be moved. ``sections_at`` is a multiple of 512.
    """
    (start,) = struct.unpack_from("<I", program, 0x3C)
    magic, _, count, _, _, _, optional_size, _ = _COFF.unpack_from(program, start)
    table = _OPTIONAL + optional_size
    headers = bytearray(program[start : start + table + _SECTION * count])
    (kind,) = struct.unpack_from("<H", headers, _OPTIONAL)
    if (
        magic != b"PE\0\0"
        or kind != _PE32_PLUS
        or struct.unpack_from("<II", headers, _DIRECTORIES + 8 * _SECURITY) != (0, 0)
    ):
        raise FormatError("the launcher's Windows program is not an unsigned PE32+")
    struct.pack_into("<II", headers, 12, 0, 0)  # no COFF symbols
    struct.pack_into("<I", headers, _SIZE_OF_HEADERS, PAGE)
    struct.pack_into("<I", headers, _CHECKSUM, 0)  # checked for drivers only
    data = bytearray()
    moved = []  # (old pointer, size, address, new pointer)
    for row in range(table, table + _SECTION * count, _SECTION):
        address, size, pointer = struct.unpack_from("<III", headers, row + 12)
        if address < PAGE or headers_at + len(headers) > PAGE:
            raise FormatError("the launcher's Windows program leaves no room for its headers")
        if not size or not pointer:
            struct.pack_into("<I", headers, row + 20, 0)
            continue
        new = sections_at + len(data)
        moved.append((pointer, size, address, new))
        struct.pack_into("<I", headers, row + 20, new)
        data += program[pointer : pointer + size]
        data += bytes(-len(data) % FILE_ALIGNMENT)
    _move_debug_entries(headers, data, moved, sections_at)
    return bytes(headers), bytes(data)


def _move_debug_entries(
    headers: bytearray, data: bytearray, moved: list[tuple[int, int, int, int]], sections_at: int
) -> None:
    """The debug directory holds file pointers of its own, beside addresses."""
    directory, length = struct.unpack_from("<II", headers, _DIRECTORIES + 8 * _DEBUG)
    for _, size, address, new in moved:
        if not address <= directory < address + size:
            continue
        first = new - sections_at + directory - address
        for entry in range(first, first + length, _DEBUG_ENTRY):
            (pointer,) = struct.unpack_from("<I", data, entry + 24)
            for old, extent, _, there in moved:
                if old <= pointer < old + extent:
                    struct.pack_into("<I", data, entry + 24, there + pointer - old)
