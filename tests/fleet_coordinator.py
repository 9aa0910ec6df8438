"""A coordinator as a process of its own, for tests to kill: ``python -m tests.fleet_coordinator LIST LEDGER LOG``.

It verifies by ``tests.poison``: names with certain words are poison, and every object that is opened stands in LOG.
"""

from __future__ import annotations

import sys
from pathlib import Path

from llamafile_format.checks.verdict import Level
from llamafile_format.fleet import Bounds, Executor, Job, Ledger, Terms, inventory, run_fleet
from tests.poison import Poisoned

WORKERS, SHARD = 2, 40


def main(names: str, ledger: str, log: str) -> int:
    """Run it; the exit code."""
    job = Job(Terms(level=Level.QUICK, reach=Poisoned(log)), Bounds(memory=1 << 30, seconds=20))
    with Ledger(Path(ledger), job.basis) as book:
        return run_fleet(inventory(names, {}), book, job, Executor(workers=WORKERS), shard=SHARD).code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
