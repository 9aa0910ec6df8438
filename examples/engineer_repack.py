"""An engineer with an old engine: another prefix, the same weights.

python examples/engineer_repack.py FILE ENGINE OUT
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def main(path: str, engine: str, out: str) -> None:
    """Repack and show that no weights changed."""
    result = lf.repack(path, out, prefix=engine, force=True)
    print(f"{result.path}: {result.size} bytes, {result.shared} of them shared with {path}")
    changed = [change.name for change in lf.diff(path, out) if change.name.endswith(".gguf")]
    print(f"changed: {changed}" if changed else "no weights changed")


if __name__ == "__main__":
    main(*sys.argv[1:4])
