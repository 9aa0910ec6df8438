"""Vectors of chapter 9: legacy llamafiles as real tools made them, their harmless habits and their damages.

A legacy file names no digests, so even an intact one is undetermined (LF9004), never well-formed without reserve.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import End, Part, archive, gguf
from spec.vectors.generate.legacy_shapes import (
    ARGS,
    MODEL,
    aligned,
    engine,
    plain,
    run,
    small,
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


def register(rows: list[Row], layer: str) -> None:
    """Make a vector of each row; an intact legacy file is undetermined."""
    for name, rules, near, comment, make in rows:
        near = " ".join(sorted(set(near.split()) - set(rules.split())))
        known = "undetermined" if layer == "none" else ""
        valid = "undetermined" if {"LF9003", "LF2001", "LF1010", "LF2008"} & set(rules.split()) else "yes"
        vector(
            name, rules=rules, near=near, layer=layer, well_formed=known, valid=valid, comment=comment, encoding="zlib"
        )(_maker(make))


def _maker(make: Callable[[], bytes]) -> Callable[[], bytes]:
    def maker() -> bytes:
        return make()

    return maker
