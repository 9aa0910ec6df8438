"""Quick verify and inspect of a 100 GB sparse container, against a 1 GB one."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.measure import CLI, in_turns, peak_kib, row, timed
from tests.laws.sparse import sparse_container

GB = 10**9


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    small, large = folder / "small.llamafile", folder / "large.llamafile"
    for path, size in ((small, GB), (large, 100 * GB)):
        if not path.exists():
            sparse_container(path, size)
    ok = True
    for name, command in (
        ("verify --level quick", [*CLI, "verify", "--level", "quick"]),
        ("inspect", [*CLI, "inspect"]),
    ):
        one, hundred = in_turns(9, lambda c=command: timed([*c, small]), lambda c=command: timed([*c, large]))
        ratio = hundred / one
        ok &= row(f"{name}, 100 GB vs 1 GB, time", f"{hundred:.3f} / {one:.3f} s = {ratio:.2f}", "<= 1.2", ratio <= 1.2)
        memory = peak_kib([*command, large]) / peak_kib([*command, small])
        ok &= row(f"{name}, 100 GB vs 1 GB, memory", f"{memory:.2f}", "<= 1.2", memory <= 1.2)
    return ok
