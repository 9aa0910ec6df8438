"""What rides in a program: a pickle, a script, an archive, weights, another program (spec/1, 14.8.5).

A magic number alone proves nothing: whoever reads a format has its magic in the code. So what stands behind it is read
too, as far as only the format itself can have it. Nothing is unpickled, run, or unpacked beyond some bytes.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from llamafile_format.prefix import elf, macho, pe
from llamafile_format.prefix.facts import View
from llamafile_format.source import ByteSource, BytesSource
from llamafile_format.weights.formats import recognise_format

PIECE = 4096  # bytes behind a magic number that are read, and of a safetensors header in front of its first offsets
_OPENING = 1024  # bytes of a pickle that are read
_ENOUGH = 24  # opcodes, with the name of something among them, that nothing else has


class Rider(NamedTuple):
    """``what`` begins at ``at``, bytes from the start of the program."""

    what: str
    at: int


_Test = Callable[[bytes, int], bool]
"""Whether the piece begins like the format; the number are the bytes from there to the end of the program."""


def _pickle(piece: bytes, _: int) -> bool:
    """Opcodes, up to the last one or many of them, and the name of something to be called among them."""
    count, named = 0, False
    try:
        for code, value, _at in pickletools.genops(piece[:_OPENING]):
            count += 1
            if code.name in ("GLOBAL", "INST"):
                named = all(map(str.isidentifier, str(value).replace(" ", ".").split(".")))
                if not named:
                    return False
            named = named or (code.name == "STACK_GLOBAL" and count > 2)
            if code.name == "STOP":
                return named and count > 4
    except Exception:  # pickletools raises whatever it likes: a text that is no number, bytes that are no text
        pass
    return named and count > _ENOUGH


def _zip(piece: bytes, left: int) -> bool:
    if len(piece) < 30:
        return False
    version, _, method, _, _, _, packed, _, name, extra = struct.unpack_from("<HHHHHIIIHH", piece, 4)
    text = piece[30 : 30 + name]
    if version & 0xFF > 63 or method not in (0, 8, 9, 12, 14, 93, 95, 98) or not 0 < name <= 1024 or extra > 4096:
        return False
    fits = packed == 0xFFFF_FFFF or 30 + name + extra + packed <= left
    return fits and len(text) == name and not re.search(rb"[\0-\x1f\x7f]", text)


def _gzip(piece: bytes, _: int) -> bool:
    """A header, and a stream that gives something."""
    try:
        return len(piece) > 18 and not piece[3] & 0xE0 and len(zlib.decompressobj(31).decompress(piece, 64)) == 64
    except zlib.error:
        return False


def _xz(piece: bytes, _: int) -> bool:
    return len(piece) >= 24 and zlib.crc32(piece[6:8]) == int.from_bytes(piece[8:12], "little") and piece[12] != 0


def _seven(piece: bytes, _: int) -> bool:
    return len(piece) >= 32 and zlib.crc32(piece[12:32]) == int.from_bytes(piece[8:12], "little")


def _zstd(piece: bytes, left: int) -> bool:
    """A frame header without reserved bits, and two blocks that fit behind one another."""
    if len(piece) < 32 or piece[4] & 0x18:
        return False
    flags = piece[4]
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + ((single, 2, 4, 8)[flags >> 6])
    for _ in range(2):
        head = int.from_bytes(piece[at : at + 3], "little")
        kind, size = head >> 1 & 3, head >> 3
        at += 3 + (1 if kind == 1 else size)
        if kind == 3 or not 16 <= size <= 1 << 17 or at > left:
            return False
        if head & 1 or at + 3 > len(piece):
            break
    return True


def _rar(piece: bytes, _: int) -> bool:
    if piece[6:7] == b"\0":  # version 4: a main header of 13 bytes
        return piece[9:10] == b"\x73" and piece[12:14] == b"\x0d\0"
    size = piece[12] if len(piece) > 32 else 0
    return 3 <= size < 0x80 and zlib.crc32(piece[12 : 13 + size]) == int.from_bytes(piece[8:12], "little")


def _tar(piece: bytes, _: int) -> bool:
    """The sum of a header's bytes; ``piece`` begins where the header does."""
    digits = piece[148:156].strip(b" \0")
    if len(piece) < 512 or not re.fullmatch(rb"[0-7]{1,7}", digits):
        return False
    return sum(piece[:148]) + 8 * 32 + sum(piece[156:512]) == int(digits, 8)


def _gguf(piece: bytes, left: int) -> bool:
    if len(piece) < 24:
        return False
    return any(
        version in (1, 2, 3) and tensors * 24 <= left and 0 < keys * 8 <= left
        for version, tensors, keys in (struct.unpack_from(f"{order}IQQ", piece, 4) for order in "<>")
    )


def _old_ggml(piece: bytes, left: int) -> bool:
    return left > 256 and recognise_format(BytesSource(piece, "piece")) is not None and b"\0" in piece[8:64]


def _script(piece: bytes, _: int) -> bool:
    """A first line that names an interpreter, and two lines more of text."""
    lines = piece[:PIECE].partition(b"\0")[0].split(b"\n", 4)
    if len(lines) < 4 or not re.match(rb"#! ?/[\w/.-]{2,60}( [\w=./ -]{1,60})?\r?$|<\?php|@echo off\r?$", lines[0]):
        return False
    rest = b"\n".join(lines[1:3])
    return len(rest) > 8 and re.fullmatch(rb"[\t\r\n\x20-\x7e\x80-\xff]*", rest) is not None


def _elf(piece: bytes, left: int) -> bool:
    header = elf.parse_header(piece)
    if header is None or header.type not in (1, 2, 3) or header.machine.startswith("machine-"):
        return False
    table = header.phoff + header.phentsize * header.phnum
    return piece[6] == 1 and header.phentsize in (0, 32, 56) and 52 <= max(table, header.shoff) <= left


def _pe(piece: bytes, left: int) -> bool:
    if len(piece) < 64:
        return False
    (at,) = struct.unpack_from("<I", piece, 0x3C)
    image = pe.parse(View(BytesSource(piece, "piece"), len(piece)), at)
    return image is not None and any(0 < each.size <= left for each in image.sections)


def _macho(piece: bytes, _: int) -> bool:
    image = macho.parse(View(BytesSource(piece, "piece"), len(piece)), 0)
    return image is not None and len(image.evidence) > 1 and not image.machine.startswith("cpu-")


def _bzip2(piece: bytes, left: int) -> bool:
    return piece[:3] == b"BZh" and piece[3:4] in b"123456789" and left > 64


def _hdf5(piece: bytes, left: int) -> bool:
    return piece[8:9] in b"\0\1\2\3" and left > 96


def _numpy(piece: bytes, _: int) -> bool:
    return piece[6:7] in b"\1\2\3" and b"'descr'" in piece[:128]


def _safetensors(piece: bytes, left: int) -> bool:
    (length,) = struct.unpack_from("<Q", piece.ljust(10))
    return 2 <= length <= left - 8 and piece[9:10] == b'"'


class _Kind(NamedTuple):
    magic: bytes
    what: str
    test: _Test
    back: int = 0  # bytes that the magic stands behind the beginning


_PICKLE = "a pickle"
_OPCODES = re.compile(
    rb"\x80(?:[\x04\x05]\x95|[\x02\x03][}\](cX\x8a])|c(?:os|posix|nt|subprocess|builtins|__builtin__)\n", re.DOTALL
)
KINDS = (
    _Kind(b"PK\3\4", "an archive (ZIP)", _zip),
    _Kind(b"\x1f\x8b\x08", "an archive (gzip)", _gzip),
    _Kind(b"\xfd7zXZ\0", "an archive (xz)", _xz),
    _Kind(b"7z\xbc\xaf\x27\x1c", "an archive (7-Zip)", _seven),
    _Kind(b"\x28\xb5\x2f\xfd", "an archive (zstd)", _zstd),
    _Kind(b"Rar!\x1a\x07", "an archive (RAR)", _rar),
    _Kind(b"ustar", "an archive (tar)", _tar, 257),
    _Kind(b"1AY&SY", "an archive (bzip2)", _bzip2, 4),
    _Kind(b"GGUF", "weights (GGUF)", _gguf),
    *(_Kind(magic, "weights (GGML)", _old_ggml) for magic in (b"fmgg", b"tjgg", b"algg")),
    _Kind(b"\x89HDF\r\n\x1a\n", "weights (HDF5)", _hdf5),
    _Kind(b"\x93NUMPY", "weights (NumPy)", _numpy),
    _Kind(b"#!", "a script", _script),
    _Kind(b"<?php", "a script", _script),
    _Kind(b"@echo off", "a script", _script),
)
PROGRAMS = (
    _Kind(elf.MAGIC, "a program (ELF)", _elf),
    _Kind(b"MZ", "a program (PE)", _pe),
    _Kind(macho.MAGIC64, "a program (Mach-O)", _macho),
)
_OFFSETS = b'"data_offsets"'


class Riders:
    """What rides in ``program`` outside of ``own``, ranges that are its business: the first of each kind.

    ``polyglot`` says that programs inside are its business too, ``script`` that first lines of scripts are. ``left``
    are the magic numbers behind which is read, and is at most 0 where more were there.
    """

    def __init__(
        self,
        program: ByteSource,
        own: Sequence[tuple[int, int]] = (),
        *,
        polyglot: bool = False,
        script: bool = False,
        left: int = 4096,
    ) -> None:
        self._program = program
        self._own = _merged(own)
        kinds = KINDS if polyglot else (*KINDS, *PROGRAMS)
        self._kinds = tuple(each for each in kinds if not (script and each.test is _script))
        self.left = left
        self.found: dict[str, Rider] = {}

    def look(self, data: bytes, base: int) -> None:
        """Search ``data``, which stands at ``base`` in the program."""
        for kind in self._kinds:
            place = data.find(kind.magic)
            while place >= 0 and kind.what not in self.found and self.left > 0:
                behind = self._try(kind.what, kind.test, data, place - kind.back, base)
                place = data.find(kind.magic, max(place + 1, behind + kind.back))
        found = _OPCODES.search(data)
        while found is not None and _PICKLE not in self.found and self.left > 0:
            behind = self._try(_PICKLE, _pickle, data, found.start(), base)
            found = _OPCODES.search(data, max(found.start() + 1, behind))
        self._safetensors(data, base)

    def __iter__(self) -> Iterator[Rider]:
        """What was found, by place."""
        return iter(sorted(self.found.values(), key=lambda rider: rider.at))

    def _try(self, what: str, test: _Test, data: bytes, place: int, base: int) -> int:
        """``what`` rides at ``place`` in ``data`` if ``test`` says so. Returns from where to look on: behind the range
        that ``place`` is in, if it is one of the program's own."""
        at, left = base + place, self._program.size - base - place
        within = bisect_right(self._own, (at, self._program.size)) - 1
        if within >= 0 and at < self._own[within][1]:
            return self._own[within][1] - base
        if at > 0:
            self.left -= 1
            piece = data[place : place + PIECE] if place >= 0 else self._program.read_at(at, min(PIECE, left))
            if test(piece, left):
                self.found[what] = Rider(what, at)
        return place + 1

    def _safetensors(self, data: bytes, base: int) -> None:
        """A header of JSON whose length stands in front of it."""
        what, place = "weights (safetensors)", data.find(_OFFSETS)
        while place >= 0 and what not in self.found and self.left > 0:
            first = max(8, place - PIECE)
            for mark in re.finditer(rb'\{"', data[first:place]):
                self._try(what, _safetensors, data, first + mark.start() - 8, base)
            place = data.find(_OFFSETS, place + PIECE)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """``ranges`` in order, none of which touches another."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif start < end:
            found.append((start, end))
    return found
