"""The order of versions of an engine (spec/1, 14.7.8)."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})*)(?:\+([0-9]{1,18}))?")

VersionKey = tuple[bool, tuple[int, ...], int, bytes]


def version_key(version: str) -> VersionKey:
    """A key that sorts versions from the oldest to the newest: 0.9 before 0.10, 0.10 before 0.10+1.

    What is not numbers, dots and one ``+`` is older than all that is.
    """
    match = _NUMBERED.fullmatch(version)
    if match is None:
        return False, (), -1, version.encode("utf-8", "surrogateescape")
    numbers = tuple(map(int, match[1].split(".")))
    return True, numbers, -1 if match[2] is None else int(match[2]), version.encode("ascii")
