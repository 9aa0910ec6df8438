"""Genuine models against the best native engines: prompts (pp512) and generation (tg128), one and two threads.

    LFF_BENCH_MODELS        a folder with the files of ``MODELS``; those that are not there are skipped by name
    LFF_BENCH_LLAMA_SERVER  upstream's server (``python -m tests.benchmarks.upstream_server``)
    LFF_BENCH_NODE          a folder in which ``npm install node-llama-cpp`` was run, with its prebuilt programs
    LFF_BENCH_ENGINE        our pin (default: the one that ``pack`` takes); LFF_BENCH_PAIRS, at least 9

Both sides of a pair run one after the other, in turns; a cell is met if the median of the ratios is 1.0 or more, or if
1.0 lies between their quartiles. Generation by node-llama-cpp is compared at one thread only: at two, its JavaScript
costs the rest.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines import host, store
from llamafile_format.engines.pin import Flavour
from tests.benchmarks.bench_runtime import Started
from tests.benchmarks.measure import row

MODELS = ("smollm2-q4_1", "smollm2-f16", "smollm2-q8_0", "smollm2-q4_k_m", "gemma-3-270m-q4_k_m")
THREADS = (1, 2)
PROMPT, ANSWER = 512, 128
PAIRS = max(9, int(os.environ.get("LFF_BENCH_PAIRS", "9")))
NODE = Path(__file__).with_name("node_rival.mjs")

Asked = Callable[[str], float]  # "pp" or "tg": tokens a second of one request
Rival = Callable[[Path, int], AbstractContextManager[Asked]]  # of a model, with so many threads


@dataclass(frozen=True, slots=True)
class Cell:
    """Ours over theirs, pair by pair."""

    ratios: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        return low, middle, high

    @property
    def met(self) -> bool:
        low, middle, high = self.quartiles
        return middle >= 1.0 or low <= 1.0 <= high


def main(folder: Path) -> bool:
    """Measure and print; True if every cell is met, or nothing can be compared here."""
    pin = store.find_pin(os.environ.get("LFF_BENCH_ENGINE", "llama.cpp"))
    build = pin.build(host.host_target() or "", Flavour.NATIVE)
    models = Path(os.environ.get("LFF_BENCH_MODELS", folder / "models"))
    rivals = _rivals()
    if build is None or not store.is_here(pin, build) or not rivals:
        print("skip  rivals: no native build for this machine, or neither LFF_BENCH_LLAMA_SERVER nor LFF_BENCH_NODE")
        return True
    ours = [str(store.unpacked(pin, build)), "--no-browser"]
    good = True
    for model in (models / f"{name}.gguf" for name in MODELS):
        if not model.is_file():
            print(f"skip  rivals: no {model}")
            continue
        for threads in THREADS:
            for name, rival in rivals.items():
                with served(ours, model, threads) as mine, rival(model, threads) as theirs:
                    for kind in ("pp", "tg"):
                        if (name, kind, threads) != ("node-llama-cpp", "tg", 2):
                            good = _told(f"{model.stem} {kind} -t {threads} {name}", _cell(mine, theirs, kind)) and good
    return good


def _rivals() -> dict[str, Rival]:
    found: dict[str, Rival] = {}
    if server := os.environ.get("LFF_BENCH_LLAMA_SERVER"):
        found["llama-server"] = lambda model, threads: served([server, "--offline"], model, threads)
    if place := os.environ.get("LFF_BENCH_NODE"):
        found["node-llama-cpp"] = lambda model, threads: in_node(Path(place), model, threads)
    return found


@contextmanager
def served(command: list[str], model: Path, threads: int) -> Iterator[Asked]:
    """A server that is up, with nothing remembered between requests; its own clock tells the speed."""
    server = Started([*command, "-m", str(model)], options=["-c", "1024", "-np", "1", "-t", str(threads)])

    def ask(kind: str) -> float:
        tokens = [(index * 7919) % 20000 + 100 for index in range(PROMPT if kind == "pp" else 1)]
        body = {"prompt": tokens, "n_predict": 1 if kind == "pp" else ANSWER, "ignore_eos": True, "cache_prompt": False}
        status, answer = server.ask("POST", "/completion", body | {"temperature": 0})
        if status != 200:
            raise RuntimeError(f"{status}: {answer}")
        return float(answer["timings"]["prompt_per_second" if kind == "pp" else "predicted_per_second"])

    try:
        yield ask
    finally:
        server.end()


@contextmanager
def in_node(place: Path, model: Path, threads: int) -> Iterator[Asked]:
    """node-llama-cpp in a process of its own, asked line by line."""
    script = shutil.copy(NODE, place / NODE.name)  # modules are sought beside the script
    process = subprocess.Popen(
        ["node", script, str(model), str(threads), str(PROMPT), str(ANSWER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=place,
    )
    assert process.stdin
    assert process.stdout
    lines, answers = process.stdin, process.stdout

    def ask(kind: str) -> float:
        lines.write(kind + "\n")
        lines.flush()
        return float(json.loads(answers.readline())["speed"])

    try:
        yield ask
    finally:
        lines.close()
        process.wait(60)


def _cell(mine: Asked, theirs: Asked, kind: str) -> Cell:
    mine(kind), theirs(kind)  # both read their weights and fill their caches
    ratios = []
    for pair in range(PAIRS):
        if pair % 2:
            second = theirs(kind)
            first = mine(kind)
        else:
            first = mine(kind)
            second = theirs(kind)
        ratios.append(first / second)
    return Cell(tuple(ratios))


def _told(what: str, cell: Cell) -> bool:
    low, middle, high = cell.quartiles
    return row(what, f"{middle:.3f} ({low:.3f} to {high:.3f})", ">= 1.0, or holds it", cell.met)
