"""Sources one behind the other read like their bytes one behind the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.errors import SourceError
from llamafile_format.source import BytesSource, Chain, Window

PIECES = st.lists(st.binary(max_size=20), max_size=6)


@given(PIECES, st.integers(-2, 130), st.integers(-2, 130))
def test_chain_is_concatenation(pieces: list[bytes], offset: int, length: int) -> None:
    data, chain = b"".join(pieces), Chain("all", [BytesSource(piece) for piece in pieces])
    assert chain.size == len(data)
    if offset < 0 or length < 0 or offset + length > len(data):
        with pytest.raises(SourceError, match="all: read of"):
            chain.read_at(offset, length)
    else:
        assert chain.read_at(offset, length) == data[offset : offset + length]
        assert chain.read_ranges([(offset, length), (0, offset)]) == [data[offset : offset + length], data[:offset]]
        assert Window(chain, offset, length).read_at(0, length) == data[offset : offset + length]
