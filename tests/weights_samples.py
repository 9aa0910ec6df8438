"""Weights of formats that have no vectors: LiteRT-LM, and what is told by its first bytes alone."""

from __future__ import annotations

import struct

Section = tuple[int, int, int]
"""Beginning, end and kind."""

_HEAD = 32


def litertlm(*sections: Section, size: int, end: int | None = None) -> bytes:
    """A LiteRT-LM file of ``size`` bytes, version 1.5.0; ``end`` is where it says that its header ends."""
    body = _flat(sections)
    head = b"LITERTLM" + struct.pack("<3I4xQ", 1, 5, 0, _HEAD + len(body) if end is None else end)
    return (head + body).ljust(size, b"\0")


def header_size(*sections: Section) -> int:
    """Bytes of the header of such a file."""
    return _HEAD + len(_flat(sections))


def _flat(sections: tuple[Section, ...]) -> bytes:
    """A FlatBuffer: a root with a table in field 1, whose field 0 is the list of sections."""
    root = struct.pack("<IHHHHiI", 12, 8, 8, 0, 4, 8, 4)
    inner = struct.pack("<iIHHHxx", -8, 12, 6, 8, 4)
    first = 4 * len(sections) + 4
    offsets = b"".join(struct.pack("<I", first + 40 * n + 12 - 4 * n) for n in range(len(sections)))
    layout = struct.pack("<HHHHHHxxxx", 12, 24, 0, 8, 16, 4)
    tables = b"".join(layout + struct.pack("<iB3xQQ", 16, kind, begin, end) for begin, end, kind in sections)
    return root + inner + struct.pack("<I", len(sections)) + offsets + tables


CTRANSLATE2 = struct.pack("<IH", 6, 16) + b"TransformerSpec\0" + struct.pack("<II", 7, 0)
NETWORK = b'<?xml version="1.0"?>\n<net name="Model0" version="11">\n</net>\n'
CACHE = b'{\n "metadata": {}, "records": []}'
PLAN = b"ftrt" + bytes(60)
