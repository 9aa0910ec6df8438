"""A converted launcher read as what it was before: its first 64 bytes come from their slot (spec/1, 3.2.5).

Manifest, chunk list and signatures are about the unconverted form. Whatever reads a container through this source sees
that form, and needs to know nothing about conversions.
"""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.prefix.bootstrap import HEADER_SIZE, INDEX_MAGIC, INDEX_OFFSET, POLYGLOT, Form, converted_form
from llamafile_format.prefix.elf import MAGIC
from llamafile_format.source.base import ByteSource, Range

HEAD = 1 << 16
"""Bytes that tell whether a file is a converted launcher."""


class Reverted:
    """``source``, whose launcher was converted to ``form``, with the first 64 bytes of a launcher that was not."""

    def __init__(self, source: ByteSource, form: Form) -> None:
        self.source = source
        self.form = form
        self.name = source.name
        self.size = source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`."""
        data = self.source.read_at(offset, length)
        return POLYGLOT[offset : offset + length] + data[HEADER_SIZE - offset :] if offset < HEADER_SIZE else data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`ByteSource`."""
        self.source.read_into(offset, buffer)
        if offset < HEADER_SIZE:
            head = POLYGLOT[offset : offset + len(buffer)]
            buffer[: len(head)] = head

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`ByteSource`."""
        found = self.source.read_ranges(ranges)
        return [
            self.read_at(*place) if place[0] < HEADER_SIZE else data for place, data in zip(ranges, found, strict=True)
        ]


def revert(source: ByteSource) -> ByteSource:
    """``source`` itself, or, if it is a converted launcher, the file that it was before. SourceError."""
    if isinstance(source, Reverted) or source.size < HEAD or source.read_at(0, len(MAGIC)) != MAGIC:
        return source
    if source.read_at(INDEX_OFFSET, len(INDEX_MAGIC)) != INDEX_MAGIC:  # spares other programs the 64 KiB
        return source
    form = converted_form(source.read_at(0, HEAD))
    return source if form is None else Reverted(source, form)


def form_of(source: ByteSource) -> Form:
    """The form of the launcher that ``source``, a result of :func:`revert`, begins with."""
    return source.form if isinstance(source, Reverted) else Form.POLYGLOT
