"""Vectors of chapter 4: local header against directory record (ambiguities a1 to a5). See ``archive.py``."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from spec.vectors.generate.archive import Row, both, model, named, register, text
from spec.vectors.generate.forge import (
    FFFFFFFF,
    Part,
    extra,
    good,
    license_,
    zip64,
)

# Members: local header against directory record (ambiguities a1, a2, a3, a4, a5)

MEMBERS: list[Row] = [
    (
        "header-nowhere",
        "LF2015 LF2040 LF2043 LF3102",
        "LF2016",
        "the directory points one byte behind the local header",
        lambda: _moved(1),
    ),
    (
        "header-past-the-end",
        "LF2015 LF2040 LF2041 LF2043 LF3102",
        "LF2016",
        "the directory points behind the end of the file",
        lambda: _moved(1 << 20),
    ),
    (
        "data-past-the-end",
        "LF2016 LF2040 LF2043 LF3101 LF3102",
        "LF2015",
        "a text is said to be a gigabyte",
        lambda: good(text(**both(size=1 << 30, csize=1 << 30))),
    ),
    (
        "method-differs",
        "LF2017 LF2043 LF3101",
        "LF2023",
        "deflated in the local header, stored in the directory (ambiguity a1)",
        lambda: good(text(local={"method": 8})),
    ),
    (
        "method-deflated",
        "LF2023 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2017",
        "a text is deflated in both headers",
        lambda: good(text(method=8)),
    ),
    (
        "method-deflated-weights",
        "LF2023 LF2042 LF3016 LF3101 LF3102 LF3103 LF9001 LF9003",
        "LF2017",
        "the weights are deflated",
        lambda: good(model(method=8, align=32)),
    ),
    (
        "method-unknown",
        "LF2023 LF2043 LF3101 LF3102",
        "LF2017",
        "method 99 in both headers",
        lambda: good(text(**both(method=99))),
    ),
    (
        "crc-differs",
        "LF2018 LF3101",
        "LF2024",
        "the local header has another CRC-32",
        lambda: good(text(local={"crc": 0})),
    ),
    (
        "size-differs",
        "LF2018 LF2043 LF3101",
        "LF2024",
        "the local header is one byte shorter in both sizes (ambiguity a2)",
        lambda: good(text(local={"size": 7, "csize": 7})),
    ),
    (
        "size-of-local-weights-zero",
        "LF2018 LF2043 LF3101",
        "LF2022",
        "the weights have size 0 in their local header (ambiguity a2)",
        lambda: good(model(local={"size": 0, "csize": 0})),
    ),
    (
        "stored-with-two-sizes",
        "LF2024 LF2043 LF3101 LF3102",
        "LF2018",
        "stored, yet size and stored size differ in both headers",
        lambda: good(text(**both(size=6))),
    ),
    (
        "name-differs",
        "LF2019 LF3101",
        "LF2026",
        "another name in the local header (ambiguity a3)",
        lambda: good(text(local={"name": b"LICENCE.txt"})),
    ),
    (
        "name-cut-in-local-header",
        "LF2019 LF2027 LF3101",
        "LF2026",
        "the local header has a shorter name and an extra field instead (ambiguity a3)",
        lambda: good(text(local={"name": b"LICENSE", "extra": b"\0\0\0\0"})),
    ),
    (
        "flags-differ",
        "LF2020 LF3101",
        "LF2021 LF2022",
        "the local header lacks the UTF-8 flag (ambiguity a5)",
        lambda: good(text(local={"flags": 0})),
    ),
    (
        "encrypted",
        "LF2021 LF3101 LF3102",
        "LF2020",
        "encrypted according to both headers",
        lambda: good(text(**both(flags=0x0801))),
    ),
    (
        "encrypted-in-local-header",
        "LF2020 LF2021 LF3101",
        "LF2022",
        "encrypted according to the local header only (ambiguity a5)",
        lambda: good(text(local={"flags": 0x0801})),
    ),
    (
        "encrypted-in-directory",
        "LF2020 LF2021 LF3102",
        "LF2022",
        "encrypted according to the directory only (ambiguity a5)",
        lambda: good(text(record={"flags": 0x0801})),
    ),
    (
        "masked-headers",
        "LF2021 LF3101 LF3102",
        "LF2020",
        "masked headers according to both headers",
        lambda: good(text(**both(flags=0x2800))),
    ),
    (
        "encrypted-by-extra-field",
        "LF2021 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2027",
        "an AES field in both headers",
        lambda: good(text(**both(extra=extra(0x9901, b"\1\0AE\3\0\0")))),
    ),
    (
        "data-descriptor",
        "LF2022 LF2040 LF2043 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2018",
        "sizes stand behind the data (ambiguity c1)",
        lambda: good(_described()),
    ),
    (
        "data-descriptor-flag-alone",
        "LF2022 LF3101 LF3102",
        "LF2020",
        "both headers announce a data descriptor but hold the sizes",
        lambda: good(text(**both(flags=0x0808))),
    ),
    (
        "extra-zip64-twice",
        "LF2002 LF2018 LF2025 LF2040 LF2043 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2002",
        "two Zip64 fields, the first with a wrong size (ambiguity a2)",
        lambda: good(_wide_twice()),
    ),
    (
        "extra-zip64-beside-values",
        "LF2002 LF2025 LF3102 LF3103 LF3106",
        "LF2012",
        "a Zip64 field beside real 32-bit values (ambiguity a2)",
        lambda: good(text(record={"extra": zip64(8, 8), "needed": 45})),
    ),
    (
        "extra-cut",
        "LF2025 LF3102 LF3103 LF3106",
        "LF2027",
        "an extra field claims more bytes than there are",
        lambda: good(text(record={"extra": b"\1\0\x10\0"})),
    ),
    (
        "extra-stray-bytes",
        "LF2025 LF3016 LF3101 LF3105 LF9001",
        "LF2027",
        "three stray bytes in the local extra field",
        lambda: good(text(local={"extra": bytes(3)})),
    ),
    (
        "extra-unicode-path",
        "LF2026 LF3102 LF3103 LF3106",
        "LF2027",
        "a Unicode path field names another file (ambiguity a3)",
        lambda: good(text(record={"extra": _unicode_path(b"EVIL.txt")})),
    ),
    (
        "extra-timestamp",
        "LF2027 LF3102 LF3103 LF3106",
        "LF2026",
        "a Unix timestamp field",
        lambda: good(text(record={"extra": extra(0x5455, b"\1\0\0\0\0")})),
    ),
    (
        "extra-padding-field",
        "LF2027 LF3101 LF3102 LF3105",
        "LF2025",
        "alignment by an extra field instead of a gap",
        lambda: good(model(local={"extra": extra(0xD935, b"\x20\0" + bytes(10))})),
    ),
    (
        "zip64-value-missing",
        "LF2012 LF2016 LF2018 LF2040 LF2043 LF3102",
        "LF2025",
        "the directory leaves the size to a Zip64 field that is not there",
        lambda: good(text(record={"size": FFFFFFFF, "csize": FFFFFFFF})),
    ),
    (
        "zip64-value-missing-in-local-header",
        "LF2012 LF2043 LF3101",
        "LF2025",
        "the local header leaves its sizes to a Zip64 field that is not there",
        lambda: good(text(local={"size": FFFFFFFF, "csize": FFFFFFFF})),
    ),
    (
        "zip64-value-short",
        "LF2012 LF2016 LF2018 LF2028 LF2040 LF2043 LF3102 LF3103 LF3106",
        "LF2025",
        "a Zip64 field holds one of two values",
        lambda: good(text(record={"size": FFFFFFFF, "csize": FFFFFFFF, "extra": zip64(8)})),
    ),
    (
        "zip64-member-not-needed",
        "LF2002 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2012 LF2025",
        "Zip64 for a small member",
        lambda: good(text(wide=True)),
    ),
    (
        "version-made-differs",
        "LF2028 LF3102",
        "LF2005",
        "made by another version",
        lambda: good(text(record={"made": 0x0314})),
    ),
    (
        "version-needed-differs",
        "LF2028 LF3101 LF3102",
        "LF2002",
        "version needed 20 in both headers",
        lambda: good(text(**both(needed=20))),
    ),
    (
        "utf8-flag-missing",
        "LF2028 LF3101 LF3102",
        "LF2020",
        "no UTF-8 flag in both headers",
        lambda: good(text(**both(flags=0))),
    ),
    (
        "time-set",
        "LF2028 LF3101 LF3102",
        "LF2041",
        "a DOS time in both headers",
        lambda: good(text(**both(time=0x6000))),
    ),
    (
        "member-comment",
        "LF2028 LF3102 LF3103 LF3106",
        "LF2027",
        "a member has a comment",
        lambda: good(text(record={"comment": b"hidden"})),
    ),
    ("disk-of-member", "LF2028 LF3102", "LF2005", "a member starts on disk 1", lambda: good(text(record={"disk": 1}))),
    (
        "internal-attributes-set",
        "LF2028 LF3102",
        "LF2030",
        "a member is marked as text",
        lambda: good(text(record={"internal": 1})),
    ),
    ("mode-without-read-bit", "LF2028 LF3102", "LF2030", "a member has mode 000", lambda: good(text(mode=0o100000))),
    (
        "mode-link",
        "LF2030 LF3102",
        "LF2028",
        "a member is a symbolic link (ambiguity a4)",
        lambda: good(text(mode=0o120777)),
    ),
    (
        "mode-folder",
        "LF2030 LF3102",
        "LF2028",
        "a member is a folder by its mode, a file by its name (ambiguity a4)",
        lambda: good(text(mode=0o040755)),
    ),
    (
        "dos-folder-bit",
        "LF2030 LF3102",
        "LF2028",
        "a member is a folder by its DOS attributes (ambiguity a4)",
        lambda: good(text(record={"external": 0o100644 << 16 | 0x10})),
    ),
    (
        "folder-entry",
        "LF2030 LF3016 LF3101 LF3102 LF3103 LF3106 LF9001",
        "LF2034",
        "a folder has an entry of its own (ambiguity a4)",
        lambda: good(Part("www/", b"")),
    ),
    (
        "folder-with-data",
        "LF2030 LF3012",
        "LF2034",
        "an entry ends in a slash and has data (ambiguity a4)",
        lambda: named("www/"),
    ),
]


def _moved(by: int) -> bytes:
    part = license_()
    good(part)  # places the part
    return good(text(record={"offset": part.header_at + by}))


def _described() -> Part:
    data = license_().data
    part = text(record={"flags": 0x0808})
    crc = zlib.crc32(data)
    return replace(
        part,
        local={"flags": 0x0808, "crc": 0, "size": 0, "csize": 0},
        after=struct.pack("<IIII", 0x08074B50, crc, len(data), len(data)),
    )


def _wide_twice() -> Part:
    fields = {"size": FFFFFFFF, "csize": FFFFFFFF, "needed": 45}
    return text(record={**fields, "extra": zip64(4, 4) + zip64(8, 8)}, local={**fields, "extra": zip64(8, 8)})


def _unicode_path(name: bytes) -> bytes:
    return extra(0x7075, b"\1" + struct.pack("<I", zlib.crc32(b"LICENSE.txt")) + name)


register(MEMBERS, "archive")
