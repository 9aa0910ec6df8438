"""Recognise the launcher by its first bytes (spec/1, 3.2.3 and 3.2.5). :mod:`launcher` builds it."""

from __future__ import annotations

from enum import Enum

BOOTSTRAP = b'MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9'.ljust(60, b"\n")
HEADER_SIZE = 64
"""Bytes that a conversion exchanges: a DOS header and a 64-bit ELF header have the same size."""
PE_OFFSET = HEADER_SIZE
POLYGLOT = BOOTSTRAP + PE_OFFSET.to_bytes(4, "little")
"""The first 64 bytes of every launcher that is not converted: the bootstrap and ``e_lfanew``."""
LAUNCHER_SIZE = 1 << 18
"""Bytes of a launcher: roomy, so that a later version takes the place of this one and nothing moves."""
LAUNCHER_SIZES = {1: LAUNCHER_SIZE, 2: LAUNCHER_SIZE}
"""Bytes by version."""
INDEX_OFFSET = 0x0400
INDEX_MAGIC = b"LFFIDX1\0"
SLOTS_OFFSET = 0xFE00
SLOTS_MAGIC = b"LFFSWP1\0"
_OPENING = BOOTSTRAP[:10]
_VEIL = 0x7F ^ 0xFF


class Claim(Enum):
    """Whether bytes say that they are a launcher of this format."""

    NO = "no"
    OURS = "ours"
    CONVERTED = "converted"
    FALSE = "false"


class Form(Enum):
    """What the first 64 bytes of a launcher are; the value names it for ``convert --to``."""

    POLYGLOT = "polyglot"
    ELF_X86_64 = "elf-x86_64"
    ELF_AARCH64 = "elf-aarch64"


SLOT_FORMS = tuple(Form)
"""The forms in the order of their slots (14.2.7): slot ``n`` lies at SLOTS_OFFSET + 64·(n + 1)."""


def claim(head: bytes) -> Claim:
    """OURS if ``head`` begins with the bootstrap, CONVERTED if with the header of a slot beside the bootstrap's own,
    FALSE if it only looks like it or carries the index magic. 64 KiB of ``head`` tell."""
    if head[: len(BOOTSTRAP)] == BOOTSTRAP:
        return Claim.OURS
    if converted_form(head) is not None:
        return Claim.CONVERTED
    indexed = head[INDEX_OFFSET : INDEX_OFFSET + len(INDEX_MAGIC)] == INDEX_MAGIC
    return Claim.FALSE if indexed or head.startswith(_OPENING) else Claim.NO


def converted_form(head: bytes) -> Form | None:
    """The form that the launcher in ``head`` (its first 64 KiB) was converted to; None if it is not converted."""
    if head[INDEX_OFFSET : INDEX_OFFSET + len(INDEX_MAGIC)] != INDEX_MAGIC or slot(head, Form.POLYGLOT) != POLYGLOT:
        return None
    for form in SLOT_FORMS[1:]:
        if head[:HEADER_SIZE] == slot(head, form):
            return form
    return None


def slot(head: bytes, form: Form) -> bytes:
    """The 64 bytes that the launcher in ``head`` keeps for ``form``; empty if it has no slots or not this one."""
    if head[SLOTS_OFFSET : SLOTS_OFFSET + len(SLOTS_MAGIC)] != SLOTS_MAGIC:
        return b""
    at = SLOTS_OFFSET + HEADER_SIZE * (1 + SLOT_FORMS.index(form))
    found = head[at : at + HEADER_SIZE]
    if len(found) < HEADER_SIZE or not any(found):
        return b""
    return veiled(found) if found[0] == _VEIL else found


def veiled(header: bytes) -> bytes:
    """``header`` with its first byte inverted, as launchers from version 2 on keep those of ELF, and back.

    What looks for signatures, as 7-Zip does, finds none there (14.2.13).
    """
    return bytes([header[0] ^ 0xFF]) + header[1:]
