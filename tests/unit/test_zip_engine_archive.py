"""Which records of an engine's own ZIP a container carries over, and why the rest stays behind."""

from __future__ import annotations

import pytest

from llamafile_format.source import BytesSource
from llamafile_format.zip.engine_archive import engine_records, read_engine_directory
from spec.vectors.generate.forge import End, Part, archive
from spec.vectors.generate.legacy_shapes import engine, linked, symbols


def carried(*more: Part, taken: tuple[str, ...] = (), padding: int = 0) -> tuple[list[str], dict[str, str]]:
    """(carried paths, dropped reasons) of an engine with ``more`` assets."""
    data = bytes(engine(*more)[0]) + bytes(padding)
    found = engine_records(BytesSource(data), len(data), taken=taken)
    assert not found.opaque_reason
    assert found.count == len(found.carried) + len(found.dropped)
    return [entry.path for entry in found.carried], dict(found.dropped)


def test_all_of_a_plain_engine() -> None:
    assert carried() == ([".symtab.amd64", "help.txt", ".cosmo"], {})
    assert carried(padding=4000) == ([".symtab.amd64", "help.txt", ".cosmo"], {})


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (linked("x", b"1", local={"method": 0}), "header-differs"),
        (linked("x", b"1", local={"crc": 0}), "header-differs"),
        (linked("x", b"1", method=0, local={"size": 2}, record={"size": 2}), "header-differs"),
        (linked("x", b"1", local={"name": b"y"}), "header-differs"),
        (linked("x", b"1", record={"offset": 7}), "outside-prefix"),
        (linked("x", b"1", record={"csize": 1 << 30}, local={"csize": 1 << 30}), "outside-prefix"),
        (linked("x", b"1", local={"flags": 1}), "encrypted"),
        (linked("x", b"1", record={"flags": 8}), "data-descriptor"),
        (linked("x", b"1", method=0, local={"method": 12}, record={"method": 12}), "method"),
        (linked("../x", b"1"), "unsafe-name"),
        (linked("x/", b"", method=0), "unsafe-name"),
        (linked("Meta-Llamafile/x", b"1"), "reserved"),
        (linked("x.Gguf", b"1"), "weights"),
        (linked("HELP.TXT", b"1"), "not-unique"),
    ],
)
def test_dropped(part: Part, reason: str) -> None:
    paths, dropped = carried(part)
    assert part.path not in paths
    assert dropped[part.path] == reason
    assert "help.txt" not in paths if reason == "not-unique" else "help.txt" in paths


def test_taken_by_a_member() -> None:
    assert carried(taken=("HELP.txt",))[1] == {"help.txt": "taken"}


def test_overlap() -> None:
    first = linked(
        "a", b"12345678" * 8, method=0, local={"size": 100, "csize": 100}, record={"size": 100, "csize": 100}
    )
    dropped = carried(first, linked("b", b"1"))[1]
    assert dropped == {"a": "overlap", "b": "overlap"}


def test_opaque_engines() -> None:
    good = bytes(engine()[0])
    for data, rule in (
        (b"x" + good, "LF2008"),
        (good + b"x", "LF7002"),
        (archive([symbols()], end=End(comment=b"", end={"count": 2, "disk_count": 2})), "LF2006"),
    ):
        found = engine_records(BytesSource(data), len(data))
        assert found.opaque_reason == f"not read strictly: {rule}"
        assert found.present
        assert not found.carried


def test_no_zip_at_all() -> None:
    for data in (b"", b"MZ" * 1000, archive([], end=End(comment=b""))):
        found = engine_records(BytesSource(data), len(data))
        assert not found.present
        assert not found.opaque_reason


def test_padding_to_64_kib_is_looked_through() -> None:
    data = bytes(engine()[0])
    padded = data + bytes(-len(data) % 65536)
    assert read_engine_directory(BytesSource(padded), len(padded)).count == 3
