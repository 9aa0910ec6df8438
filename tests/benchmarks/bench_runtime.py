"""What the launcher and the container cost: a packed model of 100 million parameters, against upstream's own server.

Name that server in ``LFF_BENCH_LLAMA_SERVER``; ``tests/benchmarks/upstream_server.py`` builds one from our pin.
``LFF_BENCH_THREADS`` is how many threads both get (default: one for each processor, at most four).
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llamafile_format
from llamafile_format.engines import host, store
from llamafile_format.engines.pin import Flavour
from tests.benchmarks.measure import in_turns, row, timed
from tests.benchmarks.random_model import write

ROUNDS, ANSWERS, STARTS, TOKENS = 6, 3, 15, 160
PROMPT = "Visitor: a brass astrolabe, two clocks and a home computer of an unknown make.\nLabel:"
THREADS = os.environ.get("LFF_BENCH_THREADS", str(min(4, os.cpu_count() or 1)))
OPTIONS = ["-c", "1024", "-np", "1", "-t", THREADS]


class Started:
    """A server process, up to its end."""

    def __init__(self, command: Sequence[str | Path], options: Sequence[str] = OPTIONS) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [*map(str, command), *options, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not self._healthy():
            if self.process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with exit code {self.process.returncode}")
            time.sleep(0.002)
        self.seconds = time.perf_counter() - begin

    def _healthy(self) -> bool:
        try:
            return self.ask("GET", "/health", None)[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """One request: status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def speed(self) -> float:
        """Tokens a second of one answer, as the client sees it: the prompt is read anew each time."""
        body = {"prompt": PROMPT, "n_predict": TOKENS, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        begin = time.perf_counter()
        status, answer = self.ask("POST", "/completion", body)
        if status != 200 or answer["tokens_predicted"] != TOKENS:
            raise RuntimeError(f"{status}: {answer}")
        return TOKENS / (time.perf_counter() - begin)

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(60)


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached, or cannot be measured here."""
    pin = store.find_pin("llama.cpp")
    build = next((b for b in pin.builds if (b.target, b.flavour) == (host.host_target(), Flavour.NATIVE)), None)
    rival = os.environ.get("LFF_BENCH_LLAMA_SERVER")
    if build is None or not store.is_here(pin, build):
        print("skip  runtime: no native build for this machine")
        return True
    model, packed = folder / "noise.gguf", folder / "noise.llamafile"
    if not model.exists():
        write(model)
    os.environ["LFF_CACHE"] = str(folder / "cache")
    (folder / "cache").mkdir(exist_ok=True)
    llamafile_format.pack([model], packed, runtime=f"{pin.key}:{build.target}", args="...", force=True)
    runtime = store.unpacked(pin, build)
    good = _launch(packed, runtime)
    if not rival:
        print("skip  runtime: no LFF_BENCH_LLAMA_SERVER to compare with")
        return good
    return _serve(packed, model, Path(rival)) and good


def _launch(packed: Path, runtime: Path) -> bool:
    """What the launcher costs once the program is in the cache."""
    os.environ["LFF_CONTAINER"] = str(packed)
    through, direct = in_turns(25, lambda: timed(["sh", packed, "--version"]), lambda: timed([runtime, "--version"]))
    del os.environ["LFF_CONTAINER"]
    found = f"{1000 * through:.1f} - {1000 * direct:.1f} ms = {1000 * (through - direct):.1f} ms"
    return row("cached launch over starting the runtime", found, "<= 20 ms", through - direct <= 0.020)


def _serve(packed: Path, model: Path, rival: Path) -> bool:
    commands: tuple[list[str | Path], ...] = (["sh", packed, "--no-browser"], [rival, "-m", model, "--offline"])
    speeds: list[list[float]] = [[], []]
    for turn in range(ROUNDS):
        for which in (turn % 2, 1 - turn % 2):
            server = Started(commands[which])
            try:
                speeds[which] += [server.speed() for _ in range(ANSWERS)]
            finally:
                server.end()

    def start(command: Sequence[str | Path]) -> float:
        server = Started(command)
        server.end()
        return server.seconds

    mine, theirs = (statistics.median(each) for each in speeds)
    first, second = in_turns(STARTS, lambda: start(commands[0]), lambda: start(commands[1]))
    ratio, more = mine / theirs, first - second
    size = f"{model.stat().st_size / 1e6:.0f} MB, {THREADS} threads"
    found = f"{mine:.1f} / {theirs:.1f} = {ratio:.3f}"
    fast = row(f"tokens/s vs llama-server ({size})", found, ">= 0.97", ratio >= 0.97)
    found = f"{1000 * first:.0f} - {1000 * second:.0f} ms = {1000 * more:.0f} ms"
    return row("start to ready vs llama-server", found, "<= 20 ms, the launcher's", more <= 0.020) and fast
