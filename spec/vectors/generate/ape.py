"""Forge executables byte for byte: APEs of every generation since 2020, converted ones, and plain native programs.

Nothing here runs: images are zeros. What is right is the structure that readers look at, so that a prefix of each
generation can be told from its own bytes (spec/1, 3.3). Every number is derived; the same call gives the same bytes.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass

UNIT = 1 << 16
MZ, JARTSR, JARTSR_BARE, DEBUG = b"MZqFpD='", b"jartsr='", b"jartsr=", b"APEDBG='"
LOADER = b"\x7fELF" + bytes(60) + b"a loader in the shape of an ELF"
LOADER_SOURCE = b"/* a loader in C, to be compiled on the machine */\nint main(void) { return 0; }\n"
ENGINE_TEXT = b"llamafile v0.9.3\0"


def align(data: bytearray, unit: int) -> int:
    """Pad ``data`` with zeros to a multiple of ``unit``; its new length."""
    data.extend(bytes(-len(data) % unit))
    return len(data)


def archive_end(prefix: bytes, *, comment: bytes = b"") -> bytes:
    """``prefix`` with an empty archive behind it: an end record whose directory offset is the prefix's length."""
    return prefix + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, len(prefix), len(comment)) + comment


def padded(prefix: bytes) -> bytes:
    """``prefix`` padded to 64 KiB, with an empty archive behind it."""
    return archive_end(prefix + bytes(-len(prefix) % UNIT))


def elf_header(*, machine: int = 62, phoff: int = 64, phnum: int = 1, osabi: int = 9, phentsize: int = 56) -> bytes:
    """A 64-bit ELF header for an executable without section table."""
    ident = b"\x7fELF" + bytes([2, 1, 1, osabi]) + bytes(8)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x401000, phoff, 0, 0, 64, phentsize, phnum, 0, 0, 0)


def program_header(offset: int, size: int, *, kind: int = 1, memory: int | None = None, skew: int = 0) -> bytes:
    """One 56-byte program header that maps ``size`` bytes at ``offset`` congruently (``skew`` breaks that)."""
    address = 0x400000 + offset + skew
    return struct.pack("<IIQQQQQQ", kind, 5, offset, address, address, size, size if memory is None else memory, 4096)


def elf(*, notes: bytes = b"", phoff: int = 64, interpreter: bool = False) -> bytes:
    """A plain ELF program of 512 bytes, with ``notes`` behind its program headers."""
    headers = [program_header(0, 512)]
    if interpreter:
        headers.append(program_header(256, 16, kind=3))
    at = 64 + 56 * (len(headers) + 1)
    headers.append(program_header(at, len(notes), kind=4))
    head = elf_header(phoff=phoff, phnum=len(headers), osabi=9 if notes else 0)
    return (head + b"".join(headers) + notes).ljust(512, b"\0")


def elf_of_abi(abi: int, *, interpreter: bool = False) -> bytes:
    """:func:`elf` with another ABI byte and no notes."""
    data = elf(interpreter=interpreter)
    return data[:7] + bytes([abi]) + data[8:]


def pe_headers(raw: int, size: int, *, directories: int = 2, certificate: tuple[int, int] = (0, 0)) -> bytes:
    """PE32+ headers with one section of ``size`` file bytes at ``raw``."""
    table = bytearray(8 * directories)
    if directories > 4:
        struct.pack_into("<II", table, 32, *certificate)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, size, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0x400000, 4096, 512, 6, 0, 0, 0, 6, 0, 0, 0x3000, 0x400, 0, 3, 0)
    optional += struct.pack("<QQQQII", 1 << 16, 1 << 12, 1 << 16, 1 << 12, 0, directories) + bytes(table)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0x5C64126B, 0, 0, len(optional), 0x22)
    section = struct.pack("<8sIIIIIIHHI", b".text", size, 0x1000, size, raw, 0, 0, 0, 0, 0x60000020)
    return coff + optional + section


def pe(*, text: bytes = b"", directories: int = 16, certificate: tuple[int, int] = (0, 0)) -> bytes:
    """A plain PE program of 1,024 bytes; ``text`` stands in the DOS stub."""
    headers = pe_headers(512, 512, directories=directories, certificate=certificate)
    dos = (b"MZ" + text).ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    return (dos.ljust(0x80, b"\0") + headers).ljust(1024, b"\0")


def macho_header(size: int, file_size: int) -> bytes:
    """An x86-64 Mach-O header of ``size`` bytes: one segment [0, ``file_size``), filler command behind it."""
    segment = struct.pack("<II16sQQQQiiII", 0x19, 72, b"__TEXT", 0x100000000, file_size, 0, file_size, 5, 5, 0, 0)
    commands = [segment]
    if size > 32 + 72:
        commands.append(struct.pack("<II", 0x1B, size - 104) + bytes(size - 112))
    length = sum(len(command) for command in commands)
    head = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x01000007, 3, 2, len(commands), length, 1, 0)
    return head + b"".join(commands)


def macho() -> bytes:
    """A plain Mach-O program of 4,096 bytes."""
    return macho_header(104, 4096).ljust(4096, b"\0")


def universal() -> bytes:
    """A universal Mach-O with an x86-64 and an arm64 slice."""
    head = struct.pack(">II", 0xCAFEBABE, 2)
    head += struct.pack(">IIIII", 0x01000007, 3, 4096, 4096, 12) + struct.pack(">IIIII", 0x0100000C, 0, 8192, 4096, 12)
    return head.ljust(4096, b"\0") + macho() + macho()


def note(name: bytes, number: int) -> bytes:
    """One ELF note of type 1 with a 32-bit description."""
    return (
        struct.pack("<III", len(name) + 1, 4, 1)
        + (name + b"\0").ljust(-(-(len(name) + 1) // 4) * 4, b"\0")
        + struct.pack("<I", number)
    )


def octal(data: bytes) -> bytes:
    """``data`` as ``printf`` escapes, always three digits, so that the length does not depend on the numbers."""
    return b"".join(b"\\%03o" % byte for byte in data)


@dataclass(frozen=True, slots=True)
class Ape:
    """What to forge. The defaults are a fat APE of 2024: two processors, Windows, macOS, packed loaders, notes.

    ``word``: here-document word, empty for the quoted form of 2020. ``copy``: how ``dd`` numbers are written, one of
    ``quoted`` (``skip="     413"``), ``padded``, ``math`` (``$((  413))``), all with bs=8, and ``bytes`` (bs=1).
    ``loaders``: ``none``, ``raw`` or ``gzip``. ``late`` puts filler in front of the printed headers.
    """

    magic: bytes = MZ
    word: bytes = b"justineabc123"
    arm: bool = True
    windows: bool = True
    mac: bool = True
    script: bool = True
    copy: str = "bytes"
    loaders: str = "gzip"
    cache: bytes = b".ape-1.10"
    ape_note: int = 110_000_000
    image: int = 0x10000
    pe_inside: int = 0xCC8
    macho_size: int = 104
    late: int = 0
    phentsize: int = 56
    bad_segment: bool = False
    wild_copy: bool = False
    bad_pe: bool = False
    directories: int = 2
    certificate: tuple[int, int] = (0, 0)
    text: bytes = ENGINE_TEXT


MODERN = Ape()
QUOTED = Ape(word=b"", arm=False, copy="quoted", loaders="none", cache=b"", ape_note=0, image=0x2000, pe_inside=0)
HEREDOC_AT = Ape(
    word=b"@", arm=False, copy="padded", loaders="raw", cache=b".ape", ape_note=0, image=0x2000, pe_inside=0
)
HEREDOC_MATH = Ape(word=b"@", arm=False, copy="math", loaders="raw", cache=b".ape-1.1", image=0x2000, pe_inside=0)
UNIX_ONLY = Ape(magic=JARTSR, windows=False)


@dataclass(slots=True)
class _Places:
    """Offsets and sizes that the script and the headers name; zero in the first pass."""

    phdrs: tuple[int, int] = (0, 0)
    macho: int = 0
    images: tuple[int, int] = (0, 0)
    loaders: tuple[tuple[int, int], ...] = ((0, 0), (0, 0), (0, 0))


IMAGE_SIZE = 0x1000


def forge(what: Ape = MODERN) -> bytes:
    """The APE that ``what`` describes, without padding. Two passes: one finds the places, the other names them."""
    places = _Places()
    _build(what, places)
    return _build(what, places)


def _build(what: Ape, places: _Places) -> bytes:
    out = bytearray(_dos_header(what))
    if what.script:
        out += _marker(what) + _script(what, places)
    else:
        out += b"\n\n"
    align(out, 4)
    if what.ape_note:
        out += note(b"APE", what.ape_note) + note(b"OpenBSD", 0) + note(b"NetBSD", 901_000_000)
    align(out, 8)
    loads = places.images
    skew = 0x123 if what.bad_segment else 0
    places.phdrs = (len(out), len(out) + 56)
    out += program_header(loads[0], IMAGE_SIZE, skew=skew) + program_header(loads[1], IMAGE_SIZE)
    align(out, 8)
    places.macho = len(out)
    if what.mac:
        out += macho_header(what.macho_size, loads[0] + IMAGE_SIZE)
    out += bytes(max(0, what.image - len(out)))
    first = align(out, 4096)
    image = bytearray(IMAGE_SIZE)
    image[64 : 64 + len(what.text)] = what.text
    if what.windows:
        headers = pe_headers(first, IMAGE_SIZE, directories=what.directories, certificate=what.certificate)
        image[what.pe_inside + 256 : what.pe_inside + 256 + len(headers)] = headers
        struct.pack_into("<I", out, 0x3C, 0x7FFF0000 if what.bad_pe else first + what.pe_inside + 256)
    if what.loaders == "raw":
        image[0x800 : 0x800 + len(LOADER)] = LOADER
    out += image
    second = first
    if what.arm:
        second = align(out, 16384)
        out += bytes(IMAGE_SIZE)
    places.images = (first, second)
    places.loaders = _append_loaders(what, out, first)
    return bytes(out)


def _append_loaders(what: Ape, out: bytearray, image: int) -> tuple[tuple[int, int], ...]:
    if what.loaders == "raw":
        return ((image + 0x800, 128), (0, 0), (0, 0))
    found = []
    for data in (LOADER, LOADER + b" for arm", LOADER_SOURCE) if what.loaders == "gzip" else ():
        packed = gzip.compress(data, 9, mtime=0)
        packed = packed[:9] + b"\3" + packed[10:]  # the system byte differs between versions of the library
        found.append((len(out), len(packed)))
        out += packed
    return (*found, (0, 0), (0, 0), (0, 0))[:3]


def _dos_header(what: Ape) -> bytes:
    if what.magic == JARTSR_BARE:
        return what.magic + b"\n\n"
    head = what.magic + b"\n\n" + struct.pack("<HHHHHHHHH", 0x1000, 0xF800, 0, 0, 0, 0x0100, 0x0800, 0x40, 0)
    head = head.ljust(0x24, b"\0") + b"JT\0\0"
    if what.word:
        head += b"' <<'" + what.word + b"'\n"
    return head.ljust(0x1FE, b"\0") + b"\x55\xaa"


def _marker(what: Ape) -> bytes:
    if what.magic == JARTSR_BARE:
        return b"#'\"\n"
    if what.word:
        return b"\n" + what.word + b"\n#'\"\n"
    return b"\n'\n#'\"\n"


def _number(what: Ape, name: bytes, value: int, block: int) -> bytes:
    count = -(-value // block)
    if what.copy == "quoted":
        return name + b'="%8d"' % count
    if what.copy == "math":
        return name + b"=$((%8d))" % count
    return name + b"=%-8d" % count


def _copy_command(what: Ape, place: tuple[int, int], *, block: int, tail: bytes, target: bytes = b"") -> bytes:
    skip, count = _number(what, b"skip", place[0], block), _number(what, b"count", place[1], block)
    return b'dd if="$o"' + target + b" bs=%d " % block + skip + b" " + count + b" " + tail + b"\n"


def _script(what: Ape, places: _Places) -> bytes:
    """Script text of our own, in the order and with the commands that readers rely on."""
    text = b'o=$(command -v "$0")\n'
    if what.cache:
        text += b't="${TMPDIR:-${HOME:-.}}/' + what.cache + b'"\n[ -x "$t" ] && exec "$t" "$o" "$@"\n'
    text += b"m=$(uname -m)\n" + b"#" * what.late + b"\n"
    for machine, phoff, name in ((62, places.phdrs[0], b"x86_64"), (183, places.phdrs[1], b"aarch64")):
        if machine == 183 and not what.arm:
            continue
        header = elf_header(machine=machine, phoff=phoff, phentsize=what.phentsize)
        text += b'if [ "$m" = ' + name + b' ]; then\nexec 7<> "$o" || exit 121\n'
        text += b"printf '" + octal(header) + b"' >&7\nexec 7<&-\nfi\n"
    if what.mac:
        block = 1 if what.copy == "bytes" else 8
        place = (places.macho + (1 << 40 if what.wild_copy else 0), what.macho_size)
        text += b'if [ "$m" = x86_64 ]; then\n'
        text += _copy_command(what, place, block=block, target=b' of="$o"', tail=b"conv=notrunc") + b"fi\n"
    for name, place, out in _loader_rows(what, places):
        text += b'if [ "$m" = ' + name + b" ]; then\n"
        if what.loaders == "gzip":
            text += _copy_command(what, place, block=1, tail=b'2>/dev/null | gzip -dc >"' + out + b'"')
        else:
            text += _copy_command(what, place, block=64, target=b' of="' + out + b'"', tail=b"2>/dev/null")
        text += b"fi\n"
    return text + b"exit 127\n\n\n\n"


def _loader_rows(what: Ape, places: _Places) -> list[tuple[bytes, tuple[int, int], bytes]]:
    if what.loaders == "none":
        return []
    rows = [(b"x86_64", places.loaders[0], b"$t.$$")]
    if what.loaders == "gzip" and what.arm:
        rows.append((b"aarch64", places.loaders[1], b"$t.$$"))
        rows.append((b"aarch64", places.loaders[2], b"$t.c.$$"))
    return rows


def printed_header(data: bytes) -> bytes:
    """The first ELF header that the script in ``data`` prints, decoded."""
    at = data.index(b"printf '") + 8
    return bytes(int(part, 8) for part in data[at : data.index(b"'", at)].decode().split("\\")[1:])


def to_elf(data: bytes, *, osabi: int | None = 0) -> bytes:
    """``data`` converted in place to ELF, as ``--assimilate`` and the tool of that name do it."""
    header = bytearray(printed_header(data))
    if osabi is not None:
        header[7] = osabi
    return bytes(header) + data[64:]


def to_macho(data: bytes) -> bytes:
    """``data`` converted in place to Mach-O: its embedded header copied to byte 0."""
    at = data.index(struct.pack("<III", 0xFEEDFACF, 0x01000007, 3))
    (length,) = struct.unpack_from("<I", data, at + 20)
    return data[at : at + 32 + length] + data[32 + length :]
