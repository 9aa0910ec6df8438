"""Vectors of chapter 9: damage and attacks. See ``legacy.py``."""

from __future__ import annotations

import struct
from typing import Any

from spec.vectors.generate.forge import gguf, zip64
from spec.vectors.generate.legacy import (
    Row,
    arguments,
    corrupted_directory,
    glued,
    interrupted,
    lost_weights,
    lost_without_a_trace,
    model,
    register,
    second_end_record,
)
from spec.vectors.generate.legacy_shapes import (
    ARGS,
    MODEL,
    aligned,
    llamafile,
    plain,
    small,
)


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
        "LF1010 LF7018",
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
        "weights-deflated",
        "LF2023 LF2042 LF6115 LF9003 LF9004",
        "LF2024",
        "the weights are compressed, which the engine refuses",
        lambda: small(plain(MODEL, gguf(), method=8), arguments()),
    ),
    (
        "two-directories",
        "LF1028 LF2010 LF2042 LF3363 LF7008 LF7016 LF9004",
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
        "stored-with-two-sizes",
        "LF1028 LF2018 LF2024 LF7020 LF9004",
        "LF7016",
        "the directory says a gibibyte of stored weights, which is not there; what is there is judged all the same",
        lambda: small(model(record={"size": 1 << 30}), arguments()),
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
        "LF2016 LF2042 LF2043 LF6115 LF7016 LF9003 LF9004",
        "LF2015",
        "the weights end behind the end of the file (upstream issue 1038)",
        lambda: small(
            arguments(), model(local={"size": 1 << 30, "csize": 1 << 30}, record={"size": 1 << 30, "csize": 1 << 30})
        ),
    ),
    (
        "zip64-value-missing",
        "LF2012 LF2015 LF2042 LF2043 LF6115 LF7006 LF7008 LF7009 LF7012 LF9003 LF9004",
        "LF7008",
        "a sentinel size without a Zip64 value (parser trap 15)",
        lambda: llamafile(aligned(MODEL, gguf(), record={"extra": b""}), aligned(".args", ARGS)),
    ),
    (
        "zip64-value-short",
        "LF2012 LF2015 LF2042 LF2043 LF6115 LF7006 LF7008 LF7009 LF7012 LF9003 LF9004",
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


register(BAD, "legacy")
