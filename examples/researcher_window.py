"""A researcher who wants the weights in place: a window on the member, without copying or extracting it.

python examples/researcher_window.py FILE
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def main(path: str) -> None:
    """Read the first bytes of the default model where they lie in the file."""
    with lf.open(path) as container:
        weights = next(member for member in container.members if member.role == "weights")
        window = container.window(weights.path)
        print(f"{weights.path}: {window.size} bytes from byte {weights.offset}, magic {window.read_at(0, 4)!r}")


if __name__ == "__main__":
    main(sys.argv[1])
