"""What an entry of an archive holds: its bytes in blocks, unpacked where they are deflated, never more than it says."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from llamafile_format.errors import FormatError
from llamafile_format.source import ByteSource
from llamafile_format.zip.entry import Entry

BLOCK = 1 << 20
"""Most bytes at once."""


def blocks(source: ByteSource, offset: int, length: int) -> Iterator[bytes]:
    """``length`` bytes of ``source`` from ``offset`` on."""
    for at in range(0, length, BLOCK):
        yield source.read_at(offset + at, min(BLOCK, length - at))


def inflate(source: ByteSource, entry: Entry, *, exact: bool = False) -> Iterator[bytes]:
    """The contents of a deflated entry; FormatError if they are not exactly as long as the directory says.

    ``exact``: nor may packed bytes stand behind their end.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    total = taken = 0
    try:
        for block in blocks(source, entry.data_offset, entry.compressed_size):
            pending = block
            taken += len(block)
            while pending:
                out = stream.decompress(pending, BLOCK)
                total += len(out)
                if total > entry.size:  # a bomb: the directory promised less
                    raise FormatError(
                        f"{entry.path} unpacks to more than its size", found=total, allowed=str(entry.size)
                    )
                if out:
                    yield out
                pending = stream.unconsumed_tail
                if stream.eof or (not out and not pending):
                    break
            if stream.eof:
                break
    except zlib.error as error:
        raise FormatError(f"{entry.path} cannot be unpacked: {error}", offset=entry.data_offset) from error
    if total != entry.size or not stream.eof:
        raise FormatError(f"{entry.path} unpacks to another size", found=total, allowed=str(entry.size))
    behind = entry.compressed_size - taken + len(stream.unused_data)
    if exact and behind:
        raise FormatError(f"{entry.path} has {behind} bytes behind its packed contents", offset=entry.data_offset)
