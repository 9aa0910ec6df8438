"""What an entry holds, unpacked: exactly as long as it says, whatever lies in its packed bytes."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from llamafile_format.errors import FormatError
from llamafile_format.source import BytesSource
from llamafile_format.zip.contents import BLOCK, inflate

DATA = bytes(range(256)) * (3 * BLOCK // 256 // 2)  # more than one block


def deflated(data: bytes) -> bytes:
    pack = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return pack.compress(data) + pack.flush()


def unpacked(packed: bytes, size: int, *, exact: bool = False) -> bytes:
    entry: Any = SimpleNamespace(path="a", data_offset=3, compressed_size=len(packed), size=size)
    return b"".join(inflate(BytesSource(b"abc" + packed + b"behind", "z"), entry, exact=exact))


@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_all_of_it(data: bytes) -> None:
    assert unpacked(deflated(data), len(data), exact=True) == data


@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_is_refused(change: int) -> None:
    with pytest.raises(FormatError, match=r"its size|another size"):
        unpacked(deflated(DATA), len(DATA) + change)


@pytest.mark.parametrize("packed", [deflated(DATA)[:-1], b"\xff" + deflated(DATA)])
def test_what_does_not_end_or_is_none_is_refused(packed: bytes) -> None:
    with pytest.raises(FormatError, match=r"another size|cannot be unpacked"):
        unpacked(packed, len(DATA))


@pytest.mark.parametrize("more", [1, 2 * BLOCK])
def test_bytes_behind_the_end_are_refused_where_that_is_asked(more: int) -> None:
    packed = deflated(DATA) + b"\0" * more
    assert unpacked(packed, len(DATA)) == DATA
    with pytest.raises(FormatError, match=f"has {more} bytes behind"):
        unpacked(packed, len(DATA), exact=True)
