"""What this reader finds no fault in, the safetensors library loads, and sees the same tensors in it (spec/1, 7.16)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from llamafile_format.rules import Severity, rule
from llamafile_format.source import BytesSource
from llamafile_format.weights.safetensors import DTYPE_BITS, Safetensors, read_safetensors
from spec.vectors.generate.safetensors import FLOATS, ONE, file, raw, row

GOOD = file({"__metadata__": {"format": "pt"}, "a": row(0, 8, (2,)), "b": row(8, 16, (2,))})
STRICTER = {
    "a tensor twice": (raw(b'{"a":{' + ONE + b'},"a":{' + ONE + b"}}"), "LF5103"),
    "a key of the metadata twice": (raw(b'{"__metadata__":{"k":"1","k":"2"},"a":{' + ONE + b"}}"), "LF5103"),
    "a blank in front of the header": (raw(b' {"a":{' + ONE + b"}}"), "LF5102"),
    "a line feed behind the header": (raw(b'{"a":{' + ONE + b"}}\n"), "LF5102"),
}
"""What the library loads and this reader refuses: the whole list, as far as it is known."""


def loaded(data: bytes) -> dict[str, Any] | None:
    """What the library sees; None if it refuses."""
    try:
        return dict(safetensors.deserialize(data))
    except (safetensors.SafetensorError, ValueError):
        return None


def faultless(read: Safetensors) -> bool:
    """Without an error, and read to its end."""
    return read.complete and all(rule(finding.rule).severity is not Severity.ERROR for finding in read.findings)


def agree(data: bytes) -> bool:
    """True if there is no fault in ``data``; then the library must see the same."""
    read = read_safetensors(BytesSource(data))
    if not faultless(read):
        return False
    theirs = loaded(data)
    assert theirs is not None, data
    ours = {
        each.name: (each.dtype, list(each.shape), data[each.start : each.start + each.size]) for each in read.tensors
    }
    assert ours == {name: (each["dtype"], list(each["shape"]), bytes(each["data"])) for name, each in theirs.items()}
    return True


@pytest.mark.parametrize("what", STRICTER)
def test_stricter(what: str) -> None:
    data, broken = STRICTER[what]
    assert loaded(data) is not None
    assert broken in {finding.rule for finding in read_safetensors(BytesSource(data)).findings}


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_type_has_the_size_that_the_library_gives_it(dtype: str) -> None:
    size = 4 * DTYPE_BITS[dtype] // 8
    assert agree(file({"a": row(0, size, (4,), dtype)}, bytes(size)))


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=3), st.integers(0, 3))
def test_changed_bytes(at: int, put: bytes, take: int) -> None:
    agree(GOOD[:at] + put + GOOD[at + take :])


NUMBERS = st.one_of(st.integers(-1, 17), st.sampled_from([2**31, 2**63, 2**64, 4.0, "4", None]))
ROWS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DTYPE_BITS, "Q99"]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    },
    optional={"more": NUMBERS},
)


@given(st.dictionaries(st.text(max_size=2), ROWS, max_size=3), st.integers(0, 16))
def test_any_rows(rows: dict[str, Any], size: int) -> None:
    text = json.dumps(rows).encode()
    agree(raw(text, FLOATS[:size]))


def test_what_the_library_writes_has_no_fault(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16(1.5) * np.ones(3, np.float16)}
    save_file({**arrays, "none": np.zeros((0, 4), np.int8), "one": np.array(True)}, tmp_path / "w", {"format": "np"})
    assert agree((tmp_path / "w").read_bytes())
    read = read_safetensors(BytesSource((tmp_path / "w").read_bytes()))
    assert read.metadata == {"format": "np"}
    assert {each.name: each.shape for each in read.tensors} == {"a": (2, 3), "b": (3,), "none": (0, 4), "one": ()}
    assert read.findings == ()
