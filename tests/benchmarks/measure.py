"""How we measure: whole processes, several runs taken in turns, medians; machines are shared and noisy."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PYTHON = sys.executable
CLI = [PYTHON, "-m", "llamafile_format"]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have compiled modules; measure what users have


def timed(command: Sequence[str | Path]) -> float:
    """Wall seconds of one run; its output goes nowhere."""
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def in_turns(runs: int, *actions: Callable[[], float]) -> list[float]:
    """Medians of ``actions``, run one after the other ``runs`` times, so that noise hits all of them alike."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(runs):
        for index, action in enumerate(actions):
            times[index].append(action())
    return [statistics.median(each) for each in times]


def peak_kib(command: Sequence[str | Path]) -> int:
    """Peak resident memory of one run, in KiB."""
    # A child's ru_maxrss starts at its parent's size, so a small interpreter of its own starts it.
    program = (
        "import os, sys; p = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:]); print(os.wait4(p, 0)[2].ru_maxrss)"
    )
    run = [PYTHON, "-I", "-S", "-c", program, *map(str, command)]
    shown = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    return int(shown.split()[-1])


def random_file(path: Path, size: int) -> Path:
    """A file of ``size`` bytes that does not compress and has no holes; made once."""
    if path.exists() and path.stat().st_size == size:
        return path
    block = os.urandom(4 << 20)
    with path.open("wb") as file:
        for index in range(-(-size // len(block))):
            file.write(index.to_bytes(8, "little") + block[8:])
        file.truncate(size)
    return path


def row(what: str, found: str, wanted: str, good: bool) -> bool:
    """Print one line of the table; ``good`` again."""
    print(f"{'ok  ' if good else 'MISS'}  {what:<52} {found:<30} {wanted}", flush=True)
    return good
