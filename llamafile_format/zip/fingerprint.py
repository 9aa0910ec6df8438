"""Which tool wrote a record, read off its fields (spec/1, 9.2)."""

from __future__ import annotations

from llamafile_format.zip.entry import Entry, extra_fields
from llamafile_format.zip.records import EXTRA_ZIP64, FLAG_UTF8, SENTINEL32
from llamafile_format.zip.writer import CANONICAL

EXTRA_NTFS = 0x000A
ZIPALIGN_HOLE = 24  # bytes that zipalign leaves behind each member: it advances by the length of the wrong header
_MADE_UNIX_45 = 0x032D


def writer_of(entry: Entry) -> str:
    """``zipalign``, ``apesign``, ``zipobj``, ``apelink``, ``llamafile-format`` or ``other``."""
    record = entry.record
    kinds = [kind for kind, _ in extra_fields(record.extra)]
    wide = (record.size, record.compressed_size, record.header_offset) == (SENTINEL32,) * 3
    if wide and kinds == [EXTRA_ZIP64] and record.flags == FLAG_UTF8 and record.version_made == _MADE_UNIX_45:
        return "zipalign"
    if wide and kinds == [EXTRA_ZIP64, EXTRA_NTFS] and record.flags == 0:
        return "apesign"
    if kinds == [EXTRA_NTFS] and record.version_made == _MADE_UNIX_45:
        return "zipobj"
    if not kinds and record.external_attributes == 0 and entry.path.startswith(".symtab"):
        return "apelink"
    if record.version_made == _MADE_UNIX_45 and (record.dos_time, record.dos_date) == (
        CANONICAL.dos_time,
        CANONICAL.dos_date,
    ):
        return "llamafile-format"
    return "other"
