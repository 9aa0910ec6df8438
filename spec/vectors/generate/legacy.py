"""Vectors of chapter 9: legacy llamafiles as real tools made them, their harmless habits and their damages.

A legacy file names no digests, so even an intact one is undetermined (LF9004), never well-formed without reserve.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import End, Part, archive, gguf, zip64
from spec.vectors.generate.legacy_shapes import (
    ARGS,
    MODEL,
    aligned,
    engine,
    linked,
    llamafile,
    plain,
    run,
    small,
    symbols,
)

Row = tuple[str, str, str, str, Callable[[], bytes]]


def model(**changes: Any) -> Part:
    """Plain weights with oddities."""
    return plain(MODEL, gguf(), align=16384, **changes)


def arguments(**changes: Any) -> Part:
    """Plain arguments with oddities."""
    return plain(".args", ARGS, **changes)


def certificate(body: int = 56) -> bytes:
    """An Authenticode certificate table entry of zeros."""
    return struct.pack("<IHH", 8 + body, 0x0200, 0x0002) + bytes(range(1, body + 1))


def replaced_arguments() -> bytes:
    """zipalign replaced the arguments: the old ones and two old directories stay behind, dead."""
    out, assets = engine()
    weights, old = aligned(MODEL, gguf()), aligned(".args", ARGS)
    out = run(out, assets, [weights, old])
    return bytes(run(out, [*assets, weights], [aligned(".args", b"-m\nmodel.gguf\n-c\n0\n...\n")]))


def lost_weights() -> bytes:
    """zipalign's older replacement bug: replacing arguments in first place lost the record of the weights."""
    out, assets = engine()
    old, weights = aligned(".args", ARGS), aligned(MODEL, gguf())
    out = run(out, assets, [old, weights])
    return bytes(run(out, assets, [aligned(".args", b"-m\nmodel.gguf\n-c\n0\n...\n")]))


def lost_without_a_trace() -> bytes:
    """The same, but the old directory was overwritten: only the member itself is left."""
    data = bytearray(lost_weights())
    first = data.index(b"PK\6\6")
    start = data.index(b"PK\1\2", data.index(b"GGUF"))
    end = data.index(b"PK\5\6", first) + 22
    data[start:end] = bytes(end - start)
    return bytes(data)


def corrupted_directory() -> bytes:
    """zipalign's newer replacement bug: the surviving record is copied from the wrong place."""
    out, assets = engine()
    return bytes(run(out, assets, [aligned(".args", ARGS), aligned(MODEL, gguf())], directory=_misstep))


def _misstep(directory: bytes) -> bytes:
    last = directory.rindex(b"PK\1\2")
    return directory[:last] + directory[last + 8 :] + bytes(8)


def interrupted() -> bytes:
    """zipalign was killed while it appended weights: the engine's own end record is far from the end."""
    out, _ = engine()
    return bytes(out) + bytes(70_000) + b"PK\3\4" + b"GGUF" * 64


def second_end_record() -> bytes:
    """Parser trap 1: a plain end record and a Zip64 locator lead to two directories with other weights each."""
    other = plain("evil.gguf", gguf("other"), align=16384)
    data = archive([model(), other], end=End(comment=b""))
    at = data.rindex(b"PK\5\6")
    directory = data.index(b"PK\1\2")
    second = data.rindex(b"PK\1\2")
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x032D, 45, 0, 0, 1, 1, at - second, second)
    locator = struct.pack("<IIQI", 0x07064B50, 0, at, 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, second - directory, directory, 0)
    return data[:at] + record + locator + end


def glued() -> bytes:
    """A finished ZIP was glued behind an engine without adjusting its offsets (parser trap 6)."""
    return b"\x7fENGINE" + bytes(57) + small()


def many_directories() -> bytes:
    """Three runs of zipalign."""
    out, assets = engine()
    members = [aligned(MODEL, gguf()), aligned(".args", ARGS), aligned("NOTICE.txt", b"thanks\n")]
    for index, member in enumerate(members):
        out = run(out, [*assets, *members[:index]], [member])
    return bytes(out)


_NEAR_ALL = " ".join(f"LF70{number:02}" for number in range(1, 22) if number not in (9, 11))

ROWS: list[Row] = [
    (
        "good-plain-zip",
        "LF1028 LF9004",
        _NEAR_ALL,
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
]

BAD: list[Row] = [
    (
        "trailing-garbage",
        "LF1028 LF7002 LF9004",
        "LF7001",
        "a line of text behind the archive",
        lambda: small(trailing=b"hello\n"),
    ),
    (
        "trailing-too-many-zeros",
        "LF1028 LF7002 LF9004",
        "LF7001",
        "4,097 zero bytes behind the archive",
        lambda: small(trailing=bytes(4097)),
    ),
    (
        "lost-record-stale-directory",
        "LF6102 LF7006 LF7008 LF7009 LF7011 LF7012 LF9004",
        "LF7009",
        "zipalign lost the record of the weights; an old directory still has it (parser trap 17)",
        lost_weights,
    ),
    (
        "lost-record-orphan",
        "LF6102 LF7006 LF7008 LF7009 LF7011 LF7012 LF9004",
        "LF7016",
        "the weights lie whole in the file and no directory names them (parser trap 17)",
        lost_without_a_trace,
    ),
    (
        "corrupted-directory",
        "LF2013 LF6102 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7009",
        "zipalign copied a record from the wrong place (fact 1.5.7)",
        corrupted_directory,
    ),
    (
        "directory-padded",
        "LF1028 LF2013 LF9004",
        "LF7010",
        "bytes between directory records (parser trap 18)",
        lambda: small(directory=_padded),
    ),
    (
        "interrupted",
        "LF1010 LF2001 LF7018",
        "LF7009",
        "zipalign was killed; the last end record is far back (parser trap 16)",
        interrupted,
    ),
    ("crc-wrong", "LF1028 LF7020 LF9004", "LF7021", "a bit of the weights has changed", lambda: _flipped()),  # noqa: PLW0108
    (
        "crc-of-deflated-wrong",
        "LF1028 LF7020 LF9004",
        "LF7021",
        "a deflated member does not unpack",
        lambda: small(model(), arguments(method=8, local={"crc": 1}, record={"crc": 1})),
    ),
    (
        "unpacks-to-too-much",
        "LF1028 LF7021 LF9004",
        "LF7020",
        "a deflated member claims to unpack to 2 GiB",
        lambda: _bomb(),  # noqa: PLW0108
    ),
    (
        "weights-deflated",
        "LF2023 LF2042 LF6115 LF9003 LF9004",
        "LF2024",
        "the weights are compressed, which the engine refuses",
        lambda: small(plain(MODEL, gguf(), method=8), arguments()),
    ),
    (
        "two-directories",
        "LF1028 LF2010 LF2042 LF7008 LF7016 LF9004",
        "LF2009",
        "plain and Zip64 end records lead to two directories with other weights each (parser trap 1)",
        second_end_record,
    ),
    ("offsets-relative", "LF2008", "LF2007", "a ZIP was glued behind an engine without zip -A (parser trap 6)", glued),
    (
        "data-descriptor",
        "LF1028 LF2022 LF2043 LF9004",
        "LF2018",
        "sizes behind the data: /zip/ sees empty arguments (parser trap 8)",
        lambda: small(
            model(), arguments(local={"flags": 0x0808, "size": 0, "csize": 0, "crc": 0}, record={"flags": 0x0808})
        ),
    ),
    (
        "local-size-differs",
        "LF1028 LF2018 LF2043 LF9004",
        "LF2024",
        "the local header of the arguments hides half of them (parser trap 9)",
        lambda: small(model(), arguments(local={"size": 3, "csize": 3})),
    ),
    (
        "weights-twice",
        "LF1028 LF2031 LF2042 LF2043 LF7015 LF9004",
        "LF7015",
        "two members are called model.gguf (parser trap 10)",
        lambda: small(model(), plain(MODEL, gguf("other"), align=16384), arguments()),
    ),
    (
        "weights-past-the-end",
        "LF2016 LF2042 LF2043 LF6115 LF7016 LF9004",
        "LF2015",
        "the weights end behind the end of the file (upstream issue 1038)",
        lambda: small(
            arguments(), model(local={"size": 1 << 30, "csize": 1 << 30}, record={"size": 1 << 30, "csize": 1 << 30})
        ),
    ),
    (
        "zip64-value-missing",
        "LF2012 LF2015 LF2042 LF2043 LF6115 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7008",
        "a sentinel size without a Zip64 value (parser trap 15)",
        lambda: llamafile(aligned(MODEL, gguf(), record={"extra": b""}), aligned(".args", ARGS)),
    ),
    (
        "zip64-value-short",
        "LF2012 LF2015 LF2042 LF2043 LF6115 LF7006 LF7008 LF7009 LF7012 LF9004",
        "LF7008",
        "the Zip64 field is cut to its header (upstream pull request 1044)",
        lambda: llamafile(aligned(MODEL, gguf(), record={"extra": zip64()}), aligned(".args", ARGS)),
    ),
    (
        "comment-hides-the-archive",
        "LF1028 LF2042 LF7004 LF9004",
        "LF7004",
        "a comment of 65,520 bytes hides the end record from the weights reader (parser trap 14)",
        lambda: small(comment=bytes(65520)),
    ),
    (
        "name-dot-dot",
        "LF1028 LF2034 LF9004",
        "LF7019",
        "zipalign stored ../x as it was typed (parser trap 11)",
        lambda: small(model(), arguments(), plain("../x.txt", b"x")),
    ),
    (
        "name-differs-in-case",
        "LF1028 LF2032 LF9004",
        "LF2031",
        "two names differ only in case (parser trap 10)",
        lambda: small(model(), arguments(), plain("MODEL.gguf.txt", b"x"), plain("model.GGUF.txt", b"y")),
    ),
    (
        "link",
        "LF1028 LF2030 LF9004",
        "LF2030",
        "a symbolic link",
        lambda: small(model(), arguments(), plain("link", b"/etc/passwd", mode=0o120777)),
    ),
    (
        "encrypted",
        "LF1028 LF2021 LF9004",
        "LF2020",
        "the arguments are encrypted",
        lambda: small(model(), arguments(local={"flags": 1}, record={"flags": 1})),
    ),
    (
        "overlap",
        "LF1028 LF2039 LF7020 LF9004",
        "LF2024",
        "a member's data reaches into the directory",
        lambda: small(model(), plain("notes.txt", b"x", **_longer(60))),
    ),
    (
        "method-bzip2",
        "LF1028 LF2023 LF2043 LF9004",
        "LF2017",
        "a member uses method 12",
        lambda: small(model(), plain("notes.txt", b"x", local={"method": 12}, record={"method": 12})),
    ),
    (
        "unicode-path",
        "LF1028 LF2026 LF9004",
        "LF2025",
        "an extra field gives the arguments another name",
        lambda: small(model(), arguments(record={"extra": struct.pack("<HHBI", 0x7075, 6, 1, 0) + b"x"})),
    ),
]


def _longer(size: int) -> dict[str, Any]:
    sizes = {"size": size, "csize": size}
    return {"local": sizes, "record": sizes}


def _padded(directory: bytes) -> bytes:
    at = directory.rindex(b"PK\1\2")
    return directory[:at] + b"\0" + directory[at:]


def _flipped() -> bytes:
    data = bytearray(small())
    data[data.index(b"GGUF") + len(gguf()) - 3] ^= 0x10
    return bytes(data)


def _bomb() -> bytes:
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


ROWS.append(
    (
        "good-archive-in-the-image",
        "LF1019 LF7007 LF9004",
        "LF2039",
        "the ZIP lies inside the executable's image (parser trap 7)",
        inside_the_image,
    )
)


def _register(rows: list[Row], layer: str) -> None:
    for name, rules, near, comment, make in rows:
        near = " ".join(sorted(set(near.split()) - set(rules.split())))
        known = "undetermined" if layer == "none" else ""
        valid = "undetermined" if {"LF9003", "LF2001"} & set(rules.split()) else "yes"
        vector(
            name, rules=rules, near=near, layer=layer, well_formed=known, valid=valid, comment=comment, encoding="zlib"
        )(_maker(make))


def _maker(make: Callable[[], bytes]) -> Callable[[], bytes]:
    def maker() -> bytes:
        return make()

    return maker


_register(ROWS, "none")
_register(BAD, "legacy")
