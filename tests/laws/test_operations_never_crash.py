"""Broken files in, findings or the library's own errors out: never another exception, whatever the operation."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.reports.verify_json import report_json
from llamafile_format.reports.verify_text import report_text
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import read_vector, vector_files

SAMPLES = [v.payload for v in map(read_vector, vector_files(ROOT)) if v.kind == "container" and len(v.payload) < 90_000]
Change = Callable[[bytearray, int, random.Random], None]


def _flip(data: bytearray, at: int, source: random.Random) -> None:
    data[at] ^= 1 << source.randrange(8)


def _fill(data: bytearray, at: int, source: random.Random) -> None:
    data[at : at + source.randrange(1, 9)] = source.choice([b"\xff", b"\0", b"PK\5\6"]) * source.randrange(1, 3)


def _cut(data: bytearray, at: int, source: random.Random) -> None:
    del data[at : at + source.randrange(1, 64)]


def _repeat(data: bytearray, at: int, source: random.Random) -> None:
    data[at:at] = data[source.randrange(len(data)) :][: source.randrange(1, 200)]


CHANGES: list[Change] = [_flip, _flip, _fill, _cut, _repeat]


def broken(source: random.Random) -> bytes:
    """A sample with one to eight faults, now and then cut off."""
    data = bytearray(source.choice(SAMPLES))
    for _ in range(source.choice([1, 1, 2, 4, 8])):
        if data:
            source.choice(CHANGES)(data, source.randrange(len(data)), source)
    return bytes(data[: source.randrange(len(data))] if data and source.random() < 0.05 else data)


def _try_everything(data: bytes, folder: Path) -> None:
    for level in ("quick", "full", "exhaustive"):
        report = lf.verify(data, level=level)
        assert report_text(report).replace("\n", "").isprintable()
        assert report_json(report).isascii()
    for operation in (
        lambda: lf.inspect(data, tensors=True, kv=True).to_json(),
        lambda: lf.extract(data, folder / "out", force=True),
        lambda: lf.repack(data, folder / "repacked", force=True),
        lambda: lf.repack(data, folder / "legacy", to="legacy", force=True),
        lambda: lf.diff(data, SAMPLES[0]),
    ):
        with contextlib.suppress(lf.LlamafileError):
            operation()


@pytest.mark.parametrize("seed", range(4))
def test_some_broken_files(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    for _ in range(120):
        _try_everything(broken(source), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 108))
def test_many_broken_files(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    for _ in range(900):
        _try_everything(broken(source), tmp_path)


def test_repacking_never_launders_damage(tmp_path: Path) -> None:
    """What verify calls damaged does not become well-formed by a repack: refused, or still damaged."""
    from tests.laws.containers import small_container

    path = small_container(tmp_path)
    data = bytearray(path.read_bytes())
    with lf.open(path) as container:
        at = next(member.offset for member in container.members if member.path == "tiny.gguf") + 40
    data[at] ^= 1
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    out = tmp_path / "out"
    with contextlib.suppress(lf.LlamafileError):
        lf.repack(bytes(data), out, prefix=engine)
        assert "LF4001" in {finding.rule for finding in lf.verify(out).findings}
    with pytest.raises(lf.LlamafileError):
        lf.repack(bytes(data), tmp_path / "archived", profile="archive")
