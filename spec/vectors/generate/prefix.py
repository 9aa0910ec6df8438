"""Vectors of chapter 3: prefixes of each kind, and files that are no llamafile at all.

A vector of kind ``prefix`` is a whole file. If it holds an archive, the archive is empty: an end record whose directory
offset is the length of the prefix. Such a file is judged by the rules of chapter 3 alone, as a writer of 1.0 would be.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import replace

from spec.vectors.generate import Maker, vector
from spec.vectors.generate import ape as forge
from spec.vectors.generate.forge import End, Part, archive

CHAPTER = "prefix"
BOOTSTRAP = b'MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9'.ljust(60, b"\n")
Register = Callable[[Maker], Maker]


def good(name: str, comment: str, *, near: str = "", rules: str = "", valid: str = "yes") -> Register:
    """A prefix without errors; ``rules`` are then warnings and remarks."""
    return vector(name, comment=comment, near=near, rules=rules, kind="prefix", encoding="zlib", valid=valid)


def bad(name: str, rules: str, comment: str) -> Register:
    """A prefix that is not well-formed."""
    return vector(name, comment=comment, rules=rules, layer="prefix", kind="prefix", encoding="zlib", valid="yes")


def impostor(name: str, rule: str, comment: str) -> Register:
    """A file that is something else; nothing is said about its contents."""
    return vector(name, comment=comment, rules=rule, layer="prefix", kind="prefix", valid="undetermined")


# --- kinds and generations -------------------------------------------------------------------------------------------


@good("none", "No prefix: the archive begins at byte 0.", near="LF1008 LF1010 LF1013 LF1028")
def _() -> bytes:
    return forge.archive_end(b"")


@good(
    "ape-heredoc",
    "A fat APE of 2023 and later: here-document, two printed headers, packed loaders, PE header behind 64 KiB.",
    near="LF1012 LF1014 LF1035 LF1016 LF1017 LF1018 LF1019 LF1020 LF1022 LF1023 LF1024 LF1025 LF1026 LF1029",
)
def _() -> bytes:
    return forge.padded(forge.forge())


@good("ape-quoted", "An APE of 2020: no here-document, dd numbers in quotes and padded.", near="LF1020 LF1026")
def _() -> bytes:
    return forge.padded(forge.forge(forge.QUOTED))


@good("ape-heredoc-at", "An APE of 2022: here-document word @, raw loader inside the image.", near="LF1026")
def _() -> bytes:
    return forge.padded(forge.forge(forge.HEREDOC_AT))


@good("ape-heredoc-math", "An APE of the years between: dd numbers as shell arithmetic.", near="LF1026")
def _() -> bytes:
    return forge.padded(forge.forge(forge.HEREDOC_MATH))


@good("ape-jartsr", "An APE for Unix only.", near="LF1021")
def _() -> bytes:
    return forge.padded(forge.forge(forge.UNIX_ONLY))


@good("ape-without-mac", "An APE that was linked without macOS and without loaders.", near="LF1026")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.MODERN, mac=False, loaders="none")))


@good("ape-assimilated-elf", "An APE converted to ELF; its ABI byte was cleared.", rules="LF1022", near="LF1023")
def _() -> bytes:
    return forge.padded(forge.to_elf(forge.forge()))


@good(
    "ape-assimilated-macho",
    "An APE converted to Mach-O; the header covers the script's marker.",
    rules="LF1022",
    near="LF1023",
)
def _() -> bytes:
    return forge.padded(forge.to_macho(forge.forge(replace(forge.MODERN, macho_size=528))))


@good(
    "launcher",
    "The 60 bytes of the launcher with a PE behind them.",
    rules="LF1027",
    near="LF1015",
    valid="undetermined",
)
def _() -> bytes:
    headers = forge.pe_headers(0x3000, 0x200)
    prefix = (BOOTSTRAP + struct.pack("<I", 0x40) + headers).ljust(0x3200, b"\0")
    return forge.padded(prefix)


@good("elf", "A plain ELF program.", near="LF1018 LF1024 LF1028")
def _() -> bytes:
    return forge.padded(forge.elf())


@good("elf-strategy", "An ELF that the APE linker made for one processor: it carries the APE note.", near="LF1024")
def _() -> bytes:
    return forge.padded(forge.elf(notes=forge.note(b"APE", 110_000_000) + forge.note(b"NetBSD", 901_000_000)))


@good("pe", "A plain PE program.", near="LF1014 LF1016 LF1024")
def _() -> bytes:
    return forge.padded(forge.pe(text=b"\x90\0\3\0"))


@good("pe-strategy", "A PE that the APE linker made for Windows alone.", near="LF1024")
def _() -> bytes:
    return forge.padded(forge.pe(directories=2))


@good("macho", "A plain Mach-O program.", near="LF1024")
def _() -> bytes:
    return forge.padded(forge.macho())


@good("macho-universal", "A universal Mach-O with two slices.", near="LF1018")
def _() -> bytes:
    return forge.padded(forge.universal())


@good("script", "A shell script that names its interpreter.", near="LF1028 LF1027")
def _() -> bytes:
    return forge.padded(b"#!/bin/sh\necho 'unzip me'\nexit\n")


# --- remarks and warnings --------------------------------------------------------------------------------------------


@good("archive-inside-image", "The archive begins inside the executable image.", rules="LF1019")
def _() -> bytes:
    data = forge.elf()
    header = forge.program_header(0, forge.UNIT + 22)
    return forge.archive_end((data[:64] + header + data[120:]).ljust(forge.UNIT, b"\0"))


@good("pe-with-certificate", "The security directory names bytes at the end of the file.", rules="LF1016")
def _() -> bytes:
    return forge.padded(forge.pe(text=b"\x90", certificate=(1024, 512)))


@good("printf-behind-8-kib", "The printed headers stand behind the first 8,192 bytes.", rules="LF1017")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.QUOTED, late=9000, image=0x4000)))


@good("ape-with-the-script-of-another", "Program data holds the script of another APE.", near="LF1017")
def _() -> bytes:
    data = bytearray(forge.forge())
    other = forge.forge(forge.QUOTED)[:2048]
    data[0x3000 : 0x3000 + len(other)] = other  # in the zeros between script and program
    return forge.padded(bytes(data))


@good("elf-of-abi-9", "A static program whose ABI byte says FreeBSD: Linux does not look at it.", near="LF1012")
def _() -> bytes:
    return forge.padded(forge.elf_of_abi(9))


@good("ape-without-script", "The APE magic without any script.", rules="LF1020")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.MODERN, script=False)))


@good("jartsr-without-quote", "The Unix magic lacks its quote.", rules="LF1021")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.UNIX_ONLY, magic=forge.JARTSR_BARE)))


@good("ape-debug", "The magic that systems ignore.", rules="LF1029")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.MODERN, magic=forge.DEBUG)))


@good("ape-pe-out-of-reach", "e_lfanew points outside the file.", rules="LF1024")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.MODERN, bad_pe=True)))


@good("elf-headers-out-of-reach", "The program headers of an ELF are not where it says.", rules="LF1024 LF1028")
def _() -> bytes:
    return forge.padded(forge.elf(phoff=1 << 40))


@good("pe-without-headers", "MZ and nothing that follows from it.", rules="LF1024 LF1028")
def _() -> bytes:
    return forge.padded(b"MZ".ljust(0x3C, b"\x90") + struct.pack("<I", 0x7FFF0000) + bytes(64))


@good("printed-phentsize", "The printed header gives program headers a size that no loader takes.", rules="LF1025")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.QUOTED, phentsize=57)))


@good("printed-segment-incongruent", "File offset and address of a segment disagree.", rules="LF1025")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.QUOTED, bad_segment=True)))


@good("dd-out-of-range", "The script copies a Mach-O header from far behind the end.", rules="LF1026")
def _() -> bytes:
    return forge.padded(forge.forge(replace(forge.MODERN, wild_copy=True)))


@good("unknown-kind", "64 KiB of text that no system starts.", rules="LF1028")
def _() -> bytes:
    return forge.padded(b"not a program".ljust(forge.UNIT, b"."))


# --- errors ----------------------------------------------------------------------------------------------------------


@bad("size-not-64-kib", "LF1013", "The prefix ends one byte behind a multiple of 64 KiB.")
def _() -> bytes:
    return forge.archive_end(forge.elf().ljust(forge.UNIT + 1, b"\0"))


@bad("launcher-one-byte-off", "LF1015", "The bootstrap differs from the launcher's in one byte.")
def _() -> bytes:
    return forge.padded(BOOTSTRAP.replace(b"exit 9", b"exit 8") + struct.pack("<I", 0x40) + forge.pe_headers(512, 512))


@bad("launcher-index-only", "LF1015", "Another program carries the launcher's index.")
def _() -> bytes:
    return forge.padded(forge.elf().ljust(0x400, b"\0") + b"LFFIDX1\0")


@bad("segment-past-end", "LF1018", "An ELF segment ends behind the file.")
def _() -> bytes:
    data = forge.elf()
    return forge.padded(data[:64] + forge.program_header(0, 1 << 30) + data[120:])


@bad("universal-slice-past-end", "LF1018", "A slice of a universal Mach-O ends behind the file.")
def _() -> bytes:
    data = bytearray(forge.universal())
    struct.pack_into(">I", data, 8 + 20 + 12, 0x7FFFFFFF)
    return forge.padded(bytes(data))


@bad("assimilated-elf-forged", "LF1022 LF1023", "The entry point differs from that of the printed header.")
def _() -> bytes:
    data = bytearray(forge.to_elf(forge.forge()))
    data[24] ^= 0x10
    return forge.padded(bytes(data))


@bad("assimilated-macho-forged", "LF1022 LF1023", "The Mach-O header differs from the one that the script copies.")
def _() -> bytes:
    data = bytearray(forge.to_macho(forge.forge(replace(forge.MODERN, macho_size=528))))
    data[24] ^= 0x01
    return forge.padded(bytes(data))


# --- not a llamafile -------------------------------------------------------------------------------------------------


@impostor("lfs-pointer", "LF1001", "What git leaves when large files were not fetched.")
def _() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4294967296\n"


@impostor("xet-pointer", "LF1002", "What another large-file store leaves.")
def _() -> bytes:
    return b"# xet version 0\nfilesize = 4294967296\nhash = '" + b"0" * 64 + b"'\n"


@impostor("html-page", "LF1003", "A login page saved as the file.")
def _() -> bytes:
    return b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>\n"


@impostor("xml-error", "LF1004", "A storage service's refusal.")
def _() -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n'


@impostor("json-error", "LF1004", "A hub's refusal.")
def _() -> bytes:
    return b'{"error": "Repository not found"}\n'


def gguf() -> bytes:
    """A GGUF of version 3 without tensors and metadata."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 0)


@impostor("bare-gguf", "LF1005", "A model without a container.")
def _() -> bytes:
    return gguf().ljust(64, b"\0")


@impostor("gguf-cut-off", "LF1011", "The first 20 bytes of a model.")
def _() -> bytes:
    return gguf()[:20]


@impostor("bare-safetensors", "LF1006", "Tensors of another format.")
def _() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def _packed(name: str, data: bytes) -> None:
    vector(
        f"archive-{name}",
        comment="A file of another archive format.",
        rules="LF1007",
        layer="prefix",
        kind="prefix",
        valid="undetermined",
    )(lambda: data)


_packed("gzip", gzip.compress(b"", 9, mtime=0)[:9] + b"\3" + gzip.compress(b"", 9, mtime=0)[10:])
_packed("zstd", b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00")
_packed("7z", b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24))
_packed("tar", b"model.gguf".ljust(257, b"\0") + b"ustar\0" + b"00" + bytes(247))


def _with_archive(name: str, near: str, data: bytes, rules: str = "LF1028", layer: str = "none") -> None:
    """An opening with an archive behind it: chapter 3 judges the prefix, and calls the file no impostor."""
    vector(
        f"not-an-impostor-{name}",
        comment="The opening of another format in front of a complete archive.",
        rules=rules,
        layer=layer,
        near=near,
        kind="prefix",
        encoding="zlib",
    )(lambda: forge.padded(data.ljust(64, b"\n")))


_with_archive("lfs", "LF1001", b"version https://git-lfs.github.com/spec/v1\n")
_with_archive("xet", "LF1002", b"# xet version 0\n")
_with_archive("html", "LF1003", b"<!DOCTYPE html>\n")
_with_archive("json", "LF1004", b'{"error": "none"}\n')
_with_archive("gguf", "", gguf(), "LF3340", "content")
_with_archive("gguf-but-for-a-letter", "LF1005 LF1011 LF3340", b"GGUG" + gguf()[4:])
_with_archive("safetensors", "", struct.pack("<Q", 16) + b'{"w": 1}', "LF3340", "content")
_with_archive("safetensors-without-object", "LF1006 LF3340", struct.pack("<Q", 16) + b'["w", 1]')
_with_archive("gzip", "LF1007", b"\x1f\x8b\x08")
_with_archive("zeros", "LF1009", bytes(4096))


FROZEN = b"\x89llamafrozen/1\r\n"


@impostor("frozen", "LF1036", "The two marks of a frozen container, and an end record between them.")
def _() -> bytes:
    return forge.archive_end(FROZEN + bytes(64)) + bytes(64) + FROZEN


@impostor("frozen-cut-off", "LF1010", "The mark of frozen containers, and then the end.")
def _() -> bytes:
    return FROZEN + bytes(200)


_with_archive("frozen", "LF1036", FROZEN)


@impostor("empty", "LF1008", "No bytes.")
def _() -> bytes:
    return b""


@impostor("all-zero", "LF1009", "A download that reserved its space and stopped.")
def _() -> bytes:
    return bytes(4096)


@impostor("zip-cut-off", "LF1010", "A local header, and then the end.")
def _() -> bytes:
    return b"PK\3\4" + struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 33, 0, 9999, 9999, 1, 0) + b"a" + bytes(64)


@vector(
    "ape-cut-off",
    comment="An APE that ends before its image does.",
    rules="LF1010",
    layer="prefix",
    kind="prefix",
    valid="undetermined",
    encoding="zlib",
)
def _() -> bytes:
    return forge.forge()[:0x10800]


@impostor("program-only", "LF1012", "A program with nothing behind it.")
def _() -> bytes:
    return forge.elf()


@vector(
    "program-with-archive",
    comment="A program with an archive of its own, in which there is neither a model nor an engine for one.",
    rules="LF1035",
    near="LF1012",
    layer="prefix",
    kind="prefix",
    valid="undetermined",
    encoding="zlib",
)
def _() -> bytes:
    own = [Part("help.txt", b"usage\n"), Part("www/index.html", b"<p>program</p>")]
    return archive(own, start=forge.elf(), end=End(comment=b""))
