"""A really full disk: small file systems of their own, filled by pack, repack and extract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from tests.laws.containers import tiny_gguf

pytestmark = [pytest.mark.slow, pytest.mark.interop]


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
