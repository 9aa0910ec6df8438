"""The file around the blocks: mark, blocks, table, index, end; written, and read within bounds (spec/1, 18.1, 18.3).

Nothing in it says where a block lies: blocks follow one another without a hole, so that none can overlap another, and
the sum of their sizes must come out at the table.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.frozen.planes import BLOCK, WIDTHS, plane_sizes
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.prefix.impostors import FROZEN, is_frozen
from llamafile_format.source import ByteSource

FORMAT = "llamafile-frozen/1"
MEDIA_TYPE = "application/vnd.llamafile-frozen"
MAX_BLOCKS = 1 << 22
MAX_INDEX = 4096
_ROW = struct.Struct("<I4I32s")
_END = struct.Struct(f"<Q32s{len(FROZEN)}s")
_ROWS_AT_ONCE = 1 << 14
_DIGEST = re.compile("[0-9a-f]{64}")
_HINT = "it is damaged or was not written as it should be: repair it, or take another copy"


@dataclass(frozen=True, slots=True)
class Row:
    """A block as it is stored: ``width`` planes of ``sizes`` bytes, all of them with this SHA-256."""

    width: int
    sizes: tuple[int, ...]
    sha256: bytes

    def packed(self) -> bytes:
        """The row as it lies in the table."""
        return _ROW.pack(self.width, *self.sizes, *[0] * (4 - self.width), self.sha256)

    @property
    def stored(self) -> int:
        """Bytes in the frozen file."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Index:
    """What was frozen: ``size`` bytes with the digest ``sha256``, a container with that manifest; and its table's."""

    manifest_sha256: str
    sha256: str
    size: int
    table_sha256: str

    @property
    def blocks(self) -> int:
        """How many blocks there are: all of 4 MiB but the last."""
        return -(-self.size // BLOCK)

    def length(self, number: int) -> int:
        """Bytes of block ``number``, thawed."""
        return min(BLOCK, self.size - number * BLOCK)

    def to_json(self) -> dict[str, Any]:
        """The index as it is written."""
        return {
            "format": FORMAT,
            "manifest_sha256": self.manifest_sha256,
            "sha256": self.sha256,
            "size": self.size,
            "table_sha256": self.table_sha256,
        }


def tail_of(index: Index) -> bytes:
    """Everything behind the table of blocks."""
    text = encode(index.to_json())
    return text + _END.pack(len(text), hashlib.sha256(text).digest(), FROZEN)


class Frozen:
    """A frozen container, open for reading: its index and table have been checked against every byte but the blocks'.

    Raises FormatError for what 18.3 does not allow, LimitExceeded for more than is read. Memory does not grow with the
    table.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        end = source.size - _END.size
        if not is_frozen(source) or end < len(FROZEN):
            begun = source.read_at(0, min(len(FROZEN), source.size)) == FROZEN
            what = "is a frozen container without its end: it was cut off" if begun else "is no frozen container"
            hint = "download or copy it again" if begun else "`llamafile-format freeze` makes one of a container"
            raise FormatError(f"{source.name} {what}", clause="18.1.1", hint=hint)
        length, digest, _ = _END.unpack(source.read_at(end, _END.size))
        if length > min(MAX_INDEX, end - len(FROZEN)):
            raise _bad(source, "the length of its index", "18.3.1", end, found=length, allowed=f"{MAX_INDEX}")
        text = source.read_at(end - length, length)
        if hashlib.sha256(text).digest() != digest:
            raise _bad(source, "its index has another SHA-256 than its end says", "18.3.1", end - length)
        self.index = _index(source, text, end - length)
        if self.index.blocks > MAX_BLOCKS:
            what = f"{source.name} has too many blocks"
            allowed = f"{MAX_BLOCKS}"
            raise LimitExceeded(what, clause="18.5.1", found=self.index.blocks, allowed=allowed, hint=_HINT)
        self._table = end - length - self.index.blocks * _ROW.size
        if self._table < len(FROZEN):
            raise _bad(source, "its table has no room in it", "18.3.2", found=self.index.blocks, allowed="fewer blocks")
        self.data = self._check_table()

    def _check_table(self) -> int:
        """Bytes of blocks that are not all zeros. Every row is looked at, and the digest of them all."""
        digest, at, data = hashlib.sha256(), len(FROZEN), 0
        for number, row in enumerate(self.rows()):
            digest.update(row.packed())
            at += row.stored
            data += self.index.length(number) if row.width else 0
            if at > self._table:
                raise _bad(
                    self.source,
                    "its blocks are longer than what is there",
                    "18.3.3",
                    at,
                    found=f"block {number}",
                    allowed=f"{self._table}",
                )
        if at != self._table:
            raise _bad(
                self.source, "bytes between its blocks and its table", "18.3.3", at, found=self._table - at, allowed="0"
            )
        if digest.hexdigest() != self.index.table_sha256:
            raise _bad(self.source, "its table has another SHA-256 than its index says", "18.3.2", self._table)
        return data

    def rows(self) -> Iterator[Row]:
        """The rows of the table, in order, each within its bounds."""
        for first in range(0, self.index.blocks, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, self.index.blocks - first)
            table = self.source.read_at(self._table + first * _ROW.size, count * _ROW.size)
            for number, (width, *sizes, digest) in enumerate(_ROW.iter_unpack(table), first):
                yield self._row(number, width, sizes, digest)

    def _row(self, number: int, width: int, sizes: list[int], digest: bytes) -> Row:
        where = self._table + number * _ROW.size
        if width and width not in WIDTHS:
            raise _bad(self.source, "the width of a block", "18.3.3", where, found=width, allowed="0, 1, 2, 4")
        wanted = plane_sizes(self.index.length(number), width)
        if any(sizes[width:]) or any(size > most for size, most in zip(sizes, wanted, strict=False)):
            raise _bad(
                self.source,
                "the sizes of a block's planes",
                "18.3.3",
                where,
                found=sizes,
                allowed=f"at most {list(wanted)}",
            )
        return Row(width, tuple(sizes[:width]), digest)

    def stored(self) -> Iterator[tuple[Row, bytes]]:
        """Each row with the bytes of its block, as they lie there. FormatError if they have another digest."""
        at = len(FROZEN)
        for row in self.rows():
            data = self.source.read_at(at, row.stored)
            if hashlib.sha256(data).digest() != row.sha256:
                raise _bad(self.source, "a block has another SHA-256 than its row says", "18.2.4", at)
            yield row, data
            at += row.stored


def _index(source: ByteSource, text: bytes, at: int) -> Index:
    """The index that ``text`` is."""
    try:
        value = decode(text)
    except FormatError as error:
        raise _bad(source, f"its index is {error.message}", "18.3.1", at) from error
    fields = value if isinstance(value, dict) else {}
    size, *digests = (fields.get(name) for name in ("size", "manifest_sha256", "sha256", "table_sha256"))
    right = fields.get("format") == FORMAT and len(fields) == len(digests) + 2
    right = right and type(size) is int and size > 0
    if not right or not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests):
        raise _bad(source, "the fields of its index", "18.3.1", at, allowed=f"those of {FORMAT}")
    return Index(**{name: fields[name] for name in fields if name != "format"})


def _bad(
    source: ByteSource, what: str, clause: str, offset: int | None = None, *, found: object = None, allowed: str = ""
) -> FormatError:
    return FormatError(f"{source.name}: {what}", offset=offset, clause=clause, found=found, allowed=allowed, hint=_HINT)
