"""Builds as they are checked in: one zstandard frame each, the smallest that its library makes (spec/1.0, 14.5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import zstandard

from llamafile_format.errors import FormatError

LEVEL = 22  # the highest; twenty seconds for a program of 14 MB, once in its life
_WINDOW = 1 << 27  # the largest that decoders accept without being told to
_PIECE = 1 << 20


def compress(data: bytes) -> bytes:
    """``data`` as one frame that says its size; the same bytes for the same version of zstandard."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(data), enable_ldm=True, write_content_size=True, write_checksum=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def pieces(path: Path, size: int) -> Iterator[bytes]:
    """The bytes in the frame at ``path``, at most one more than ``size`` of them. FormatError if it is damaged."""
    left = size + 1
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file)
        try:
            while left and (piece := reader.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece
        except zstandard.ZstdError as error:
            raise FormatError(f"{path} is damaged: {error}") from error
