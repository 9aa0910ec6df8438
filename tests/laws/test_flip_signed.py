"""No single changed bit of a signed container leaves it authentic, whoever mends the CRCs around it."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest

from llamafile_format.signing.time import timestamps
from spec.vectors.generate.signatures_forge import Tail
from tests.laws.bits import bits_of
from tests.signed_samples import certified, countersigned, is_authentic, renewed, verify

SLICES = 8
TRUST = "level-lta"


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a token says depends on its bytes alone: to remember it for those that stay the same saves half the time."""
    monkeypatch.setattr(timestamps, "read_response", functools.lru_cache(maxsize=64)(timestamps.read_response))


def mended(bit: int, sample: Tail | None = None) -> bytes:
    """The sample with bit ``bit`` of all its records' data flipped, counted through; CRCs and directory are mended."""
    tail, byte = (sample or renewed()).copy(), bit // 8
    for record in tail.records:
        if byte < len(record.data):
            data = bytearray(record.data)
            data[byte] ^= 1 << bit % 8
            record.data = bytes(data)
            return tail.done()
        byte -= len(record.data)
    raise IndexError(bit)


def inside_records(tail: Tail) -> int:
    """How many bits the data of all records has."""
    return 8 * sum(len(record.data) for record in tail.records)


def outside_records(tail: Tail) -> list[int]:
    """The bytes of the file that are not data of a record."""
    data, at, found = tail.done(), len(tail.body), set(range(len(tail.body)))
    for record in tail.records:
        start = data.index(record.data, at)
        found |= set(range(at, start))
        at = start + len(record.data)
    return sorted(found | set(range(at, len(data))))


def believed(data: bytes) -> bool:
    return is_authentic(verify(data, TRUST))


def test_the_sample_is_authentic() -> None:
    data = renewed().done()
    assert believed(data)
    assert len(data) < 16384


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES))
def test_every_byte_of_the_records_with_checksums_mended(part: int) -> None:
    for bit in bits_of(range(inside_records(renewed()) // 8))[part::SLICES]:
        assert not believed(mended(bit)), f"bit {bit % 8} of byte {bit // 8} of the records"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_byte_of_everything_else(part: int) -> None:
    data = bytearray(renewed().done())
    for bit in bits_of(outside_records(renewed()))[part::4]:
        data[bit // 8] ^= 1 << bit % 8
        assert not believed(bytes(data)), f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


def test_sampled_bits() -> None:
    choose = random.Random(8)
    for bit in choose.sample(range(inside_records(renewed())), 200):
        assert not believed(mended(bit)), f"bit {bit % 8} of byte {bit // 8} of the records"
    data = bytearray(renewed().done())
    for bit in choose.sample(range(8 * len(data)), 200):
        data[bit // 8] ^= 1 << bit % 8
        assert not believed(bytes(data)), f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(("sample", "trust"), [(countersigned, "curator"), (certified, "certificate")])
def test_sampled_bits_of_other_records(sample: Callable[[], Tail], trust: str) -> None:
    """Attestations, material and stamps under a countersignature; certificates that a record brings."""
    assert is_authentic(verify(sample().done(), trust))
    for bit in random.Random(10).sample(range(inside_records(sample())), 300):
        found = is_authentic(verify(mended(bit, sample()), trust))
        assert not found, f"bit {bit % 8} of byte {bit // 8} of the records"


@pytest.mark.parametrize("trust", ["curator", TRUST])
def test_truncated_anywhere(trust: str) -> None:
    """A cut file is never authentic: its end is part of the canonical bytes."""
    data = renewed().done()
    for length in random.Random(9).sample(range(len(data)), 60):
        assert not is_authentic(verify(data[:length], trust)), f"cut at byte {length}"


def test_appended_bytes() -> None:
    data = renewed().done()
    for tail in (b"\0", b"\n", bytes(4096), b"PK\5\6" + bytes(18), data[-40:], data):
        assert not is_authentic(verify(data + tail))
