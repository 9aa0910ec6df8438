"""Read a GGUF header: strict, bounded, lazy, in place (spec/1, chapter 7).

:func:`read_gguf` never raises for bad bytes. It reports every fault whose extent is known and goes on behind it; where
the extent is not known (a wrong magic, an unknown value type, a length that leaves the file) it stops, and the result
says so. Array bodies are stepped over, tensor data is never read. Nothing is allocated by a number read from the file
before that number has passed its limit and been compared with the bytes that remain.
"""

from __future__ import annotations

import struct

from llamafile_format import limits as caps
from llamafile_format.source import ByteSource
from llamafile_format.weights import gguf_limits as limits
from llamafile_format.weights.gguf_cursor import Cursor, Log, Stop
from llamafile_format.weights.gguf_keys import read_entries
from llamafile_format.weights.gguf_model import Dialect, Entry, Gguf, TensorInfo, ValueType
from llamafile_format.weights.gguf_tensors import MAGIC, DataSection, padded, read_tensors

ENTRY_BYTES_MIN = {1: 4 + 4 + 1, 2: 8 + 4 + 1, 3: 8 + 4 + 1}
"""Fewest bytes of a key-value pair: length of an empty key, type tag, one byte of value."""

TENSOR_BYTES_MIN = {1: 4 + 4 + 4 + 8, 2: 8 + 4 + 4 + 8, 3: 8 + 4 + 4 + 8}
"""Fewest bytes of a tensor row: empty name, no dimensions, type, offset."""


def read_gguf(
    source: ByteSource, *, length: int | None = None, base: int = 0, member: str = "", budget: int | None = None
) -> Gguf:
    """Read the GGUF whose first byte is byte 0 of ``source`` and that ends at ``length`` (default: the whole source).

    ``base`` is added to the offsets of findings, so that they come out absolute in a container; ``member`` names the
    member in them. ``budget`` bounds the bytes fetched: reading stops there with ``stopped == "budget"``.
    Raises SourceError only, if the source cannot be read.
    """
    log = Log(base, member)
    cursor = Cursor(source, source.size if length is None else min(length, source.size), log, budget)
    return _Reading(cursor, log).run()


class _Reading:
    """State of one reading, so that what was read before a stop is kept."""

    def __init__(self, cursor: Cursor, log: Log) -> None:
        self.cursor = cursor
        self.log = log
        self.dialect = Dialect(0, "<")
        self.entries: dict[str, Entry] = {}
        self.tensors: list[TensorInfo] = []
        self.alignment = limits.ALIGNMENT_DEFAULT
        self.declared_keys = self.declared_tensors = 0

    def run(self) -> Gguf:
        """Header, entries, tensor table, in file order; then the layout of the data section."""
        stopped, header_length = "", 0
        try:
            self._header()
            read_entries(self.cursor, self.dialect, self.declared_keys, self.entries)
            self._alignment()
            read_tensors(self.cursor, self.dialect, self.declared_tensors, self.tensors)
            header_length = self.cursor.position
        except Stop as stop:
            stopped, header_length = stop.reason, self.cursor.position
        data_offset = padded(header_length, self.alignment)
        data_length = 0
        if not stopped:
            cursor = self.cursor
            section = DataSection(header_length, data_offset, cursor.size, self.alignment, self.log, cursor.source)
            data_length = section.check(self.tensors)
        return Gguf(
            version=self.dialect.version,
            byte_order="big" if self.dialect.order == ">" else "little",
            entries=self.entries,
            tensors=tuple(self.tensors),
            alignment=self.alignment,
            data_offset=data_offset,
            data_length=data_length,
            header_length=header_length,
            size=self.cursor.size,
            findings=tuple(self.log.findings),
            complete=not stopped,
            stopped=stopped,
            declared_keys=self.declared_keys,
            declared_tensors=self.declared_tensors,
            bytes_read=self.cursor.bytes_read,
        )

    def _header(self) -> None:
        """Magic, version (which also tells the byte order), counts."""
        magic = self.cursor.take(min(len(MAGIC), max(1, self.cursor.remaining)))
        if magic != MAGIC[: len(magic)]:
            raise self.log.stop("LF5001", 0, "magic", found=magic.hex())
        version = self.cursor.take(8 - len(magic))
        little, big = struct.unpack("<I", version)[0], struct.unpack(">I", version)[0]
        order, number = (">", big) if big in ENTRY_BYTES_MIN else ("<", little)
        if number not in ENTRY_BYTES_MIN:
            raise self.log.stop("LF5003", 4, "version", found=number)
        self.dialect = Dialect(number, order)
        if order == ">":
            self.log.add("LF5004", 4, "version")
        if number == 1:
            self.log.add("LF5005", 4, "version")
        self.declared_tensors = self._count("tensor_count", ("LF5006", "LF5008"), caps.GGUF_TENSORS, TENSOR_BYTES_MIN)
        self.declared_keys = self._count("key_count", ("LF5007", "LF5009"), caps.GGUF_KEYS, ENTRY_BYTES_MIN)

    def _count(self, field: str, rules: tuple[str, str], limit: int, least: dict[int, int]) -> int:
        """A count is believed only if that many records, at their smallest, fit into what remains."""
        place = self.cursor.position
        count = self.cursor.number(self.dialect.length)
        room = self.cursor.remaining // least[self.dialect.version]
        if count > room:
            raise self.log.stop(rules[0], place, field, count=count, room=room)
        if count > limit:
            raise self.log.past_cap(rules[1], place, field, count=count, limit=limit)
        return count

    def _alignment(self) -> None:
        """``general.alignment``: a power of two from 8 to 65536, stored as UINT32; 32 where it is not given."""
        entry = self.entries.get("general.alignment")
        if entry is None:
            return
        if entry.type is not ValueType.UINT32 or not isinstance(entry.value, int):
            self.log.add("LF5029", entry.offset, entry.key, found=entry.type.name)
            return
        value = entry.value
        if value == 0 or value & (value - 1):
            self.log.add("LF5030", entry.offset, entry.key, found=value)
        elif not limits.ALIGNMENT_MIN <= value <= limits.ALIGNMENT_MAX:
            self.log.add("LF5031", entry.offset, entry.key, found=value)
        else:
            self.alignment = value
