"""Vectors of chapter 9: harmless habits of real tools, and what will not work. See ``legacy.py``."""

from __future__ import annotations

import struct
import zlib

from spec.vectors.generate import vector
from spec.vectors.generate.forge import End, Part, archive, extra, gguf
from spec.vectors.generate.legacy import (
    Row,
    arguments,
    certificate,
    many_directories,
    model,
    register,
    replaced_arguments,
)
from spec.vectors.generate.legacy_shapes import (
    ARGS,
    MODEL,
    linked,
    llamafile,
    plain,
    small,
    symbols,
)

CHAPTER = "legacy"


def bomb() -> bytes:
    """A small deflated member that claims 2 GiB."""
    huge = {"size": 2 << 30}
    return small(model(), plain("zeros.bin", bytes(1000), method=8, local=huge, record=huge))


def inside_the_image() -> bytes:
    """An ELF file whose loaded range covers its ZIP, as engines of 2021 to May 2023 were linked (fact 1.3)."""
    assets = [linked("help.txt", b"usage\n", method=0), model()]
    start = bytearray(_elf(0))
    size = len(archive(assets, start=bytes(start), end=End(comment=b"")))
    return archive(assets, start=_elf(size), end=End(comment=b""))


def _elf(size: int) -> bytes:
    """A 64-bit ELF header with one loaded segment of ``size`` bytes from offset 0."""
    ident = b"\x7fELF\2\1\1" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 4096)


def _twice_named(name: str, again: str) -> Part:
    """A member whose name is UTF-8 without the flag, with a Unicode path field beside it in the directory."""
    field = struct.pack("<BI", 1, zlib.crc32(name.encode())) + again.encode()
    return plain(name, b"x", local={"flags": 0}, record={"flags": 0, "extra": extra(0x7075, field)})


_NEAR_ALL = " ".join(f"LF70{number:02}" for number in range(1, 22) if number not in (9, 11))

ROWS: list[Row] = [
    (
        "good-plain-zip",
        "LF1028 LF9004",
        f"{_NEAR_ALL} LF7022 LF7023 LF3340",
        "weights and arguments, written by zip -0 on the right offset",
        small,
    ),
    (
        "good-zipalign",
        "LF6115 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7009 LF7011 LF7016",
        "an engine's ZIP with weights and arguments by zipalign",
        llamafile,
    ),
    (
        "good-replaced-arguments",
        "LF6115 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7011 LF7016",
        "zipalign replaced the arguments; the old ones are dead",
        replaced_arguments,
    ),
    (
        "good-three-runs",
        "LF6115 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7011",
        "three runs of zipalign, three directories left behind",
        many_directories,
    ),
    (
        "good-deflated-arguments",
        "LF1028 LF9004",
        "LF2023 LF7020 LF7021",
        "deflated arguments, which /zip/ unpacks",
        lambda: small(model(), arguments(method=8)),
    ),
    (
        "good-trailing-zeros",
        "LF1028 LF7001 LF9004",
        "LF7002",
        "278 zero bytes behind the archive",
        lambda: small(trailing=bytes(278)),
    ),
    (
        "good-comment-of-zeros",
        "LF1028 LF7004 LF9004",
        "LF2042 LF2043",
        "a comment of 3,300 zeros",
        lambda: small(comment=bytes(3300)),
    ),
    (
        "good-impossible-date",
        "LF1028 LF7005 LF9004",
        "LF7012",
        "month 13, day 0, year 2097",
        lambda: small(model(record={"date": 117 << 9 | 13 << 5}), arguments()),
    ),
    (
        "good-symbol-table",
        "LF1028 LF7012 LF9004",
        "LF7013",
        "a symbol table without a mode",
        lambda: small(model(), arguments(), symbols()),
    ),
    (
        "good-gap-before-directory",
        "LF1028 LF7010 LF9004",
        "LF7016",
        "24 zero bytes before the directory, as linkers of 2021 left them",
        lambda: small(before=bytes(24)),
    ),
    (
        "good-two-models",
        "LF1028 LF7015 LF9004",
        "LF2031",
        "two weights, as multimodal llamafiles have",
        lambda: small(model(), plain("mmproj.gguf", gguf("projector"), align=16384), arguments()),
    ),
    (
        "good-authenticode",
        "LF1028 LF7003 LF9004",
        "LF7002",
        "an Authenticode signature behind the archive (parser trap 19)",
        lambda: small(trailing=certificate()),
    ),
    (
        "good-false-signatures",
        "LF1028 LF9004",
        "LF2003 LF7009",
        "signatures of end records in data, as machine code holds them (parser trap 5)",
        lambda: small(model(), arguments(), plain("code.bin", b"PK\5\6PK\6\6PK\6\7PK\3\4PK\1\2" * 4)),
    ),
    (
        "good-folder-entry",
        "LF1028 LF9004",
        "LF2030",
        "a folder has an entry of its own",
        lambda: small(model(), arguments(), plain("www/", b"", mode=0o040755)),
    ),
    (
        "weights-unaligned",
        "LF6115 LF7014 LF9004",
        "LF2042",
        "weights on an odd offset, as zip writes them",
        lambda: small(plain(MODEL, gguf()), arguments()),
    ),
    (
        "arguments-with-dot-slash",
        "LF1028 LF7013 LF7019 LF9004",
        "LF2034",
        "zipalign stored ./.args as it was typed",
        lambda: small(model(), plain("./.args", ARGS)),
    ),
    (
        "arguments-without-mode",
        "LF1028 LF7012 LF7013 LF9004",
        "LF2043",
        "the arguments have no read bit",
        lambda: small(model(), arguments(mode=0o100000)),
    ),
    (
        "zip64-values-left-by-zip",
        "LF1028 LF7022 LF9004",
        "LF2025",
        "Info-ZIP edited a file by zipalign: values of its own beside zipalign's, whose offset is out of date",
        lambda: small(model(record={"extra": extra(0x0001, struct.pack("<QQQ", 352, 352, 65536))}), arguments()),
    ),
    (
        "name-once-more-in-unicode",
        "LF1028 LF7017 LF7023 LF9004",
        "LF2026",
        "a name in an old code page, and in a Unicode path field the same name",
        lambda: small(model(), arguments(), _twice_named("r\u00e9sum\u00e9.txt", "r\u00e9sum\u00e9.txt")),
    ),
    (
        "name-without-utf8-flag",
        "LF1028 LF7017 LF9004",
        "LF2033",
        "a UTF-8 name without the flag",
        lambda: small(
            model(), arguments(), plain("r\u00e9sum\u00e9.txt", b"x", local={"flags": 0}, record={"flags": 0})
        ),
    ),
    (
        "name-awkward",
        "LF1028 LF7019 LF9004",
        "LF2034",
        "a name that Windows refuses",
        lambda: small(model(), arguments(), plain("aux.h", b"x")),
    ),
    (
        "hole-with-garbage",
        "LF1028 LF7016 LF9004",
        "LF7010",
        "bytes between two members that nothing explains",
        lambda: small(model(after=b"garbage behind the weights"), arguments()),
    ),
    (
        "unpacks-to-too-much",
        "LF1028 LF7021 LF9004",
        "LF7020",
        "a deflated member claims to unpack to 2 GiB",
        bomb,
    ),
]


ROWS.append(
    (
        "good-archive-in-the-image",
        "LF1019 LF7007 LF9004",
        "LF2039",
        "the ZIP lies inside the executable's image (parser trap 7)",
        inside_the_image,
    )
)

register(ROWS, "none")


@vector(
    "weights-in-front",
    rules="LF3340 LF9004",
    near="LF1028",
    layer="content",
    well_formed="undetermined",
    comment="A GGUF, and behind it an archive with another: by either end another model.",
)
def weights_in_front() -> bytes:
    return archive([plain(MODEL, gguf("another"), align=16384), plain(".args", ARGS)], start=gguf())
