"""Mutants of the vectors, verified at level exhaustive: each within 10 s of processor time and 200 MB.

``python -m tests.fuzz.mutants --count 10000 --seed 1`` prints the slowest and the memory, and ends with 1 at the first
fault. The same seed gives the same mutants.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import llamafile_format as lf
from llamafile_format.source import BytesSource
from spec.vectors.generate.load import read_vector

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"
SECONDS = 10.0
MEGABYTES = 200
LARGEST = 2 << 20
"""Bytes of a vector that is changed; a larger one is verified as it is, once: here it would lie in memory twice."""

EXTREMES = (b"\0" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xff", b"PK\5\6", b"GGUF", b"{" * 64)


def mutants(paths: Sequence[Path], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` names and bytes: vectors in turn, each with one to four changes."""
    chance = random.Random(seed)
    for number in range(count):
        data = bytearray(LARGEST + 1)
        while len(data) > LARGEST:
            path = paths[chance.randrange(len(paths))]
            data = bytearray(read_vector(path).payload)
        for _ in range(chance.randint(1, 4)):
            _change(data, chance)
        yield f"{path.parent.name}/{path.stem}#{number}", bytes(data)


def _change(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(6)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        extreme = chance.choice(EXTREMES)
        data[at : at + len(extreme)] = extreme
    elif kind == 2:
        del data[at : at + chance.randrange(64)]
    elif kind == 3:
        data[at:at] = data[at : at + chance.randrange(4096)]
    elif kind == 4:
        data[at:at] = chance.randbytes(chance.randrange(32))
    else:
        del data[max(at, len(data) // 2) :]


def peak(*, reset: bool = False) -> float:
    """The most megabytes that this process had at once since the last ``reset`` (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def judged(name: str, data: bytes) -> tuple[str, float, float]:
    """What is wrong with how ``data`` was judged, empty if nothing; the seconds and the megabytes that it took."""
    peak(reset=True)
    before = time.process_time()
    try:
        report = lf.verify(BytesSource(data), level="exhaustive")
        list(map(str, report.findings))
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}", 0.0, 0.0
    took = time.process_time() - before
    used = peak() - len(data) / (1 << 20)  # the file itself lies in memory here, and on a disk elsewhere
    fault = f"{name}: {took:.1f} s, {used:.0f} MB" if took > SECONDS or used > MEGABYTES else ""
    return fault, took, used


def main() -> int:
    """Judge vectors and mutants; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vectors", action="store_true", help="every vector as it is, first")
    options = parser.parse_args()
    paths = sorted(VECTORS.glob("*/*.vector"))
    slowest, most = ("", 0.0), ("", 0.0)
    given = ((path.stem, read_vector(path).payload) for path in paths) if options.vectors else iter(())
    for name, data in chain(given, mutants(paths, options.count, options.seed)):
        fault, took, used = judged(name, data)
        if fault:
            print(fault)
            return 1
        slowest = max(slowest, (name, took), key=lambda pair: pair[1])
        most = max(most, (name, used), key=lambda pair: pair[1])
    print(f"slowest {slowest[0]}: {slowest[1]:.2f} s; most memory {most[0]}: {most[1]:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
