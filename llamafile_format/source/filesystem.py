"""Does a file system tell of every change? Asked before a verdict on a file is kept for later (spec/1, 14.3.8).

It does if it is local, and if a store through a mapping moves ``ctime`` once the page was written back. Network file
systems and FUSE show what another machine or program makes up; an overlay hides what lies below; pages of ``tmpfs`` are
never written back. So this is a list of those that are known to do it, and nothing else is.
"""

from __future__ import annotations

import sys

_TELLING = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0xF2F52010,  # F2FS
        0xCA451A4E,  # bcachefs
    }
)
"""``f_type`` of Linux (``linux/magic.h``)."""
_ROOM = 256  # bytes; struct statfs has 120, or 88 on 32-bit systems


def tells_of_changes(fd: int) -> bool:
    """True if the file system of the open file ``fd`` is one of those that do. False wherever that cannot be asked."""
    return _kind(fd) in _TELLING


def _kind(fd: int) -> int | None:
    """``f_type`` of ``fstatfs``; None where this is not a little-endian Linux, or if it fails."""
    if sys.platform != "linux" or sys.byteorder != "little":
        return None
    import ctypes

    found = ctypes.create_string_buffer(_ROOM)
    failed = ctypes.CDLL(None, use_errno=True).fstatfs(fd, found)
    return None if failed else int.from_bytes(found.raw[:4], "little")
