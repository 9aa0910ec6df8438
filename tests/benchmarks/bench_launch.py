"""Starting a file: the first start, and what the launcher adds to a runtime that is in the cache already."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from llamafile_format.prefix.bootstrap import HEADER_SIZE, Form, slot
from tests.benchmarks.measure import in_turns, row, timed
from tests.launcher_samples import HOST, cached, launchable

MIB = 1 << 20
RUNTIME = b"#!/bin/sh\nexit 0\n"


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    cache = folder / "launch-cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.environ["LFF_CACHE"] = str(cache)
    data = RUNTIME.ljust(24 * MIB + 12345, b"\n")
    file = launchable(folder / "launch.llamafile", {(HOST, "native"): data})
    native = launchable(folder / "launch-native.llamafile", {(HOST, "native"): data})
    with native.open("r+b") as stream:
        head = stream.read(1 << 16)
        stream.seek(0)
        stream.write(slot(head, {"linux-x86_64": Form.ELF_X86_64}.get(HOST, Form.ELF_AARCH64))[:HEADER_SIZE])
    kept = cached(cache, data)

    def first(command: list[str | Path]) -> float:
        kept.unlink(missing_ok=True)
        return timed(command)

    by_shell, by_kernel = in_turns(5, lambda: first(["sh", file]), lambda: first([native]))
    direct, shell, kernel = in_turns(41, lambda: timed([kept]), lambda: timed(["sh", file]), lambda: timed([native]))
    row("first start, 24 MiB runtime, by a shell", f"{1000 * by_shell:.0f} ms", "", True)
    row("first start, 24 MiB runtime, converted to ELF", f"{1000 * by_kernel:.0f} ms", "", True)
    row("later starts, converted to ELF", f"{1000 * (kernel - direct):+.1f} ms over the runtime", "", True)
    more = shell - direct
    return row("later starts, by a shell", f"{1000 * more:+.1f} ms over the runtime", "<= 20 ms", more <= 0.020)
