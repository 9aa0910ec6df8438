"""Is this the file that a journal was made for, and how far is its change (spec/1, 8.6.1 and 8.6.2)?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from llamafile_format.changing.journal import Intent, Journal, Record, RecordKind
from llamafile_format.changing.shift import Kind, Shift
from llamafile_format.errors import SourceError

_BLOCK = 512  # bytes compared at once


def is_shifted(fd: int, journal: Journal) -> bool:
    """Whether the shift has happened. Before it is noted nothing else is written, so the size tells."""
    intent = journal.intent
    if intent.shift.kind is Kind.NONE or journal.shifted:
        return True
    size = os.fstat(fd).st_size
    if size not in (intent.old_size, intent.shifted_size):
        raise SourceError(f"the file has {size} bytes, which does not fit {journal.path}")
    return size == intent.shifted_size


def inserted(shift: Shift, at: int) -> bool:
    """True if ``shift`` inserts the byte at ``at`` of the shifted file."""
    return shift.kind is Kind.INSERT and shift.at <= at < shift.at + shift.length


def check_bytes(fd: int, journal: Journal) -> None:
    """SourceError unless this is the file of the journal, in a state that the change can have left it in.

    Probes stand where the shift has brought them; at every place that will be written stands what the change would find
    or leave there. Where the file grows or is cut, a crash can also leave zeros, or nothing.
    """
    intent, moved = journal.intent, is_shifted(fd, journal)
    size = os.fstat(fd).st_size
    if not min(intent.old_size, intent.steady) <= size <= max(intent.old_size, intent.shifted_size, intent.new_size):
        raise _another(journal, f"its size, {size} bytes")
    for record in journal.records(RecordKind.PROBE):
        at = intent.shift.moved(record.offset) if moved else record.offset
        if hashlib.sha256(os.pread(fd, record.length, at)).digest() != record.old:
            raise _another(journal, f"the bytes at {at}")
    for record in journal.records(RecordKind.REMOVED):
        if not moved and not _is_one_of(os.pread(fd, record.size, record.offset), (record.old, bytes(record.size))):
            raise _another(journal, f"the bytes at {record.offset}")
    for record in journal.records(RecordKind.PATCH):
        if not _fits(fd, intent, record, moved=moved):
            raise _another(journal, f"the bytes at {record.offset}")


def _fits(fd: int, intent: Intent, record: Record, *, moved: bool) -> bool:
    """Whether the place of the patch ``record`` holds its old bytes or, once the shift is done, any of its new ones."""
    shift, at = intent.shift, record.offset
    if not moved:
        if not record.old:  # inserted by the shift, or behind the end
            return True
        old_at = at if at < shift.at else at - shift.delta
        return os.pread(fd, record.size, old_at) == record.old
    length = max(record.size, len(record.new))
    found = os.pread(fd, length, at)
    if len(found) < min(length, max(0, intent.steady - at)):
        return False
    blank_from = 0 if inserted(shift, at) else max(0, intent.steady - at)
    return _is_one_of(found, (record.old, record.new, bytes(blank_from) + bytes(length)), blank_from)


def _is_one_of(found: bytes, texts: Sequence[bytes], blank_from: int = 0) -> bool:
    """True if each byte of ``found`` is the byte of one of ``texts`` there; of the last only from ``blank_from`` on."""
    for at in range(0, len(found), _BLOCK):
        block = found[at : at + _BLOCK]
        if any(text[at : at + _BLOCK] == block for text in texts[:-1]):
            continue
        for index, byte in enumerate(block, at):
            allowed = texts if index >= blank_from else texts[:-1]
            if not any(index < len(text) and text[index] == byte for text in allowed):
                return False
    return True


def _another(journal: Journal, what: str) -> SourceError:
    return SourceError(
        f"{what} cannot be those of the file that {journal.path} was made for",
        hint="it is not the file that was being changed, or it is damaged; restore it from a copy",
    )
