"""Vectors of chapter 4: what lies where, and records carried over from an engine. See ``archive.py``."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from spec.vectors.generate.archive import Row, asset, both, directory_of, model, register, tail, text
from spec.vectors.generate.forge import (
    End,
    Part,
    directory_record,
    extra,
    good,
    license_,
    weights,
)
from spec.vectors.generate.forge import archive as plain_zip

# Bytes: what lies where

BYTES: list[Row] = [
    (
        "overlap-shared-header",
        "LF2018 LF2019 LF2039 LF2040 LF2043 LF3102",
        "LF2031",
        "two names point at one local header",
        lambda: good(asset("a.txt"), end=End(directory=_alias)),
    ),
    (
        "overlap-data",
        "LF2039 LF3101 LF3102",
        "LF2041",
        "a member's data holds the next member's header",
        lambda: good(_swallow()),
    ),
    (
        "overlap-directory",
        "LF2039 LF3101 LF3102",
        "LF2016",
        "a member's data reaches into the directory",
        lambda: _into_directory(),  # noqa: PLW0108
    ),
    (
        "gap-not-zero",
        "LF2040 LF3105",
        "LF2039",
        "the gap in front of the weights holds text",
        lambda: good(model(gap=_gap_text())),
    ),
    (
        "gap-with-hidden-member",
        "LF2040 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2039",
        "a whole member stands in a gap, seen by stream readers only (ambiguity c1)",
        lambda: good(model(gap=_hidden_member())),
    ),
    (
        "hole-behind-member",
        "LF2040 LF3016 LF3101 LF3102 LF3103 LF3105 LF3106 LF9001",
        "LF2041",
        "bytes follow a member's data",
        lambda: good(text(after=b"PK\3\4")),
    ),
    (
        "bytes-before-directory",
        "LF2040 LF3102 LF3103 LF3106",
        "LF2007",
        "zeros stand between the last member and the directory",
        lambda: tail(before=bytes(24)),
    ),
    (
        "signing-block",
        "LF2040 LF3102 LF3103 LF3106",
        "LF2007",
        "a block of another signing scheme stands before the directory",
        lambda: tail(before=b"APK Sig Block 42"),
    ),
    (
        "member-not-listed",
        "LF2040 LF3102 LF3103",
        "LF2040",
        "the directory hides a member (ambiguity c1)",
        lambda: good(text(listed=False)),
    ),
    (
        "order-swapped",
        "LF2041 LF3102",
        "LF2031",
        "two directory records have changed places",
        lambda: tail(directory=_swapped),
    ),
    (
        "weights-unaligned",
        "LF3016 LF3101 LF3102 LF3103 LF3105 LF9001",
        "LF2040",
        "the weights are not on their alignment",
        lambda: good(model(gap=b"\0", manifest={})),
    ),
]


def _alias(directory: bytes) -> bytes:
    """The record of a.txt points at the licence's local header."""
    licence, asset = directory.index(b"LICENSE.txt") - 46, directory.index(b"a.txt") - 46
    offset = directory[licence + 42 : licence + 46]
    return directory[: asset + 42] + offset + directory[asset + 46 :]


def _swallow() -> Part:
    return text(**both(size=48, csize=48))


def _into_directory() -> bytes:
    data = good()
    size = directory_of(data)[0] + 8 - data.index(license_().data)
    return good(text(**both(size=size, csize=size)))


def _gap_text() -> bytes:
    part = weights()
    good(part)
    return b"x" * (part.header_at - _end_of_license())


def _end_of_license() -> int:
    part = license_()
    good(part)
    return part.data_at + len(part.data)


def _hidden_member() -> bytes:
    body = b"evil\n"
    header = struct.pack("<IHHHHHIIIHH", 0x04034B50, 10, 0x800, 0, 0, 0x21, zlib.crc32(body), 5, 5, 8, 0)
    hidden = header + b"evil.txt" + body
    start, header_length = _end_of_license(), 30 + len("tiny.gguf")
    return hidden + bytes(-(start + len(hidden) + header_length) % 32)


def _swapped(directory: bytes) -> bytes:
    second = directory.index(b"PK\1\2", 4)
    third = directory.index(b"PK\1\2", second + 4)
    return directory[second:third] + directory[:second] + directory[third:]


# Records carried over from an engine (4.10)

Carry = Callable[[bytes], tuple[bytes, ...]]


@dataclass
class Engine:
    """A script with a ZIP of its own, the way linkers write it, and what the manifest says about it."""

    assets: list[Part]
    image: bytes = b""

    def __post_init__(self) -> None:
        start = b"#!/bin/sh\nexit 1\n".ljust(256, b"\n")
        self.image = plain_zip(self.assets, start=start, end=End(comment=b""))

    def spec(
        self,
        *members: Part,
        dropped: tuple[tuple[str, str], ...] = (),
        first: Carry = lambda record: (record,),
        **changes: Any,
    ) -> bytes:
        """The container in front of which this engine stands; ``first`` replaces each carried record."""
        at, size, count = directory_of(self.image)
        reasons = dict(dropped)
        kept = [part for part in self.assets if part.path not in reasons]
        objects = [
            {"path": p.path, "role": "engine-asset", "sha256": sha256(p.data).hexdigest(), "size": len(p.data)}
            for p in kept
        ]
        named = [{"path": path, "reason": reason} for path, reason in dropped]
        return good(
            *members,
            prefix=self.image,
            kind="script",
            engine_directory={"assets": objects, "count": count, "dropped": named, "offset": at, "size": size},
            end=End(first=tuple(record for part in kept for record in first(directory_record(part)))),
            **changes,
        )


def engine(*more: Part) -> Engine:
    """An engine with a stored and a deflated asset."""
    ntfs = {"extra": extra(0x000A, bytes(32)), "internal": 1}
    page = Part("www/index.html", b"<p>engine</p>" * 20, method=8, record=ntfs)
    return Engine([Part("help.txt", b"usage\n", record=ntfs), page, *more])


def _folder(path: str) -> Part:
    """A folder as zipobj writes it."""
    return Part(path, b"", mode=0o040755)


def _unlike_engine(record: bytes) -> tuple[bytes, ...]:
    return (record.replace(b"help.txt", b"hell.txt"),)


ENGINE: list[Row] = [
    (
        "engine-records-carried",
        "LF9002",
        "LF3026 LF2023 LF2027 LF2028 LF2041",
        "records of an engine's own ZIP, verbatim",
        lambda: engine().spec(),
    ),
    (
        "engine-record-dropped-weights",
        "LF9002",
        "LF3026",
        "an engine's own weights are not carried over",
        lambda: engine(Part("own.gguf", b"GGUF")).spec(dropped=(("own.gguf", "weights"),)),
    ),
    (
        "engine-record-dropped-collision",
        "LF9002",
        "LF3026",
        "engine assets whose names fold together are dropped",
        lambda: engine(Part("HELP.TXT", b"?")).spec(dropped=(("help.txt", "not-unique"), ("HELP.TXT", "not-unique"))),
    ),
    (
        "engine-record-dropped-taken",
        "LF9002",
        "LF3026",
        "an engine asset has the name of a member",
        lambda: engine(Part("license.txt", b"?")).spec(dropped=(("license.txt", "taken"),)),
    ),
    (
        "engine-record-dropped-differing",
        "LF9002",
        "LF3026 LF2018",
        "an engine asset whose headers differ is dropped",
        lambda: engine(Part("x.txt", b"?", local={"crc": 0})).spec(dropped=(("x.txt", "header-differs"),)),
    ),
    (
        "engine-record-dropped-unsafe",
        "LF9002",
        "LF3026 LF2034",
        "an engine asset with an unsafe name is dropped",
        lambda: engine(Part("../x.txt", b"?")).spec(dropped=(("../x.txt", "unsafe-name"),)),
    ),
    (
        "engine-record-dropped-arguments",
        "LF9002",
        "LF3026 LF3030",
        "an engine's own arguments are not carried over, however they are called",
        lambda: engine(Part("default.args", b"-c\n1\n"), Part("x/.ARGS", b"?")).spec(
            dropped=(("default.args", "arguments"), ("x/.ARGS", "arguments"))
        ),
    ),
    (
        "engine-record-dropped-reserved",
        "LF9002",
        "LF3026 LF2038",
        "an engine asset in the reserved folder is dropped",
        lambda: engine(Part("meta-llamafile/manifest.json", b"?")).spec(
            dropped=(("meta-llamafile/manifest.json", "reserved"),)
        ),
    ),
    (
        "engine-record-folder",
        "LF9002",
        "LF2030 LF2047 LF3012 LF3026",
        "the record of a folder of the engine's, which the engine opens to list it",
        lambda: engine(_folder("www/"), _folder("lib/")).spec(),
    ),
    (
        "engine-record-folder-left-out",
        "LF2047 LF9002",
        "LF3026",
        "a writer before 4.10.6 took the record of a folder for an unsafe name",
        lambda: engine(_folder("lib/")).spec(dropped=(("lib/", "unsafe-name"),)),
    ),
    (
        "engine-record-dropped-folder-of-a-member",
        "LF9002",
        "LF2032 LF3026",
        "an engine asset that is a file where a member needs a folder",
        lambda: engine(Part("docs", b"?")).spec(asset("docs/a.txt"), dropped=(("docs", "taken"),)),
    ),
    (
        "engine-record-dropped-folder-and-file",
        "LF9002",
        "LF2032 LF3026",
        "the engine names a file and a folder alike",
        lambda: engine(_folder("help.txt/")).spec(dropped=(("help.txt", "not-unique"), ("help.txt/", "not-unique"))),
    ),
    (
        "engine-record-dropped-folder-with-data",
        "LF9002",
        "LF2030 LF3026",
        "an engine asset whose name makes it a folder has data",
        lambda: engine(Part("lib/", b"?")).spec(dropped=(("lib/", "unsafe-name"),)),
    ),
    (
        "engine-record-dropped-folder-that-is-a-file",
        "LF9002",
        "LF2030 LF3026",
        "an engine asset whose name makes it a folder and whose mode makes it a file",
        lambda: engine(Part("lib/", b"")).spec(dropped=(("lib/", "unsafe-name"),)),
    ),
]

ENGINE_BAD: list[Row] = [
    (
        "engine-record-arguments",
        "LF3026 LF3030 LF3102 LF3103 LF3106 LF6109 LF9002",
        "LF2031",
        "an engine's own arguments stand in the directory of a container that has none",
        lambda: engine(Part(".args", b"--log-file\n../x\n...\n")).spec(),
    ),
    (
        "engine-record-changed",
        "LF2019 LF3102 LF9002",
        "LF3026",
        "a carried record has another name than in the engine",
        lambda: engine().spec(first=_unlike_engine),
    ),
    (
        "engine-record-carried-twice",
        "LF2031 LF2039 LF3102 LF3103 LF3106 LF9002",
        "LF2032",
        "a carried record stands twice in the directory",
        lambda: engine().spec(first=lambda record: (record, record)),
    ),
    (
        "engine-record-missing",
        "LF3102 LF3103 LF9002",
        "LF3026",
        "the engine's records are not carried over",
        lambda: engine().spec(first=lambda _: ()),
    ),
]


register(BYTES, "archive")
register(ENGINE, "none", packed=True)
register(ENGINE_BAD, "archive", packed=True)
