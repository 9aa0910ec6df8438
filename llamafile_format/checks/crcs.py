"""CRC-32 of legacy members: the only digest that such a file names (spec/1, 9.6). Engines never check it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from llamafile_format.findings import Finding, Where
from llamafile_format.limits import UNPACKED_BYTES
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource
from llamafile_format.zip.archive import Archive, iter_live
from llamafile_format.zip.entry import Entry
from llamafile_format.zip.records import DEFLATED, FLAG_ENCRYPTED, STORED

BLOCK = 1 << 20
_MAX_OUT = 1 << 20


def check_crcs(source: ByteSource, archive: Archive, *, progress: Advance | None = None) -> Iterator[Finding]:
    """LF7020 for each member whose contents do not have the CRC-32 of the directory; every byte is read at most once.

    ``progress`` is called with the bytes read since the last call. Members that overlap an earlier one are skipped
    (LF2039 speaks of them): otherwise a small file could make us read terabytes.
    """
    end = unpacked = 0
    for entry in iter_live(archive):
        if entry.header_offset < end:
            continue
        end = entry.data_end
        where = Where(entry.data_offset, entry.compressed_size, entry.path)
        if entry.record.flags & FLAG_ENCRYPTED or entry.method not in (STORED, DEFLATED):
            continue
        if entry.method == DEFLATED:
            unpacked += entry.size
            if unpacked > UNPACKED_BYTES:  # a deflate stream can claim a thousand times itself
                yield Finding("LF7021", where, {"path": entry.path, "size": unpacked, "limit": UNPACKED_BYTES})
                unpacked -= entry.size
                continue
        crc = _crc(source, entry, progress)
        if crc != entry.crc32:
            found = "it cannot be unpacked" if crc is None else f"{crc:08x}"
            yield Finding("LF7020", where, {"path": entry.path, "expected": f"{entry.crc32:08x}", "found": found})


def _crc(source: ByteSource, entry: Entry, progress: Advance | None) -> int | None:
    """CRC-32 of the unpacked contents; None if they do not unpack to the size in the directory."""
    crc = total = 0
    inflater = zlib.decompressobj(-15) if entry.method == DEFLATED else None
    buffer = memoryview(bytearray(min(BLOCK, entry.compressed_size)))
    for at in range(0, entry.compressed_size, BLOCK):
        view = buffer[: min(BLOCK, entry.compressed_size - at)]
        source.read_into(entry.data_offset + at, view)
        if progress:
            progress(len(view))
        if inflater is None:
            crc = zlib.crc32(view, crc)
            total += len(view)
            continue
        pending = bytes(view)
        while pending and not inflater.eof:
            try:
                out = inflater.decompress(pending, _MAX_OUT)
            except zlib.error:
                return None
            crc, total = zlib.crc32(out, crc), total + len(out)
            pending = inflater.unconsumed_tail
            if total > entry.size:
                return None
    whole = total == entry.size and (inflater is None or inflater.eof)
    return crc if whole else None
