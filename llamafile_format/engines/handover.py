"""The very file that was verified, for the program that reads it next (spec/1.0, 14.3.7).

A path can lead to another file a moment later. On Linux a descriptor has a path of its own, by which a program that
inherits it opens the same file again, whatever its name leads to by then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def path_of_descriptor(fd: int) -> str | None:
    """The path by which a program that inherits ``fd`` under that number opens its file; None where there is none."""
    path = f"/proc/self/fd/{fd}"
    if sys.platform != "linux":
        return None
    try:
        return path if os.path.samestat(Path(path).stat(), os.fstat(fd)) else None
    except OSError:  # no /proc, as in some sandboxes
        return None
