"""Builds as they are checked in: one zstandard frame each, the smallest that its library makes (spec/1, 14.5.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

from llamafile_format.errors import FormatError

LEVEL = 22  # the highest; twenty seconds for a program of 14 MB, once in its life
_WINDOW = 1 << 27  # the largest that decoders accept without being told to
_PIECE = 1 << 20
_STEP = 1 << 10  # compressed bytes at once, of which a hostile frame makes 32 MiB


def compress(data: bytes) -> bytes:
    """``data`` as one frame that says its size; the same bytes for the same version of zstandard."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(data), enable_ldm=True, write_content_size=True, write_checksum=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def frame_differs(data: bytes, sha256: str, size: int) -> str:
    """Why ``data`` is not one frame, with nothing behind it, of ``size`` bytes with that SHA-256; empty if it is.

    No more than ``size`` bytes and one piece are ever there.
    """
    decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(write_size=_PIECE)
    digest, found = hashlib.sha256(), 0
    try:
        for at in range(0, len(data), _STEP):
            if decoder.eof:
                return "something follows the frame"
            piece = decoder.decompress(data[at : at + _STEP])
            found += len(piece)
            if found > size:
                return f"it holds more than {size} bytes"
            digest.update(piece)
    except zstandard.ZstdError as error:
        return f"it is no frame that can be read: {error}"
    if decoder.unused_data:
        return "something follows the frame"
    if not decoder.eof:
        return "the frame is cut off"
    if (found, digest.hexdigest()) != (size, sha256):
        return f"it holds {found} bytes with the SHA-256 {digest.hexdigest()}; its pin names {size} bytes with {sha256}"
    return ""


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
