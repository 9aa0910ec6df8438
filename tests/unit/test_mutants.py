"""Hostile files by the thousand, in a process of their own: none raises, none takes long, none fills the memory."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURE = """
import sys, time
from tests.fuzz.mutants import peak
import llamafile_format as lf
before = time.process_time()
report = lf.verify(sys.argv[1], level="full")
print(time.process_time() - before, peak())
print(*(finding.rule for finding in report.findings))
"""


def fuzzed(*options: str) -> str:
    command = [sys.executable, "-m", "tests.fuzz.mutants", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_sample_of_mutants() -> None:
    assert "slowest" in fuzzed("--count", "200", "--seed", "7")


@pytest.mark.slow
def test_every_vector_and_a_larger_sample() -> None:
    assert "slowest" in fuzzed("--count", "1000", "--seed", "8", "--vectors")


def many_names(path: Path, count: int = 60_000, length: int = 947) -> int:
    """A legal archive of ``count`` empty members with long names; returns its bytes."""
    directory, at = [], 0
    with path.open("wb") as out:
        for index in range(count):
            name = f"{index:06d}-".encode().ljust(length, b"n")
            common = (20, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0)
            at_now = at
            at += out.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, *common) + name)
            directory.append(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, *common, 0, 0, 0, 0, at_now) + name)
        listed = b"".join(directory)
        out.write(listed + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(listed), at, 0))
    return at + len(listed) + 22


def test_a_hundred_megabytes_of_names_cost_no_more_than_a_cap(tmp_path: Path) -> None:
    path = tmp_path / "names.zip"
    assert many_names(path) > 117_000_000
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.splitlines()[0].split())
    assert seconds < 5
    assert megabytes < 200
    assert "LF2014" in done.stdout
