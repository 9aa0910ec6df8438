"""No single changed bit, no truncation and no appended byte leaves a container well-formed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format import Layer, Verdict
from tests.laws.bits import bits_of
from tests.laws.containers import small_container

SLICES = 8


def _verdict(data: bytes, level: str = "exhaustive") -> Verdict:
    return llamafile_format.verify(data, level=level).verdicts.get(Layer.WELL_FORMED, Verdict.NO)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES))
def test_every_byte_of_a_small_container(tmp_path: Path, part: int) -> None:
    data = bytearray(small_container(tmp_path).read_bytes())
    assert len(data) <= 12288
    assert _verdict(bytes(data)) is Verdict.YES
    for bit in bits_of(range(len(data)))[part::SLICES]:
        data[bit // 8] ^= 1 << bit % 8
        assert _verdict(bytes(data), "full") is Verdict.NO, f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_truncation_at_every_byte(tmp_path: Path, part: int) -> None:
    data = small_container(tmp_path).read_bytes()
    for length in range(part, len(data), 4):
        for level in ("quick", "full"):
            assert _verdict(data[:length], level) is Verdict.NO, f"cut at byte {length}"


def test_sampled_bits(tmp_path: Path) -> None:
    data = bytearray(small_container(tmp_path).read_bytes())
    for bit in random.Random(1).sample(range(len(data) * 8), 400):
        data[bit // 8] ^= 1 << bit % 8
        assert _verdict(bytes(data), "full") is Verdict.NO, f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


def test_damage_is_located(tmp_path: Path) -> None:
    """A flipped bit of member data is reported within its chunk, in its member."""
    path = small_container(tmp_path)
    data = bytearray(path.read_bytes())
    with llamafile_format.open(path) as container:
        members = [member for member in container.members if member.role in ("weights", "license", "readme")]
    for member in members:
        at = member.offset + member.size // 2
        data[at] ^= 0x10
        found = [f for f in llamafile_format.verify(bytes(data)).findings if f.rule == "LF4001"]
        data[at] ^= 0x10
        assert [f.where.member for f in found] == [member.path]
        where = found[0].where
        assert where.offset is not None
        assert where.length is not None
        assert where.offset <= at < where.offset + where.length


def test_sampled_bits_of_a_large_container(tmp_path: Path) -> None:
    """Bits of a container with several chunks and an engine, sampled; data damage names member and chunk."""
    model = tmp_path / "big.gguf"
    from tests.laws.containers import tiny_gguf

    model.write_bytes(tiny_gguf(values=3 << 20))
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n" + bytes(1000))
    path = tmp_path / "big.llamafile"
    llamafile_format.pack([model], path, prefix=engine)
    data = bytearray(path.read_bytes())
    for bit in random.Random(2).sample(range(len(data) * 8), 60):
        data[bit // 8] ^= 1 << bit % 8
        assert _verdict(bytes(data), "full") is Verdict.NO, f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


def test_appended_bytes(tmp_path: Path) -> None:
    data = small_container(tmp_path).read_bytes()
    for tail in (b"\0", b"\n", bytes(4096), b"PK\5\6" + bytes(18), data[-40:], data):
        assert _verdict(data + tail) is not Verdict.YES
