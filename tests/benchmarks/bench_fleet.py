"""A fleet: 100,000 containers, quick, on this machine. They are hard links of 500 distinct ones, each read as its own.

``LFF_BENCH_OBJECTS`` asks for another number; the promise is then taken in proportion.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

import llamafile_format
from spec.vectors.generate.forge import gguf
from tests.benchmarks.measure import row

OBJECTS, DISTINCT, WORKERS = 100_000, 500, 2
SECONDS = 600
MEMORY = 256  # MiB of each process at most


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    objects = int(os.environ.get("LFF_BENCH_OBJECTS", OBJECTS))
    shelf = folder / "fleet"
    _fill(shelf, objects)
    print(f"      load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    command = [sys.executable, "-m", "llamafile_format", "fleet", "verify", str(shelf / "objects")]
    command += ["--ledger", str(shelf / "ledger"), "--level", "quick", "--workers", str(WORKERS)]
    begin = time.perf_counter()
    peaks, halves, spent = _watched(command)
    seconds = time.perf_counter() - begin
    wanted = SECONDS * objects / OBJECTS + 20  # starting does not shrink
    good = row(
        f"{objects} containers, {WORKERS} workers",
        f"{seconds:.0f} s, {objects / seconds:.0f}/s",
        f"<= {wanted:.0f} s",
        seconds <= wanted,
    )
    row(
        "processor time of an object",
        f"{1000 * spent / objects:.1f} ms",
        "in all processes, starting them included",
        True,
    )
    most = max(peaks.values(), default=0) >> 20
    grown = halves[1] / max(halves[0], 1)
    told = ", ".join(f"{name} {peak >> 20} MiB" for name, peak in peaks.items())
    good = row("memory of each process", f"{most} MiB", f"<= {MEMORY} MiB ({told})", most <= MEMORY) and good
    flat = 1.3
    good = row("memory of all, end to middle", f"{grown:.2f}", f"<= {flat}", grown <= flat) and good
    begin = time.perf_counter()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    done = "nothing to do" in again.stdout
    return row("the same again", f"{seconds:.1f} s", f"nothing to do, {objects / seconds:.0f}/s", done) and good


def _fill(shelf: Path, objects: int) -> None:
    """``objects`` has so many names of the distinct containers."""
    (shelf / "distinct").mkdir(parents=True)
    (shelf / "objects").mkdir()
    for number in range(DISTINCT):
        model = shelf / "distinct" / f"{number}.gguf"
        model.write_bytes(gguf(f"number {number}"))
        llamafile_format.pack([model], model.with_suffix(".llamafile"), prefix="none", license="CC0-1.0")
    for number in range(objects):
        part = shelf / "objects" / f"{number // 1000:04}"
        part.mkdir(exist_ok=True)
        os.link(shelf / "distinct" / f"{number % DISTINCT}.llamafile", part / f"{number}.llamafile")


def _watched(command: list[str]) -> tuple[dict[str, int], tuple[int, int], float]:
    """The largest resident set of each kind of process, and of all together in the middle and at the end, in bytes;
    and the processor seconds of them all.
    """
    peaks: dict[str, int] = {}
    sums: list[int] = []
    spent: dict[int, float] = {}
    with psutil.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            total = 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    line, size = " ".join(one.cmdline()), one.memory_info().rss
                    spent[one.pid] = sum(one.cpu_times()[:2])
                except psutil.Error:
                    continue
                kind = "child" if "fleet.child" in line else "worker" if "spawn_main" in line else "coordinator"
                peaks[kind] = max(peaks.get(kind, 0), size)
                total += size
            sums.append(total)
            time.sleep(0.5)
        print(f"      {process.stdout.read().decode().splitlines()[-1]}", flush=True)
    middle = sums[len(sums) // 2 :][: max(len(sums) // 10, 1)]
    end = sums[-max(len(sums) // 10, 2) : -1] or middle
    return peaks, (max(middle, default=0), max(end, default=0)), sum(spent.values())
