"""The ZIP records as byte layouts (PKWARE APPNOTE 6.3.10), each declared once for reader, writer and documentation.

Every structure is little endian. Offsets stored in them are absolute from byte 0 of the file (spec/1, 4.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")  # APPNOTE 4.3.7, 30 bytes, then name and extra
DIRECTORY_RECORD = struct.Struct("<IHHHHHHIIIHHHHHII")  # APPNOTE 4.3.12, 46 bytes, then name, extra, comment
EOCD = struct.Struct("<IHHHHIIH")  # APPNOTE 4.3.16, 22 bytes, then comment
EOCD64 = struct.Struct("<IQHHIIQQQQ")  # APPNOTE 4.3.14, 56 bytes
LOCATOR = struct.Struct("<IIQI")  # APPNOTE 4.3.15, 20 bytes
EXTRA_HEADER = struct.Struct("<HH")  # APPNOTE 4.5.1: id, length

LOCAL_MAGIC = 0x04034B50
DIRECTORY_MAGIC = 0x02014B50
EOCD_MAGIC = 0x06054B50
EOCD64_MAGIC = 0x06064B50
LOCATOR_MAGIC = 0x07064B50
EOCD_SIGNATURE = b"PK\x05\x06"
EOCD64_SIGNATURE = b"PK\x06\x06"

EXTRA_ZIP64 = 0x0001
EXTRA_UNICODE_PATH = 0x7075

STORED = 0
DEFLATED = 8

FLAG_ENCRYPTED = 0x0001
FLAG_DATA_DESCRIPTOR = 0x0008
FLAG_STRONG_ENCRYPTION = 0x0040
FLAG_UTF8 = 0x0800
FLAG_MASKED_HEADERS = 0x2000

SENTINEL16 = 0xFFFF
SENTINEL32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """A local file header as stored; sizes are the 32-bit fields, before Zip64 is applied."""

    version_needed: int
    flags: int
    method: int
    dos_time: int
    dos_date: int
    crc32: int
    compressed_size: int
    size: int
    name: bytes
    extra: bytes

    @property
    def length(self) -> int:
        """Bytes of the header with name and extra field."""
        return LOCAL_HEADER.size + len(self.name) + len(self.extra)

    def pack(self) -> bytes:
        """The header's bytes."""
        head = LOCAL_HEADER.pack(
            LOCAL_MAGIC,
            self.version_needed,
            self.flags,
            self.method,
            self.dos_time,
            self.dos_date,
            self.crc32,
            self.compressed_size,
            self.size,
            len(self.name),
            len(self.extra),
        )
        return head + self.name + self.extra


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A central directory record as stored; sizes and offset are the 32-bit fields, before Zip64 is applied."""

    version_made: int
    version_needed: int
    flags: int
    method: int
    dos_time: int
    dos_date: int
    crc32: int
    compressed_size: int
    size: int
    disk: int
    internal_attributes: int
    external_attributes: int
    header_offset: int
    name: bytes
    extra: bytes
    comment: bytes

    @property
    def length(self) -> int:
        """Bytes of the record with name, extra field and comment."""
        return DIRECTORY_RECORD.size + len(self.name) + len(self.extra) + len(self.comment)

    def pack(self) -> bytes:
        """The record's bytes."""
        head = DIRECTORY_RECORD.pack(
            DIRECTORY_MAGIC,
            self.version_made,
            self.version_needed,
            self.flags,
            self.method,
            self.dos_time,
            self.dos_date,
            self.crc32,
            self.compressed_size,
            self.size,
            len(self.name),
            len(self.extra),
            len(self.comment),
            self.disk,
            self.internal_attributes,
            self.external_attributes,
            self.header_offset,
        )
        return head + self.name + self.extra + self.comment


def parse_local_header(head: bytes, name: bytes, extra: bytes) -> LocalHeader:
    """A local header from its 30 fixed bytes and its two variable parts; the magic is the caller's to check."""
    _, needed, flags, method, time, date, crc, csize, usize, _, _ = LOCAL_HEADER.unpack(head)
    return LocalHeader(needed, flags, method, time, date, crc, csize, usize, name, extra)


def parse_directory_record(data: bytes, at: int) -> DirectoryRecord:
    """The directory record at ``data[at:]``; the caller has checked magic and that all its bytes are there."""
    fields = DIRECTORY_RECORD.unpack_from(data, at)
    _, made, needed, flags, method, time, date, crc, csize, usize, names, extras, comments, disk, internal, ext, off = (
        fields
    )
    at += DIRECTORY_RECORD.size
    name = data[at : at + names]
    extra = data[at + names : at + names + extras]
    comment = data[at + names + extras : at + names + extras + comments]
    return DirectoryRecord(
        made, needed, flags, method, time, date, crc, csize, usize, disk, internal, ext, off, name, extra, comment
    )
