"""``make bench``: every figure that the project promises, measured here and now against its rival.

    python -m tests.benchmarks [NAME...] [--folder DIR]

Needs about 14 GB of disk in DIR (default: a new temporary folder). The exit code is 1 if a figure is missed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

NAMES = (
    "start",
    "launch",
    "inspect",
    "sparse",
    "verify",
    "page",
    "tensors",
    "remote",
    "fleet",
    "sign",
    "pack",
    "repack",
    "recovery",
    "freeze",
    "runtime",
    "rivals",
    "crowd",
    "peers",
)


def main() -> int:
    """Run the benchmarks that were asked for; all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=[])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lff-bench-") as temporary:
        folder = options.folder or Path(temporary)
        good = [
            importlib.import_module(f"tests.benchmarks.bench_{name}").main(folder) for name in options.names or NAMES
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
