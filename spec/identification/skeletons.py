"""Skeleton files: small files that each signature must name, and for each way to miss the mark one that it must not.

A skeleton has a prefix of a few bytes, one member and a correct tail. It is *not* a valid container (its manifest is
empty): identification looks at the first and the last bytes only, and says nothing about what lies between.
"""

from __future__ import annotations

import struct
import zlib

from llamafile_format.zip.records import (
    DIRECTORY_MAGIC,
    DIRECTORY_RECORD,
    EOCD,
    EOCD_MAGIC,
    FLAG_UTF8,
    LOCAL_HEADER,
    LOCAL_MAGIC,
)
from spec.identification.marks import MARK

DATE_1980 = 0x0021  # 1980-01-01, the only date in a canonical container
MODE_0644 = 0o100644 << 16


def forge(prefix: bytes, name: bytes, data: bytes, comment: bytes) -> bytes:
    """A ZIP with one stored member behind ``prefix``; every offset counts from byte 0 of the file."""
    crc = zlib.crc32(data)
    offset = len(prefix)
    local = LOCAL_HEADER.pack(LOCAL_MAGIC, 10, FLAG_UTF8, 0, 0, DATE_1980, crc, len(data), len(data), len(name), 0)
    record = DIRECTORY_RECORD.pack(
        *(DIRECTORY_MAGIC, 0x032D, 10, FLAG_UTF8, 0, 0, DATE_1980, crc, len(data), len(data), len(name)),
        *(0, 0, 0, 0, MODE_0644, offset),
    )
    start = offset + len(local) + len(name) + len(data)
    end = EOCD.pack(EOCD_MAGIC, 0, 0, 1, 1, len(record) + len(name), start, len(comment))
    return prefix + local + name + data + record + name + end + comment


def pe() -> bytes:
    """A DOS header that points at a PE header; enough for signature matchers, and it does not run."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return (dos + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, 0, 0x0002)).ljust(512, b"\0")


def elf() -> bytes:
    """An ELF header, 64-bit little endian, x86-64, without program headers."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)


def macho() -> bytes:
    """A Mach-O header, 64-bit, x86-64, without load commands."""
    return struct.pack("<IIIIIIII", 0xFEEDFACF, 0x01000007, 3, 2, 0, 0, 0, 0)


PREFIXES: dict[str, bytes] = {
    "ape": b"MZqFpD='\n\n".ljust(512, b"\0"),
    "ape-jartsr": b"jartsr='\n\n".ljust(512, b"\0"),
    "elf": elf(),
    "macho": macho(),
    "mz": pe(),
    "none": b"",
    "other": bytes(64),
    "script": b"#!/bin/sh\nexit 9\n",
}
"""What stands before the archive in the skeleton of that name; ``other`` has no signature but the mark."""


def skeletons() -> dict[str, bytes]:
    """Every skeleton file by path, relative to ``skeletons/``. Those under ``not/`` must not be named ours."""
    member = (b"META-LLAMAFILE/manifest.json", b"{}\n")
    weights = (b"model.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    files = {f"{key}.llamafile": forge(prefix, *member, MARK) for key, prefix in PREFIXES.items()}
    ours = files["none.llamafile"]
    apart = {
        "comment-of-another-version.llamafile": forge(b"", *member, b"llamafile-format/2"),
        "comment-longer-than-the-mark.llamafile": forge(b"", *member, MARK + b"0"),
        "comment-before-the-mark.llamafile": forge(b"", *member, b"see " + MARK),
        "trailing-byte.llamafile": ours + b"\n",
        "truncated.llamafile": ours[:-1],
        "mark-without-directory-end.txt": b"A text that mentions the format ends so: " + MARK,
        "legacy.llamafile": forge(PREFIXES["ape"], *weights, b""),
        "plain.zip": forge(b"", *member, b""),
        "pe.exe": pe(),
        "elf.bin": elf(),
        "weights.gguf": weights[1],
    }
    return files | {f"not/{name}": data for name, data in apart.items()}
