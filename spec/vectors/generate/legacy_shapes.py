"""Shapes of the tools that made legacy llamafiles: zipalign, zipobj, apelink (spec/1, 9.2), for the vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spec.vectors.generate.forge import End, Part, archive, extra, finish, gguf, place

DATE_2023 = (2023 - 1980) << 9 | 11 << 5 | 14  # 1700000000, in UTC
TIME_2023 = 22 << 11 | 13 << 5 | 10
MODEL = "model.gguf"
ARGS = b"-m\nmodel.gguf\n...\n"


def aligned(path: str, data: bytes, *, align: int = 65536, **changes: Any) -> Part:
    """A member as zipalign writes it: Zip64 in both headers, aligned by a gap, 24 unused bytes behind the data."""
    stamp = {"time": TIME_2023, "date": DATE_2023, "flags": 0x0800}
    local = {**stamp, "needed": 45, **changes.pop("local", {})}
    record = {**stamp, "needed": 45, **changes.pop("record", {})}
    return Part(path, data, align=align, wide=True, local=local, record=record, after=bytes(24), **changes)


def linked(path: str, data: bytes, *, method: int = 8, **changes: Any) -> Part:
    """An engine asset as zipobj writes it: NTFS times in the directory only, 2022-03-17 07:00."""
    date, time = (2022 - 1980) << 9 | 3 << 5 | 17, 7 << 11
    stamp = {"time": time, "date": date, "needed": 20 if method else 10}
    record = {**stamp, "extra": extra(0x000A, bytes(32)), "internal": 1, **changes.pop("record", {})}
    return Part(path, data, method=method, local={**stamp, **changes.pop("local", {})}, record=record, **changes)


def symbols(path: str = ".symtab.amd64") -> Part:
    """A symbol table as apelink writes it: no mode at all."""
    date = (2023 - 1980) << 9 | 7 << 5 | 29
    stamp = {"time": 0, "date": date, "needed": 45}
    return Part(path, b"symbols " * 16, method=8, mode=0, local=stamp, record=stamp)


def plain(path: str, data: bytes, **changes: Any) -> Part:
    """A member as ``zip -0`` writes it."""
    stamp = {"time": TIME_2023, "date": DATE_2023}
    local, record = {**stamp, **changes.pop("local", {})}, {**stamp, **changes.pop("record", {})}
    return Part(path, data, local=local, record=record, **changes)


def zipalign_end(**changes: Any) -> End:
    """Zip64 end records, the plain one with real counts and a sentinel offset, no comment."""
    return End(comment=b"", wide=True, **changes)


def run(out: bytearray, old: list[Part], new: list[Part], **end: Any) -> bytearray:
    """One run of zipalign on the archive ``out``: it appends ``new`` members and a directory of all."""
    for part in new:
        place(out, part)
    records = [replace(part) for part in [*old, *new]]
    return bytearray(finish(out, records, zipalign_end(**end)))


def engine(*more: Part) -> tuple[bytearray, list[Part]]:
    """An engine without code: its assets, its own directory and end record; and the parts, placed."""
    assets = [symbols(), linked("help.txt", b"usage: engine\n" * 8), linked(".cosmo", b"", method=0), *more]
    return bytearray(archive(assets, end=End(comment=b""))), assets


def llamafile(*members: Part, **end: Any) -> bytes:
    """An engine's ZIP to which zipalign added ``members`` (weights and arguments unless given)."""
    out, assets = engine()
    chosen = list(members) or [aligned(MODEL, gguf()), aligned(".args", ARGS)]
    return bytes(run(out, assets, chosen, **end))


def small(*members: Part, **changes: Any) -> bytes:
    """A plain ZIP of stored members, weights on a 16,384-byte boundary: nothing about it is odd."""
    chosen = list(members) or [plain(MODEL, gguf(), align=16384), plain(".args", ARGS)]
    return archive(chosen, end=End(**{"comment": b"", **changes}))
