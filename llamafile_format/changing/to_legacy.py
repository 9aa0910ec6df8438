"""Back to a legacy llamafile (spec/1, 8.7): the engine without padding, members as zipalign lays them, no manifest.

Every record carries Zip64 fields and the end record leaves its offset to the Zip64 record, so that both of the
engine's ZIP readers reach the same directory by the same way, whatever the size.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from llamafile_format.manifest.hashing import digest_range
from llamafile_format.manifest.model import RESERVED_FOLDER
from llamafile_format.manifest.roles import unix_mode
from llamafile_format.output.transfer import clone, copy, sink_beyond, write_at
from llamafile_format.packing import Content, PrefixContent
from llamafile_format.progress import Advance
from llamafile_format.zip.writer import Style, directory_record, end_records, local_header, place

ALIGNMENT = 65536  # zipalign's own, for every member
ZIPALIGN = Style(dos_date=0x576E, dos_time=0xB1AA, wide=True)
"""zipalign's constant, 2023-11-14 22:13:20, in UTC whatever the zone."""


def legacy_contents(contents: Sequence[Content], order: Sequence[str]) -> list[Content]:
    """The members that a legacy file gets, in ``order``: everything but the format's own."""
    by_path = {content.path: content for content in contents}
    return [by_path[path] for path in order if not path.startswith(RESERVED_FOLDER)]


def write_legacy(
    out: int,
    prefix: PrefixContent,
    contents: Sequence[Content],
    *,
    progress: Advance | None = None,
) -> tuple[int, int, dict[str, int]]:
    """Write a legacy file to the empty file ``out``; its size, bytes shared with the inputs, and CRC-32 by path."""
    cursor = prefix.engine.size
    shared = copy(prefix.engine, 0, cursor, out, 0, progress=progress)
    records, crcs = list(prefix.records), {}
    for content in contents:
        placed = place(cursor, content.path, content.source.size, ALIGNMENT, ZIPALIGN)
        crc, common = _data(out, content, placed.data_offset, progress)
        write_at(out, placed.gap_offset, local_header(placed, crc, ZIPALIGN))
        records.append(directory_record(placed, crc, unix_mode(content.role), ZIPALIGN))
        crcs[content.path] = crc
        shared += common
        cursor = placed.end
    directory = b"".join(records)
    tail = directory + end_records(cursor, len(directory), len(records), mark=b"", style=ZIPALIGN)
    write_at(out, cursor, tail)
    os.ftruncate(out, cursor + len(tail))
    return cursor + len(tail), shared, crcs


def _data(out: int, content: Content, at: int, progress: Advance | None) -> tuple[int, int]:
    """Bring a member's data over; its CRC-32, known or computed on the way, and how many bytes are shared."""
    size = content.source.size
    if content.known is not None:
        return content.known.crc32, copy(content.source, 0, size, out, at, progress=progress)
    shared = clone(content.source, 0, size, out, at)
    sink = sink_beyond(shared, content.source, out, at)
    digests = digest_range(content.source, 0, size, whole=False, sink=sink, progress=progress)
    return digests.crc32, shared
