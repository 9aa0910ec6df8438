"""The emulated readers of the engine, against what upstream's code does step by step."""

from __future__ import annotations

import struct

import pytest

from llamafile_format.source import BytesSource
from llamafile_format.zip.reader import read_archive
from llamafile_format.zip.views import Opened, weights_directory, weights_reader_view, zipos_directory, zipos_view
from spec.vectors.generate import legacy
from spec.vectors.generate.forge import End, Part, archive, gguf
from spec.vectors.generate.legacy_shapes import ARGS, MODEL, llamafile, plain, small


def test_both_readers_agree_with_ours_on_what_zipalign_writes() -> None:
    data = llamafile()
    source = BytesSource(data)
    entry = read_archive(source).entry(MODEL)
    assert entry is not None
    expected = Opened(entry.data_offset, entry.size, 0)
    assert weights_reader_view(source).opened == {MODEL: expected}
    view = zipos_view(source)
    assert view.opened[MODEL] == expected
    assert view.errors == {".symtab.amd64": "EACCES: no read bit in its mode"}


@pytest.mark.parametrize(
    ("data", "wanted", "message"),
    [
        (b"", None, "not a pkzip archive"),
        (b"MZ" * 100_000, None, "not a pkzip archive"),
        (archive([], end=End(comment=b"")), None, "not a pkzip archive"),
        (small(end={"offset": 0x7FFFFFFF}), None, "failed to pread zip cdir"),
        (small(end={"offset": 1}), None, "failed to locate zip central directory"),
        (
            small(directory=lambda d: d[: d.rindex(b"PK")] + b"XX" + d[d.rindex(b"PK") + 2 :]),
            None,
            "corrupted zip central directory entry magic",
        ),
        (small(plain("a.txt", b"x")), None, "no .gguf file found in zip archive"),
        (small(plain(".gguf", b"x")), None, "no .gguf file found in zip archive"),
        (small(), "other.gguf", "no other.gguf file found in zip archive"),
        (small(plain("a.gguf", b"x"), plain("B.GGUF", b"x")), None, "multiple .gguf files found in zip archive"),
    ],
)
def test_messages_that_stop_the_weights_reader(data: bytes, wanted: str | None, message: str) -> None:
    assert weights_reader_view(BytesSource(data), wanted).error == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": 8}, "weights stored in the zip executable can't be stored using compression"),
        ({"record": {"offset": 0x7FFFFFFF}}, "failed to pread lfile"),
        ({"record": {"offset": 1}}, "corrupted zip local file magic"),
        ({"record": {"csize": 1 << 30}}, "failed to map zip file"),
        ({"record": {"csize": 0xFFFFFFFF}}, "failed to map zip file"),
        ({"record": {"offset": 0xFFFFFFFF}}, "failed to pread lfile"),
    ],
)
def test_messages_about_one_member(changes: dict[str, object], message: str) -> None:
    data = small(plain(MODEL, gguf(), **changes))
    assert weights_reader_view(BytesSource(data)).errors == {MODEL: message}


def test_the_classic_differential() -> None:
    """Plain end record and Zip64 locator: each reader takes another one."""
    source = BytesSource(legacy.second_end_record())
    weights, zipos = weights_directory(source), zipos_directory(source)
    assert not isinstance(weights, str)
    assert not isinstance(zipos, str)
    assert weights.offset != zipos.offset
    assert list(weights_reader_view(source).opened) == [MODEL]
    assert list(zipos_view(source).opened) == ["evil.gguf"]


def test_zipos_takes_sizes_from_the_local_header() -> None:
    data = small(plain(".args", ARGS, local={"size": 3, "csize": 3}))
    assert zipos_view(BytesSource(data)).opened[".args"].size == 3


def test_search_windows() -> None:
    """The weights reader sees 65,536 bytes, /zip/ a little more."""
    hidden = BytesSource(small(comment=bytes(65520)))
    assert weights_directory(hidden) == "not a pkzip archive"
    assert not isinstance(zipos_directory(hidden), str)
    assert not isinstance(weights_directory(BytesSource(small(comment=bytes(65514)))), str)


def test_locator_far_in_front_wins_for_zipos_only_within_128_bytes() -> None:
    inner = archive([Part("a.txt", b"x")], end=End(comment=b"", wide=True))
    end = inner.rindex(b"PK\5\6")
    offset, size = struct.unpack_from("<QQ", inner, inner.index(b"PK\6\6") + 40)[::-1]
    plain_end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, size, offset, 0)
    for gap, wide in ((0, True), (100, True), (200, False)):
        data = inner[:end] + bytes(gap) + plain_end
        found = zipos_directory(BytesSource(data))
        assert not isinstance(found, str)
        assert found.offset == offset
        altered = data.replace(plain_end, plain_end[:12] + struct.pack("<I", size + 1) + plain_end[16:])
        found = zipos_directory(BytesSource(altered))
        assert not isinstance(found, str)
        assert (found.size == size) is wide
