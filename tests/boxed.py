"""The exhibit packed with the newest engine, for tests of what its builds alone can do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import llamafile_format
from tests.new_engine import KEY, TARGET, zig, zig_environment
from tests.runtime_server import EXHIBIT, run

SOURCE = Path(__file__).resolve().parents[1] / "runtimes" / KEY.replace("@", "/") / "source"


def pack_new(
    runtimes: Path,
    out: Path,
    model: Path = EXHIBIT,
    args: Sequence[str] = ("--temp", "0", "-c", "512", "..."),
    **more: Any,
) -> Path:
    """``model``, the exhibit unless another is given, with the engine in ``runtimes``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LFF_RUNTIMES", str(runtimes))
        chosen: dict[str, Any] = {"runtime": f"{KEY}:{TARGET}", "flavour": "native", "args": list(args)}
        return llamafile_format.pack([model], out, **(chosen | more)).path


def pack_boxed(runtimes: Path, out: Path) -> Path:
    """The exhibit with the engine in ``runtimes``; skips where this kernel cannot close all of the sandbox."""
    pack_new(runtimes, out)
    if "sandbox: files (Landlock" not in run(out, "--version").stdout:
        pytest.skip("this kernel has no Landlock")
    return out


def compiled(folder: Path, *sources: Path, headers: Path = SOURCE) -> Path:
    """A program of ``sources`` and the runtime's ``headers``, by the pinned compiler, which ``LFF_ZIG`` may name."""
    compiler = Path(os.environ.get("LFF_ZIG") or zig())
    command: list[str | Path] = [compiler, "c++", "-target", "x86_64-linux-musl", "-std=c++17", "-O2", "-I", headers]
    subprocess.run(
        [*command, *sources, "-o", folder / sources[0].stem],
        check=True,
        timeout=600,
        env=zig_environment(),
    )
    return folder / sources[0].stem
