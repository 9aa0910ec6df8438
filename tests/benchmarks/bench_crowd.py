"""The newest engine beside other work, and with many clients: its own choices against fixed ones.

``LFF_NEW_ENGINE`` names another folder of pins. ``LFF_BENCH_MODEL`` is the model for
the threads (default: random weights). Ratios of medians, taken in turns, so that a noisy machine is noisy to all alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import llamafile_format
from tests.benchmarks.measure import row
from tests.benchmarks.random_model import write
from tests.new_engine import KEY, TARGET
from tests.runtime_server import EXHIBIT, Server, served

ROUNDS, TOKENS, CLIENTS, WORDS = 5, 32, 64, 96
QUIET, BESIDE, CROWD = 0.95, 0.7, 1.2
OURS = "its own choice"


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    if engine := os.environ.get("LFF_NEW_ENGINE"):
        os.environ["LFF_RUNTIMES"] = engine
    big = Path(os.environ.get("LFF_BENCH_MODEL", folder / "random.gguf"))
    if not big.exists():
        write(big)
    print(f"      load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    good = [threads(packed(folder / "big.llamafile", big)), clients(packed(folder / "small.llamafile", EXHIBIT))]
    return all(good)


def packed(out: Path, model: Path) -> Path:
    """``model`` with the newest engine."""
    llamafile_format.pack([model], out, runtime=f"{KEY}:{TARGET}", flavour="native", args=["..."], force=True)
    return out


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many loops beside, each with a processor to itself if it can."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def threads(file: Path) -> bool:
    """Tokens a second with the engine's own number of threads, against the best fixed one."""
    counts = range(1, (os.cpu_count() or 1) + 1)
    settings: dict[str, tuple[str, ...]] = {OURS: ()} | {f"-t {count}": ("-t", str(count)) for count in counts}
    good = True
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_started(file, *options)) for name, options in settings.items()}
        for name, beside, wanted in (("quiet", 0, QUIET), ("two busy loops beside", 2, BESIDE)):
            with busy(beside):
                rates = _rates(servers)
            ratio = rates[OURS] / max(rate for setting, rate in rates.items() if setting != OURS)
            shown = ", ".join(f"{setting} {rate:.1f}/s" for setting, rate in rates.items())
            good = (
                row(f"threads, {name}: to the best fixed", f"{ratio:.2f}", f">= {wanted} ({shown})", ratio >= wanted)
                and good
            )
    return good


@contextmanager
def _started(file: Path, *options: str) -> Iterator[Server]:
    """A server; what it is not told it chooses."""
    with served(file, "--no-browser", "-np", "1", "-c", "512", *options, own_threads=not options) as server:
        yield server


def _rates(servers: dict[str, Server]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            taken[name].append(_timed(server, TOKENS))
    return {name: TOKENS / statistics.median(times) for name, times in taken.items()}


def _timed(server: Server, tokens: int, prompt: str = "The clock") -> float:
    body: dict[str, Any] = {"prompt": prompt, "n_predict": tokens, "ignore_eos": True, "temperature": 0}
    begin = time.perf_counter()
    answer = server.request("POST", "/completion", body, timeout=600)
    assert answer.status == 200, answer.body
    return time.perf_counter() - begin


def clients(file: Path) -> bool:
    """Sixty-four at once: the time until all are answered, against the best fixed number of slots."""
    taken: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, options in {OURS: (), **{f"-np {slots}": ("-np", str(slots)) for slots in (1, 4, 16)}}.items():
            with served(file, "--no-browser", "-c", "512", *options) as server, ThreadPoolExecutor(CLIENTS) as pool:
                begin = time.perf_counter()
                list(
                    pool.map(
                        lambda i, s=server: _timed(s, WORDS, f"Visitor: the clock number {i}.\nLabel:"), range(CLIENTS)
                    )
                )
                taken.setdefault(name, []).append(time.perf_counter() - begin)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ratio = medians[OURS] / min(time for name, time in medians.items() if name != OURS)
    shown = ", ".join(f"{name} {time:.2f} s" for name, time in medians.items())
    return row("64 clients: to the best fixed -np", f"{ratio:.2f}", f"<= {CROWD} ({shown})", ratio <= CROWD)
