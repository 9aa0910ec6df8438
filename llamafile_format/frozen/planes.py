"""One block of 4 MiB, frozen: its bytes sorted into planes, each plane a zstd frame or as it is (spec/1, 18.2).

The exponents of neighbouring weights are alike, their mantissas are noise. Bytes of one kind beside one another are
what a compressor can make something of.
"""

from __future__ import annotations

from collections.abc import Sequence

import zstandard

from llamafile_format.errors import FormatError

BLOCK = 4 << 20
WIDTHS = (1, 2, 4)
LEVEL = 3
_WINDOW = 8 << 20
_ZEROS = bytes(BLOCK)
_SAMPLES, _SAMPLE = 4, 16 << 10  # of a block, to choose how many planes it has


def plane_sizes(length: int, width: int) -> tuple[int, ...]:
    """Bytes of each of the ``width`` planes of a block of ``length`` bytes; of width 0, which is all zeros, none."""
    return tuple(len(range(first, length, width)) for first in range(width))


def freeze_block(block: bytes) -> tuple[int, tuple[bytes, ...]]:
    """The width of ``block`` and its planes as they are stored; width 0 and no planes if it is all zeros."""
    if block == _ZEROS[: len(block)]:
        return 0, ()
    step = len(block) // _SAMPLES & ~3  # planes of a sample are those of the block
    sample = [block[at * step :][:_SAMPLE] for at in range(_SAMPLES)]
    costs = {width: sum(len(plane) for part in sample for plane in _packed(part, width)) for width in WIDTHS}
    width = min(WIDTHS, key=costs.__getitem__)
    return width, _packed(block, width)


def _packed(block: bytes, width: int) -> tuple[bytes, ...]:
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    planes = [block[first::width] for first in range(width)]
    frames = [compressor.compress(plane) for plane in planes]
    return tuple(
        frame if len(frame) < len(plane) - len(plane) // 64 else plane
        for plane, frame in zip(planes, frames, strict=True)
    )


def thaw_block(stored: bytes, sizes: Sequence[int], width: int, length: int) -> bytes:
    """The ``length`` bytes of a block whose planes are in ``stored``, ``sizes`` bytes of each.

    FormatError if a frame is not whole or says another size than its plane has: nothing larger is ever made.
    """
    block, at = bytearray(length), 0
    for first, (size, wanted) in enumerate(zip(sizes, plane_sizes(length, width), strict=True)):
        part, at = stored[at : at + size], at + size
        block[first::width] = part if size == wanted else _unpacked(part, wanted)
    return bytes(block)


def _unpacked(frame: bytes, wanted: int) -> bytes:
    try:
        said = zstandard.frame_content_size(frame)
        if said != wanted:
            raise FormatError("a frame is not of its plane", clause="18.2.3", found=said, allowed=f"{wanted} bytes")
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"a frame cannot be read: {error}", clause="18.2.3") from error
