"""Vectors of chapter 4: every parser trap and every kind of ZIP confusion, one a file, in containers of version 1.0.

Faults in local headers are covered by chunk list and manifest, as an attacker would make them; so what is found is the
confusion itself and the bytes that are not the canonical ones (LF3101 to LF3106).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import (
    End,
    Part,
    good,
    license_,
    weights,
)

# (name, rules, near, comment, maker)
Row = tuple[str, str, str, str, Callable[[], bytes]]


def text(**changes: Any) -> Part:
    """The licence, a small text member, with faults."""
    return replace(license_(), **changes)


def model(**changes: Any) -> Part:
    """The weights with faults."""
    return replace(weights(), **changes)


def both(**fields: Any) -> dict[str, Any]:
    """The same overrides in local header and directory record."""
    return {"local": fields, "record": fields}


def tail(**changes: Any) -> bytes:
    """A good container with faults in directory or end records."""
    return good(end=End(**changes))


def named(path: str, *, listed_in_manifest: bool = True) -> bytes:
    """A container with one more member, of this name."""
    role = "asset" if listed_in_manifest else ""
    return good(Part(path, b"x", role, "application/octet-stream"))


def end_record(offset: int, size: int, count: int, comment: int = 0) -> bytes:
    """An end record as bytes."""
    return struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size, offset, comment)


def directory_of(data: bytes) -> tuple[int, int, int]:
    """(offset, size, count) in the end record of a container without Zip64."""
    at = data.rindex(b"PK\5\6")
    count, size, offset = struct.unpack_from("<HII", data, at + 10)
    return offset, size, count


def asset(path: str) -> Part:
    """A file of one byte."""
    return Part(path, b"x", "asset", "application/octet-stream")


def register(rows: list[Row], layer: str, *, packed: bool = False) -> None:
    """Make a vector of each row. Verdicts follow from layer and rules: contents not looked at are undetermined."""
    for name, rules, near, comment, make in rows:
        near = " ".join(sorted(set(near.split()) - set(rules.split())))
        valid = "undetermined" if {"LF9003", "LF2001", "LF1010"} & set(rules.split()) else "yes"
        encoding = "zlib" if packed or name.startswith(("count-modulo", "good-names")) else "raw"
        vector(name, rules=rules, near=near, layer=layer, comment=comment, encoding=encoding, valid=valid)(_maker(make))


def _maker(make: Callable[[], bytes]) -> Callable[[], bytes]:
    def maker() -> bytes:  # of this module, whatever module ``make`` is from: the chapter is the module's
        return make()

    return maker
