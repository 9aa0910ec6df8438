"""Recognise the launcher by its first 60 bytes (spec/1.0, 3.2.3). Building and comparing it is a later chapter's."""

from __future__ import annotations

from enum import Enum

BOOTSTRAP = b'MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9'.ljust(60, b"\n")
INDEX_OFFSET = 0x0C00
INDEX_MAGIC = b"LFFIDX1\0"
_OPENING = BOOTSTRAP[:10]


class Claim(Enum):
    """Whether bytes say that they are a launcher of this format."""

    NO = "no"
    OURS = "ours"
    FALSE = "false"


def claim(head: bytes) -> Claim:
    """OURS if ``head`` begins with the bootstrap, FALSE if it only looks like it or carries the index magic."""
    if head[: len(BOOTSTRAP)] == BOOTSTRAP:
        return Claim.OURS
    indexed = head[INDEX_OFFSET : INDEX_OFFSET + len(INDEX_MAGIC)] == INDEX_MAGIC
    return Claim.FALSE if indexed or head.startswith(_OPENING) else Claim.NO
