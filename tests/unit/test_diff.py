"""What ``diff`` says, and that it says nothing about equal files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import llamafile_format as lf
from tests.laws.containers import small_container, tiny_gguf


def _areas(differences: list[lf.Difference]) -> set[tuple[str, str, str]]:
    return {(item.area, item.change, item.name) for item in differences}


def test_equal_files(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    assert lf.diff(path, path.read_bytes()) == []


def test_renamed_added_removed_changed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/m.gguf").write_bytes(tiny_gguf())
    (tmp_path / "two/renamed.gguf").write_bytes(tiny_gguf())
    (tmp_path / "one/old.txt").write_text("old")
    (tmp_path / "two/new.txt").write_text("new!")
    for name, text in (("one", "a"), ("two", "b")):
        (tmp_path / name / "same.txt").write_text(text)
    first, second = tmp_path / "1.llamafile", tmp_path / "2.llamafile"
    lf.pack(sorted((tmp_path / "one").iterdir()), first, prefix="none", name="A")
    lf.pack(sorted((tmp_path / "two").iterdir()), second, prefix="none", license="CC0-1.0")
    found = _areas(lf.diff(first, second))
    assert ("member", "renamed", "m.gguf") in found
    assert ("member", "removed", "old.txt") in found
    assert ("member", "added", "new.txt") in found
    assert ("member", "changed", "same.txt") in found
    assert ("metadata", "removed", "name") in found
    assert ("metadata", "added", "license") in found
    assert ("metadata", "changed", "default") in found


def test_chunks_that_differ_are_named(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        text = bytearray(9 << 20)
        text[5 << 20] = number
        (tmp_path / "big.txt").write_bytes(text)
        paths.append(tmp_path / f"{number}.llamafile")
        lf.pack([tmp_path / "big.txt"], paths[-1], prefix="none")
    (change,) = [item for item in lf.diff(*paths) if item.name == "big.txt"]
    assert "differ: 2 of 3" in change.detail


def test_prefix(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    out = tmp_path / "out"
    lf.repack(path, out, prefix=engine)
    found = _areas(lf.diff(path, out))
    assert ("prefix", "changed", "kind") in found
    assert ("metadata", "added", "history") in found
    assert not [item for item in found if item[2] == "tiny.gguf"]


def test_legacy_against_its_conversion(tmp_path: Path) -> None:
    path = tmp_path / "old.llamafile"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.gguf", tiny_gguf())
    out = tmp_path / "new.llamafile"
    lf.repack(path, out)
    found = lf.diff(path, out)
    assert not [item for item in found if item.name == "m.gguf" and item.change != "changed"]
    assert not [item for item in found if item.area == "prefix"]
