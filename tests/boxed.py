"""The exhibit packed with the newest engine, for tests of what its builds alone can do."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format
from tests.new_engine import KEY, TARGET
from tests.runtime_server import EXHIBIT, run


def pack_boxed(runtimes: Path, out: Path) -> Path:
    """The exhibit with the engine in ``runtimes``; skips where this kernel cannot close all of the sandbox."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LFF_RUNTIMES", str(runtimes))
    llamafile_format.pack(
        [EXHIBIT], out, runtime=f"{KEY}:{TARGET}", flavour="native", args=["--temp", "0", "-c", "512", "..."]
    )
    patch.undo()
    if "sandbox: files (Landlock" not in run(out, "--version").stdout:
        pytest.skip("this kernel has no Landlock")
    return out
