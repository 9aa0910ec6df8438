"""Scanners of other people on the same inputs: what each finds, how long it takes, how much memory.

    LFF_BENCH_PEERS  a folder for their environments, which are made by pip (default: one in the folder of the run)

Each is installed by itself, at the version named here, and never beside this package. A finding counts if the scanner
does not say the same of the unchanged exhibit. Ours has to say something wherever one of them does, but for what
``NO_FAULT`` explains, and nothing above *info* of what is good.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llamafile_format as lf
from llamafile_format.engines.cache import work_folder
from llamafile_format.rules import Severity, rule
from spec.vectors.generate.contents import alone
from spec.vectors.generate.forge import Part
from tests.benchmarks.measure import CLI, in_turns, peak_kib, row
from tests.peer_samples import control, hostile, with_template

PEERS = {"modelaudit": "0.2.54", "c4nary": "0.3.1"}
RUNS = 5
TIMES = 10  # faster than the fastest of them on the exhibit

NO_FAULT = {"number: a file type": "a label that no engine reads; mixtures of types have none that fits"}
"""Samples of which a peer says something and we do not, each with why."""

Found = Mapping[str, frozenset[str]]
"""By sample: what a scanner says of it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A scanner: the command for one file, and what it says of every file of a folder, with how grave it calls it."""

    name: str
    command: Callable[[Path], list[str | Path]]
    read: Callable[[Path], Iterator[tuple[str, str, bool]]]
    """(file, rule, True from a warning on)"""
    inside: Callable[[Path], list[str | Path]] = lambda path: ["false", path]
    """The command that prints the seconds that a scan of a file takes in a process that has scanned it before."""


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    peers = _peers(Path(os.environ.get("LFF_BENCH_PEERS", folder / "peers")))
    if not peers:
        print("skip  peers: pip cannot install them here")
        return True
    place = folder / "samples"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    good = _speed(folder, peers)
    return _findings(place, peers) and good


def _peers(folder: Path) -> list[Peer]:
    """The scanners, installed; none if one of them cannot be had."""
    for name, version in PEERS.items():
        home = folder / name
        if not (home / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{name}=={version}"]
        if subprocess.run(pip, check=False, stderr=subprocess.DEVNULL).returncode:
            return []
    audit, canary = folder / "modelaudit/bin/modelaudit", folder / "c4nary/bin/canary"
    return [
        Peer(
            "modelaudit",
            lambda path: [audit, "scan", "--format", "json", path],
            _modelaudit(audit),
            lambda path: [folder / "modelaudit/bin/python", "-c", INSIDE, path],
        ),
        Peer("c4nary", lambda path: [canary, "scan", "--json", path], _canary(canary)),
    ]


INSIDE = """
import contextlib, io, sys, time
from modelaudit.core import scan_model_directory_or_file as scan
with contextlib.redirect_stdout(io.StringIO()):
    scan(sys.argv[1])
    start = time.perf_counter()
    scan(sys.argv[1])
    taken = time.perf_counter() - start
print(taken)
"""


def _modelaudit(program: Path) -> Callable[[Path], Iterator[tuple[str, str, bool]]]:
    def read(folder: Path) -> Iterator[tuple[str, str, bool]]:
        for issue in _json([program, "scan", "--format", "json", folder]).get("issues", ()):
            code = issue.get("rule_code") or issue.get("type") or issue["message"][:40]
            place = Path(issue.get("location") or "").name.partition(".gguf")[0]
            yield place, code, issue["severity"] in ("warning", "critical", "error")

    return read


def _canary(program: Path) -> Callable[[Path], Iterator[tuple[str, str, bool]]]:
    def read(folder: Path) -> Iterator[tuple[str, str, bool]]:
        for path in sorted(folder.iterdir()):
            for each in _json([program, "scan", "--json", path]).get("findings", ()):
                yield path.stem, each["rule_id"], each["severity"].lower() in ("warn", "fail")

    return read


def _json(command: list[str | Path]) -> dict[str, Any]:
    """What ``command`` says as JSON; one finding where it breaks off."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, env=QUIET)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        broken = {
            "rule_code": "broke off",
            "rule_id": "broke off",
            "severity": "warning",
            "message": done.stderr[-200:],
        }
        return {"issues": [broken], "findings": [broken]}
    return said


QUIET = {**os.environ, "PROMPTFOO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}


def _speed(folder: Path, peers: list[Peer]) -> bool:
    """Time and memory of whole processes on the exhibit as it is packed, and on a hostile GGUF."""
    exhibit = folder / "exhibit.llamafile"
    if not exhibit.exists():
        recipe = ["pack", "--recipe", "examples/exhibit/llamafile.yaml", "-o", exhibit, "--force"]
        subprocess.run([*CLI, *map(str, recipe)], check=True, stdout=subprocess.DEVNULL)
    hostile_gguf = folder / "hostile.gguf"
    hostile_gguf.write_bytes(with_template("{{ lipsum.__globals__['os'].popen('id').read() }}"))
    packed = folder / "hostile.llamafile"
    packed.write_bytes(_contained(hostile_gguf.read_bytes()))
    for path, same in ((exhibit, exhibit), (hostile_gguf, packed)):
        mine = [[*CLI, "verify", "--level", level, same] for level in ("quick", "full")]
        commands = [*mine, *(peer.command(path) for peer in peers)]
        times = in_turns(RUNS, *(lambda command=each: _taken(command) for each in commands))
        for name, command, seconds in zip(("quick", "full", *PEERS), commands, times, strict=True):
            print(f"      {path.name:<20} {name:<12} {seconds:7.2f} s {peak_kib(command) / 1024:6.0f} MB", flush=True)
    ours, command = _inside(exhibit), [str(part) for part in peers[0].inside(exhibit)]
    theirs = statistics.median(float(subprocess.check_output(command, env=QUIET, text=True)) for _ in range(RUNS))
    told = f"{theirs:.3f} / {ours:.4f} s = {theirs / ours:.0f} x"
    what = "quick verify of the exhibit, in process, vs modelaudit's"  # c4nary refuses it: it is no GGUF
    return row(what, told, f">= {TIMES} x", theirs / ours >= TIMES)


def _taken(command: list[str | Path]) -> float:
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], capture_output=True, check=False, env=QUIET)
    return time.perf_counter() - start


def _inside(path: Path) -> float:
    """Seconds of one quick verification in a process that runs."""
    times = []
    for _ in range(3 * RUNS):
        start = time.perf_counter()
        lf.verify(path, level="quick")
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _contained(data: bytes) -> bytes:
    """A container with the GGUF ``data``, whatever is wrong with it."""
    return alone(Part("model.gguf", data, "weights", "application/x-gguf", 65536))


def _findings(place: Path, peers: list[Peer]) -> bool:
    """Every sample by every scanner, told one by one."""
    samples = dict(hostile())
    files = {f"{number:03}": name for number, name in enumerate(samples)}
    for stem, name in files.items():
        (place / f"{stem}.gguf").write_bytes(samples[name])
    (place / "control.gguf").write_bytes(control())
    theirs = {peer.name: _new(peer.read(place), files) for peer in peers}
    ours = {name: _ours(data) for name, data in samples.items()}
    usual = _ours(control())
    missed = []
    for name in samples:
        mine = ours[name] - usual
        said = {peer: found[name] for peer, found in theirs.items() if found.get(name)}
        told = "; ".join(f"{peer}: {' '.join(sorted(rules))}" for peer, rules in said.items()) or "-"
        mark = "ok" if mine or not said else "as said" if name in NO_FAULT else "MISS"
        missed += [name] if mark == "MISS" else []
        print(f"{mark:<8}{name:<42} {' '.join(sorted(mine)) or '-':<24} {told}", flush=True)
    counts = {"ours": sum(bool(ours[name] - usual) for name in samples)}
    counts |= {peer: sum(bool(found.get(name)) for name in samples) for peer, found in theirs.items()}
    told = ", ".join(f"{who} {count}" for who, count in counts.items())
    good = row(f"of {len(samples)} hostile samples", told, "nothing that only they find", not missed)
    return _harmless(place.with_name("harmless"), peers) and good


def _new(said: Iterator[tuple[str, str, bool]], files: Mapping[str, str]) -> Found:
    """What is said of each sample and not of the control."""
    found: dict[str, set[str]] = {}
    for stem, what, _ in said:
        found.setdefault(files.get(stem, stem), set()).add(what)
    usual = found.get("control", set())
    return {name: frozenset(rules - usual) for name, rules in found.items()}


def _ours(data: bytes) -> frozenset[str]:
    return frozenset(each.rule for each in lf.verify(_contained(data), level="exhaustive").findings)


def _harmless(place: Path, peers: list[Peer]) -> bool:
    """Warnings about the exhibits, about models that people use, and about the templates of upstream."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    models = [*Path("examples/exhibit").glob("*.gguf"), *_genuine()]
    for path in models:
        shutil.copyfile(path, place / f"{path.stem}.gguf")
    texts = sorted(Path(os.environ.get("LFF_BENCH_TEMPLATES", place)).glob("*.jinja"))
    for path in texts:
        (place / f"template-{path.stem}.gguf").write_bytes(with_template(path.read_text("utf-8")))
    mine = {path.stem: _warned(path) for path in place.iterdir()}
    told = {peer.name: _graver(peer.read(place)) for peer in peers}
    for who, found in {"ours": mine, **told}.items():
        for name, rules in sorted(found.items()):
            if rules:
                print(f"      {who} warns of {name}: {' '.join(sorted(rules))}", flush=True)
    counts = ", ".join(f"{who} {sum(map(bool, found.values()))}" for who, found in {"ours": mine, **told}.items())
    what = f"of {len(models)} good models and {len(texts)} templates warned of"
    return row(what, counts, "ours 0", not any(mine.values()))


def _genuine() -> Iterator[Path]:
    """Models from package indexes, if they were obtained, and those that ``LFF_BENCH_MODELS`` names."""
    for folder in (work_folder("genuine"), Path(os.environ.get("LFF_BENCH_MODELS", work_folder("genuine")))):
        yield from sorted(folder.glob("*.gguf"))


def _warned(path: Path) -> frozenset[str]:
    report = lf.verify(_contained(path.read_bytes()), level="exhaustive")
    return frozenset(each.rule for each in report.findings if rule(each.rule).severity is not Severity.INFO)


def _graver(said: Iterator[tuple[str, str, bool]]) -> Found:
    found: dict[str, set[str]] = {}
    for stem, what, grave in said:
        if grave:
            found.setdefault(stem, set()).add(what)
    return {name: frozenset(rules) for name, rules in found.items()}
