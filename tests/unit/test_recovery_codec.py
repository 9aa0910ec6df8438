"""The codec of recovery sets (17.1 to 17.6): laws of the field, slices lost and given back, hostile sets."""

from __future__ import annotations

import hashlib
import math
import os
import random
import struct
import tempfile
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.output.transfer import OpenFile
from llamafile_format.recovery import packets, sets
from llamafile_format.recovery.encode import encode_set, first_difference, member_size, write_member, write_slices
from llamafile_format.recovery.field import EXP, LOG, ORDER, constants, inverse_of, times
from llamafile_format.recovery.find import find_slices
from llamafile_format.recovery.geometry import Geometry, geometry_of
from llamafile_format.recovery.restore import lost_slices, solve_lost
from llamafile_format.recovery.sets import RecoverySet, sets_of
from llamafile_format.recovery.solve import choose, invert
from llamafile_format.source import BytesSource

ELEMENTS = st.integers(1, 65_535)


def slow_product(a: int, b: int) -> int:
    """Polynomials modulo 0x1100B, as the standard says it."""
    product = 0
    for bit in range(16):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(30, 15, -1):
        if product >> bit & 1:
            product ^= 0x1100B << (bit - 16)
    return product


@given(ELEMENTS, st.integers(0, 65_535))
def test_products_are_those_of_polynomials(a: int, b: int) -> None:
    assert int(times(int(LOG[a]))[b]) == slow_product(a, b)


@given(ELEMENTS)
def test_inverses(a: int) -> None:
    assert slow_product(a, inverse_of(a)) == 1


def test_constants_are_those_of_the_standard() -> None:
    assert list(constants(12)) == [1, 2, 4, 7, 8, 11, 13, 14, 16, 19, 22, 23]
    assert len(constants(32_768)) == 32_768
    with pytest.raises(ValueError, match="32769"):
        constants(32_769)


def encoded(data: bytes, geometry: Geometry, *, percent: int = 5, skeleton: bytes = b"") -> bytes:
    """Critical packets and all recovery slices of ``data``, one behind the other."""
    with tempfile.TemporaryFile() as file:
        store = OpenFile(file.fileno())
        made = encode_set(BytesSource(data), geometry, percent=percent, skeleton=skeleton)
        store.write(0, made.critical)
        size = packets.HEAD.size + 4 + geometry.slice_size
        write_slices(BytesSource(data), made, lambda exponent: (store, len(made.critical) + exponent * size))
        return os.pread(file.fileno(), 1 << 30, 0)


def only_set(blob: bytes) -> RecoverySet:
    (found,) = sets_of(packets.packets_in(BytesSource(blob)))
    return found


def restored(wanted: RecoverySet, damaged: bytes, *more: bytes) -> bytes:
    sources = [BytesSource(each) for each in (damaged, *more)]
    places = find_slices(wanted, sources, search=sources)
    geometry = wanted.geometry
    out = bytearray(geometry.length)
    for index, place in places.items():
        at = index * geometry.slice_size
        out[at : at + geometry.size_of(index)] = place.source.read_at(place.offset, geometry.size_of(index))

    def write(at: int, data: bytes) -> None:
        out[at : at + len(data)] = data

    solve_lost(wanted, places, write)
    return bytes(out)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6000), st.integers(1, 64), st.integers(1, 8), st.integers(0, 1 << 30))
def test_whatever_is_lost_within_the_budget_comes_back(length: int, units: int, recovery: int, seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(length)
    geometry = Geometry(length, 4 * units, recovery)
    if geometry.slices > 500:
        return
    wanted = only_set(encoded(data, geometry))
    damaged = bytearray(data)
    for index in chance.sample(range(geometry.slices), min(recovery, geometry.slices)):
        damaged[index * geometry.slice_size] ^= 0xFF
    assert restored(wanted, bytes(damaged)) == data


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 30), st.integers(0, 300), st.integers(1, 200), st.booleans())
def test_bytes_deleted_or_inserted_are_found_around(seed: int, at: int, count: int, insert: bool) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(20_011)
    wanted = only_set(encoded(data, Geometry(len(data), 256, 4)))
    at *= 60
    damaged = data[:at] + (chance.randbytes(count) + data[at:] if insert else data[at + count :])
    assert restored(wanted, damaged) == data


def test_the_same_bytes_give_the_same_member() -> None:
    data = random.Random(3).randbytes(70_001)

    def member() -> bytes:
        with tempfile.TemporaryFile() as file:
            write_member(BytesSource(data), 7, b"{}\n", OpenFile(file.fileno()), 0)
            return os.pread(file.fileno(), 1 << 24, 0)

    first = member()
    assert first == member()
    assert len(first) == member_size(len(data), 7, 3)
    assert first_difference(BytesSource(data), 7, b"{}\n", BytesSource(first)) is None
    for at in (0, 40, 200, len(first) // 3, len(first) // 2, len(first) - 1):
        wrong = bytearray(first)
        wrong[at] ^= 1
        found = first_difference(BytesSource(data), 7, b"{}\n", BytesSource(bytes(wrong)))
        assert found is not None
    assert only_set(first).skeleton == b"{}\n"
    assert only_set(first).percent == 7


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(4).randbytes(90_000)
    geometry = Geometry(len(data), 16_384, 3)
    whole = encoded(data, geometry)
    monkeypatch.setattr("llamafile_format.recovery.parity.BAND_BYTES", 1)
    monkeypatch.setattr(
        "llamafile_format.recovery.encode.bands", lambda size, rows: iter([(0, 4096), (4096, size - 4096)])
    )
    assert encoded(data, geometry) == whole


def test_slice_rule() -> None:
    assert geometry_of(1, 5) == Geometry(1, 4096, 1)
    assert geometry_of(2000 * 4096, 5) == Geometry(2000 * 4096, 4096, 100)
    assert geometry_of(2000 * 4096 + 1, 5).slice_size == 8192
    assert geometry_of(100_000_000_000, 5).slice_size == 64 << 20


# Exponents that do not determine what is lost


def singular_exponents(slices: int, lost: Sequence[int]) -> tuple[int, int]:
    """Two exponents by which the two ``lost`` slices cannot be told apart: (c1 / c2) to their difference is 1."""
    logs = [int(constants(slices)[index]) for index in lost]
    return 0, ORDER // math.gcd(logs[0] - logs[1], ORDER)


def test_a_singular_choice_is_avoided() -> None:
    lost = next([0, other] for other in range(1, 200) if singular_exponents(200, [0, other])[1] < ORDER)
    first, second = singular_exponents(200, lost)
    matrix = EXP[(np.array([first, second])[:, None] * constants(200)[np.array(lost)][None, :]) % ORDER]
    with pytest.raises(FormatError, match="determine"):
        invert(matrix)
    chosen, _ = choose(200, lost, [first, second, second + 2])
    assert chosen in ([first, second + 2], [second, second + 2])
    with pytest.raises(FormatError, match="determine"):
        choose(200, lost, [first, second])


def test_consecutive_exponents_are_taken_first() -> None:
    assert choose(50, [3, 7, 9], [0, 2, 4, 10, 11, 12, 20])[0] == [10, 11, 12]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 1 << 30))
def test_inverse_times_matrix_is_one(size: int, seed: int) -> None:
    chance = random.Random(seed)
    matrix = np.array([[chance.randrange(65_536) for _ in range(size)] for _ in range(size)], np.uint16)
    try:
        other = invert(matrix)
    except FormatError:
        return
    for i in range(size):
        for j in range(size):
            total = 0
            for k in range(size):
                total ^= slow_product(int(other[i, k]), int(matrix[k, j]))
            assert total == (i == j)


# Hostile sets


def made(kind: bytes, set_id: bytes, body: bytes) -> bytes:
    return packets.packet(kind, set_id, body)


def forged(*, length: int, slice_size: int, count: int, name: bytes = b"x", files: int = 1) -> bytes:
    """A set that names what it is told to, with right ids and digests."""
    first = hashlib.md5(b"").digest()
    file_id = hashlib.md5(first + struct.pack("<Q", length) + name).digest()
    main = struct.pack("<QI", slice_size, files) + file_id * files
    set_id = hashlib.md5(main).digest()
    sums = file_id + (bytes(16) + struct.pack("<I", zlib.crc32(b""))) * count
    file = file_id + bytes(16) + first + struct.pack("<Q", length) + name
    return b"".join(
        [made(packets.MAIN, set_id, main), made(packets.FILE, set_id, file), made(packets.SUMS, set_id, sums)]
    )


@pytest.mark.parametrize(
    "numbers",
    [
        {"length": 0, "slice_size": 4, "count": 1},
        {"length": 1 << 63, "slice_size": 1 << 62, "count": 2},
        {"length": 10, "slice_size": 0, "count": 1},
        {"length": 10, "slice_size": 6, "count": 2},
        {"length": 10, "slice_size": 4, "count": 2},
        {"length": 10, "slice_size": 4, "count": 4},
        {"length": 4, "slice_size": 4, "count": 1, "files": 2},
    ],
)
def test_sets_that_contradict_themselves_are_left_out(numbers: dict[str, int]) -> None:
    assert sets_of(packets.packets_in(BytesSource(forged(**numbers)))) == []


def test_a_name_is_a_label() -> None:
    found = only_set(forged(length=4, slice_size=4, count=1, name=b"../../etc/passwd"))
    assert found.name == "../../etc/passwd"  # shown, and nothing is opened by it


def test_a_slice_of_a_terabyte_costs_nothing() -> None:
    wanted = only_set(forged(length=1, slice_size=1 << 40, count=1))
    assert find_slices(wanted, [BytesSource(b"a" * 100)], search=[BytesSource(b"a" * 100)]) == {}


def test_claims_inside_claims_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_WASTED", 0)
    size = 64 * 400
    blob = b"".join(packets.MAGIC + struct.pack("<Q", size - at) + bytes(48) for at in range(0, size, 64))
    with pytest.raises(LimitExceeded, match="begins like PAR2"):
        list(packets.packets_in(BytesSource(blob)))


def test_sums_of_nothing_but_zeros_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows whose CRC-32 is wanted and whose MD5 is not are hashed in vain, up to a bound."""
    monkeypatch.setattr("llamafile_format.recovery.find._WASTED", 0)
    first = hashlib.md5(b"").digest()
    file_id = hashlib.md5(first + struct.pack("<Q", 8192) + b"x").digest()
    main = struct.pack("<QI", 4096, 1) + file_id
    set_id = hashlib.md5(main).digest()
    sums = file_id + (b"\xff" * 16 + struct.pack("<I", zlib.crc32(bytes(4096)))) * 2
    file = file_id + bytes(16) + first + struct.pack("<Q", 8192) + b"x"
    blob = made(packets.MAIN, set_id, main) + made(packets.FILE, set_id, file) + made(packets.SUMS, set_id, sums)
    zeros = BytesSource(bytes(1 << 20))
    assert find_slices(only_set(blob), [zeros], search=[zeros]) == {}


def test_no_more_than_some_sets_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MAX_SETS", 2)
    blob = b"".join(forged(length=n, slice_size=4, count=1) for n in (1, 2, 3))
    assert len(sets_of(packets.packets_in(BytesSource(blob)))) == 2


def test_too_much_is_lost() -> None:
    data = random.Random(5).randbytes(5000)
    wanted = only_set(encoded(data, Geometry(len(data), 512, 2)))
    places = find_slices(wanted, [BytesSource(data[2048:])])
    assert len(lost_slices(wanted, places)) == 10
    with pytest.raises(FormatError, match="10 slices are lost, and 2"):
        solve_lost(wanted, places, lambda at, block: None)
