"""The fixed parts of every version of the launcher. They are kept for ever, since each version can be met again.

In a checkout they lie in ``runtimes/launcher/VERSION/``; the wheel carries the same files.
"""

from __future__ import annotations

from functools import cache

from llamafile_format.prefix.bootstrap import LAUNCHER_SIZES
from llamafile_format.specdata import runtimes_dir

VERSIONS = tuple(LAUNCHER_SIZES)


@cache
def template(version: int, name: str) -> bytes:
    """The file ``name`` of launcher ``version``: ``stage2.sh``, ``launcher.exe`` or ``launcher-PROCESSOR.elf``."""
    return (runtimes_dir() / "launcher" / str(version) / name).read_bytes()
