"""Prefix checks that need more than a vector can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamafile_format.checks.prefix import WINDOWS_MAX, check_prefix
from llamafile_format.prefix.identify import identify
from llamafile_format.source import FileSource
from spec.vectors.generate import ape as forge


def rules(path: Path, *, legacy: bool = False) -> set[str]:
    with FileSource(path) as source:
        return {item.rule for item in check_prefix(source, 1 << 17, identify(source, limit=1 << 17), legacy=legacy)}


@pytest.mark.parametrize(("size", "expected"), [(WINDOWS_MAX, set()), (WINDOWS_MAX + 1, {"LF1014"})])
def test_windows_limit(tmp_path: Path, size: int, expected: set[str]) -> None:
    path = tmp_path / "big.EXE"
    path.write_bytes(forge.forge())
    with path.open("r+b") as file:
        file.truncate(size)
    assert rules(path) == expected
    other = path.rename(tmp_path / "big.llamafile")
    assert rules(other) == set()  # the small program beside it is the one that Windows starts
    assert rules(other, legacy=True) == expected


def test_no_warning_without_a_windows_program(tmp_path: Path) -> None:
    path = tmp_path / "big.exe"
    path.write_bytes(forge.elf())
    with path.open("r+b") as file:
        file.truncate(WINDOWS_MAX + 1)
    assert rules(path) == set()


def test_legacy_prefix_may_have_any_size(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(forge.elf() + bytes(1 << 17))
    with FileSource(path) as source:
        facts = identify(source)
        assert [item.rule for item in check_prefix(source, 70_001, facts)] == ["LF1013"]
        assert list(check_prefix(source, 70_001, facts, legacy=True)) == []
