"""A really full disk: small file systems of their own, filled by pack, repack, extract, and what cares for files."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.caring import freeze, protect
from tests.laws.containers import tiny_gguf

pytestmark = pytest.mark.interop


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_full_disk_leaves_nothing(kind: str, loop_fs: Callable[..., Path], tmp_path: Path) -> None:
    small = loop_fs(kind, 120)
    model = tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf(values=(140 << 20) // 4))
    packed = tmp_path / "m.llamafile"
    lf.pack([model], packed, prefix="none")
    before = sorted(path.name for path in small.iterdir())
    for command in (
        ["pack", model, "--prefix", "none", "-o", small / "m.llamafile"],
        ["repack", packed, "--name", "x", "-o", small / "r.llamafile"],
        ["extract", packed, "m.gguf", "-C", small],
    ):
        run = [sys.executable, "-m", "llamafile_format", *map(str, command)]
        result = subprocess.run(run, capture_output=True, text=True, check=False)
        assert result.returncode == 4, result.stderr
        assert "no space left" in result.stderr
        assert (
            "are needed and" in result.stderr or kind == "btrfs"
        )  # said before a byte is written, where it is certain
        assert sorted(path.name for path in small.iterdir()) == before


def test_caring_on_a_full_disk(loop_fs: Callable[..., Path], tmp_path: Path) -> None:
    """They say that there is no room and how to go on, leave nothing behind, and work when there is."""
    small = loop_fs("ext4", 16)
    (tmp_path / "m.gguf").write_bytes(tiny_gguf(values=(8 << 20) // 4))
    kept, frozen = tmp_path / "m.llamafile", tmp_path / "frozen"
    lf.pack([tmp_path / "m.gguf"], kept, prefix="none")
    freeze(kept, frozen)
    protect(kept)
    here = small / "m.llamafile"
    data = bytearray(kept.read_bytes())
    data[4_000_000:4_012_000] = bytes(12_000)
    here.write_bytes(data)

    def ask(*words: str | Path) -> subprocess.CompletedProcess[str]:
        run = [sys.executable, "-m", "llamafile_format", *map(str, words)]
        return subprocess.run(run, capture_output=True, text=True, check=False)

    assert ask("scrub", small, "--state", small / "state").returncode == 1
    with open(small / "fill", "wb", buffering=0) as fill, contextlib.suppress(OSError):
        while fill.write(bytes(1 << 12)):
            pass
    there = sorted(small.rglob("*"))
    par2 = ["--par2", tmp_path / "m.llamafile.par2"]
    for words in (
        ["protect", here],
        ["protect", here, "--inside", "--force"],
        ["repair", here, *par2],
        ["repair", here, *par2, "--in-place"],
        ["freeze", kept, "-o", small / "f"],
        ["thaw", frozen, "-o", small / "t"],
        ["scrub", small, "--state", small / "state"],
    ):
        done = ask(*words)
        assert done.returncode == 4, (words, done.stderr)
        assert re.search("no space left|disk is full", done.stderr), words
        assert "hint: " in done.stderr, words
        assert here.read_bytes() == data
        assert sorted(small.rglob("*")) == there, words
    (small / "fill").unlink()
    assert ask("repair", here, *par2, "--in-place").returncode == 0
    assert here.read_bytes() == kept.read_bytes()
    assert ask("scrub", small, "--state", small / "state").returncode == 0
