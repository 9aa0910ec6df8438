"""Folders that nobody else can exchange: the one judgement of the private cache (spec/1, 14.2.8).

Whoever can rename a folder on the way to a program can put another program there between check and start. So every
folder from the root on is looked at. On Windows nothing is: there, access lists say who may write.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

OTHERS = stat.S_IWGRP | stat.S_IWOTH


def firm(place: Path) -> Path:
    """``place``, which is there, without links. PermissionError if others can exchange a folder on the way to it.

    Each must be this user's or root's, and closed to others or sticky. What passes stays what it is until this user
    or root changes it, so nothing depends on when the folders were looked at.
    """
    if os.name == "nt":
        return place
    real = place.resolve(strict=True)
    for folder in (real, *real.parents):
        info = os.lstat(folder)
        closed = not info.st_mode & OTHERS or info.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, os.geteuid()) or not closed:
            raise PermissionError(errno.EPERM, f"others can exchange what is in {folder}", str(place))
    return real


def is_own(info: os.stat_result, forbidden: int = OTHERS) -> bool:
    """True for what belongs to this user and gives others none of the ``forbidden`` rights."""
    return os.name == "nt" or (info.st_uid == os.geteuid() and not info.st_mode & forbidden)
