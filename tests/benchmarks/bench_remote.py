"""Full verification over http from nginx on loopback, against verifying here and downloading (spec/1, 10.12.5)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llamafile_format as lf
from tests.benchmarks.bench_verify import packed
from tests.benchmarks.measure import row
from tests.nginx_server import serving

GIB = 1 << 30
PART = 4 << 20


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of processor that ``work`` took, the best of three of each."""
    walls, cores = [], []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - cpu)
    return min(walls), min(cores)


def download(url: str) -> None:
    """Read all of it as a verification does, and throw it away."""
    with lf.open_remote(url) as source, ThreadPoolExecutor(2) as pool:
        starts = range(0, source.size, PART)

        def part(at: int) -> None:
            source.read_into(at, memoryview(bytearray(min(PART, source.size - at))))

        list(pool.map(part, starts))


def verify(url: str) -> None:
    """The verification that is measured."""
    with lf.open_remote(url) as source:
        assert lf.verify(source).complete


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        print("not measured: nginx is not installed")
        return True
    path = packed(folder)
    with serving(Path(program), folder / "nginx") as nginx:
        os.link(path, nginx.root / "model.llamafile")
        url = nginx.url("model.llamafile")
        here, hashing = measured(lambda: lf.verify(path))
        there, _ = measured(lambda: download(url))
        both, spent = measured(lambda: verify(url))
    ratio, cost = both / (here + there), (spent - hashing) / (path.stat().st_size / GIB)
    told = f"{both:.2f} / ({here:.2f} + {there:.2f}) s = {ratio:.2f} x"
    ok = row("verify over http vs here and a download", told, "<= 1.25 x", ratio <= 1.25)
    return row("verify over http, beyond hashing", f"{cost:.2f} s/GiB", "<= 0.8 s/GiB", cost <= 0.8) and ok
