"""Cold start: ``--version`` and ``inspect`` of the exhibit, against a Python that does nothing."""

from __future__ import annotations

from pathlib import Path

import llamafile_format
from tests.benchmarks.measure import CLI, PYTHON, in_turns, row, timed

EXHIBIT = Path("examples/exhibit/exhibit-f16.gguf")


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    packed = folder / "exhibit.llamafile"
    llamafile_format.pack([EXHIBIT], packed, prefix="none", force=True)
    nothing, version, inspect = in_turns(
        11,
        lambda: timed([PYTHON, "-c", "pass"]),
        lambda: timed([*CLI, "--version"]),
        lambda: timed([*CLI, "inspect", packed]),
    )
    first = row(
        "--version, cold", f"{version - nothing:+.3f} s over python -c pass", "<= 0.10 s", version - nothing <= 0.10
    )
    more = inspect - nothing
    return (
        row("inspect of the exhibit, cold", f"{more:+.3f} s over python -c pass", "<= 0.30 s", more <= 0.30) and first
    )
