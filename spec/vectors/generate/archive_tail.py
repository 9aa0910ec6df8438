"""Vectors of chapter 4: which end record and which directory (ambiguities c2, c3, c4, c5). See ``archive.py``."""

from __future__ import annotations

import struct
from typing import Any

from spec.vectors.generate.archive import Row, directory_of, end_record, register, tail, text
from spec.vectors.generate.forge import (
    FFFFFFFF,
    MARK,
    End,
    Part,
    good,
)

# Tail: which end record, which directory (ambiguities c2, c3, c4, c5)


def fake_end_in_comment() -> bytes:
    """The comment holds another end record, which says that there is one entry."""
    offset, size, count = directory_of(good())
    fake = end_record(offset, size, count)
    return tail(comment=MARK + fake)


def later_end_that_does_not_fit() -> bytes:
    """Behind the archive stands an end record whose comment would leave the file."""
    offset, size, count = directory_of(good())
    return tail(trailing=end_record(offset, size, count, comment=9))


def locator_to_another_directory() -> bytes:
    """Plain end record and Zip64 record name two directories: the engine's two readers take one each."""
    out = bytearray(good())
    offset, size, count = directory_of(bytes(out))
    end = out.rindex(b"PK\5\6")
    directory = out[offset : offset + size]
    second = directory.replace(b"LICENSE.txt", b"LICENCE.txt")
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x032D, 45, 0, 0, count, count, size, offset + size)
    locator = struct.pack("<IIQI", 0x07064B50, 0, offset + 2 * size, 1)
    return bytes(out[:end] + second + record + locator + out[end:])


def wide_end(**changes: Any) -> bytes:
    """End records with Zip64, values also in the plain end record unless changed."""
    offset = directory_of(good())[0]
    return good(end=End(wide=True, **{"end": {"offset": offset}, **changes}))


def relative_offsets() -> bytes:
    """Something was put in front of a finished archive."""
    return b"#!/bin/sh\nexit 0\n".ljust(64, b"\n") + good()


def padding_between_records(data: bytes) -> bytes:
    """A directory with two bytes between its first and second record, as one real file of 2020 has."""
    at = data.index(b"PK\1\2", 4)
    return data[:at] + b"\0\0" + data[at:]


def second_name_too_long(data: bytes) -> bytes:
    """The last record's name length leads out of the directory."""
    at = data.rindex(b"PK\1\2")
    return data[: at + 28] + struct.pack("<H", 4096) + data[at + 30 :]


def hidden_by_count() -> bytes:
    """65,536 more records than the 16-bit count tells."""
    many = Part("x", b"", copies=65536)
    return good(end=End(), behind=[many])


TAIL: list[Row] = [
    (
        "no-end-record",
        "LF2001",
        "LF2003",
        "a text that is nothing else either",
        lambda: b"neither an archive nor a program\n" * 4,
    ),
    (
        "truncated-before-the-end-record",
        "LF1010",
        "LF2003",
        "the file ends before its end record",
        lambda: good()[:-40],
    ),
    (
        "truncated-in-the-mark",
        "LF1010",
        "LF2004",
        "the last byte is missing, so the comment does not fit",
        lambda: good()[:-1],
    ),
    ("mark-missing", "LF2004 LF3103", "LF2003", "the end record has no comment", lambda: tail(comment=b"")),
    (
        "mark-of-another-version",
        "LF2004 LF3103",
        "LF2011",
        "the comment names version 2",
        lambda: tail(comment=b"llamafile-format/2"),
    ),
    (
        "mark-with-more-behind",
        "LF2004 LF3103 LF3106",
        "LF2011",
        "the comment goes on behind the mark",
        lambda: tail(comment=MARK + b"\n"),
    ),
    (
        "end-record-in-the-comment",
        "LF2003 LF2004 LF2007 LF3103 LF3106",
        "LF2004",
        "the comment holds another end record",
        fake_end_in_comment,
    ),
    (
        "end-record-behind-the-end",
        "LF2003 LF2011",
        "LF2011",
        "an end record that does not fit follows",
        later_end_that_does_not_fit,
    ),
    ("disk-number-one", "LF2005 LF2043 LF3103", "LF2006", "the end record names disk 1", lambda: tail(end={"disk": 1})),
    (
        "disk-of-directory-one",
        "LF2005 LF2043 LF3103",
        "LF2006",
        "the directory is said to be on disk 1",
        lambda: tail(end={"cd_disk": 1}),
    ),
    (
        "count-on-disk-differs",
        "LF2005 LF2042 LF2043 LF3103",
        "LF2006",
        "the two counts of the end record differ",
        lambda: tail(end={"disk_count": 4}),
    ),
    (
        "count-too-small",
        "LF2006 LF2043 LF3103",
        "LF2005",
        "both counts hide the last record (ambiguity c3)",
        lambda: tail(end={"disk_count": 4, "count": 4}),
    ),
    (
        "count-too-large",
        "LF2006 LF2043 LF3103",
        "LF2005",
        "both counts promise one record more (ambiguity c3)",
        lambda: tail(end={"disk_count": 6, "count": 6}),
    ),
    (
        "count-modulo-65536",
        "LF2014 LF2031 LF2039 LF3102 LF3103 LF3106",
        "LF2006",
        "65,536 records more than the 16-bit counts tell (ambiguity c3)",
        hidden_by_count,
    ),
    (
        "directory-size-too-small",
        "LF2007 LF2013 LF3028 LF9003",
        "LF2008",
        "the directory's size cuts off its last byte",
        lambda: _size(-1),
    ),
    (
        "directory-size-too-large",
        "LF2007 LF3028 LF9003",
        "LF2008",
        "the directory's size leads into the end record",
        lambda: _size(1),
    ),
    (
        "directory-offset-past-the-end",
        "LF2008 LF3028 LF9003",
        "LF2012",
        "the directory's offset leaves the file",
        lambda: _offset(1 << 30),
    ),
    (
        "slack-behind-the-directory",
        "LF2007 LF3103 LF3106",
        "LF2013",
        "24 zero bytes stand between directory and end record (ambiguity c4)",
        lambda: tail(slack=bytes(24)),
    ),
    (
        "offsets-relative",
        "LF2008 LF3028 LF9003",
        "LF2007",
        "a script was put in front of a finished archive (ambiguity c4)",
        relative_offsets,
    ),
    (
        "directory-offset-off-by-one",
        "LF2008 LF3028 LF9003",
        "LF2007",
        "the directory's offset is one less (ambiguity c4)",
        lambda: _offset(-1),
    ),
    (
        "zip64-end-records-not-needed",
        "LF2002 LF3103 LF3106",
        "LF2009 LF2010",
        "Zip64 end records for a small file",
        lambda: tail(wide=True),
    ),
    (
        "zip64-end-records-beside-plain-values",
        "LF2002 LF3103 LF3106",
        "LF2010",
        "Zip64 end records repeat the plain values",
        wide_end,
    ),
    (
        "zip64-locator-to-nothing",
        "LF2009 LF3103 LF3106",
        "LF2010",
        "the Zip64 locator points at byte 0 (ambiguity c5)",
        lambda: wide_end(locator={"offset": 0}),
    ),
    (
        "zip64-locator-past-itself",
        "LF2009 LF3103 LF3106",
        "LF2010",
        "the Zip64 locator points behind itself (ambiguity c5)",
        lambda: wide_end(locator={"offset": 1 << 40}),
    ),
    (
        "zip64-record-with-a-tail",
        "LF2009 LF3103 LF3106",
        "LF2010",
        "the Zip64 end record claims bytes of its own (ambiguity c5)",
        lambda: wide_end(end64={"length": 45}),
    ),
    (
        "zip64-count-differs",
        "LF2002 LF2006 LF2010 LF2042 LF2043 LF3103 LF3106",
        "LF2009",
        "plain and Zip64 end record count differently (ambiguity c5)",
        lambda: wide_end(end64={"count": 4, "disk_count": 4}),
    ),
    (
        "zip64-directory-differs",
        "LF2002 LF2010 LF2019 LF2040 LF2042 LF3103 LF3106",
        "LF2009",
        "plain and Zip64 end record name two directories (parser trap 1)",
        locator_to_another_directory,
    ),
    (
        "zip64-disks",
        "LF2002 LF2005 LF3103 LF3106",
        "LF2010",
        "the locator counts two disks",
        lambda: wide_end(locator={"disks": 2}),
    ),
    (
        "end-record-sentinel-without-zip64",
        "LF2008 LF2012 LF3028 LF9003",
        "LF2010",
        "the end record leaves its offset to a Zip64 record that is not there",
        lambda: tail(end={"offset": FFFFFFFF}),
    ),
    ("trailing-zero", "LF2011", "LF2004", "one zero byte follows the archive", lambda: tail(trailing=b"\0")),
    (
        "trailing-line",
        "LF2011",
        "LF2004",
        "a line of text follows the archive",
        lambda: tail(trailing=b"hello\n"),
    ),
    (
        "directory-padded",
        "LF2013 LF3028 LF9003",
        "LF2029",
        "two bytes stand between two directory records",
        lambda: tail(directory=padding_between_records),
    ),
    (
        "directory-record-cut",
        "LF2013 LF3028 LF9003",
        "LF2014",
        "a directory record's name leads out of the directory",
        lambda: tail(directory=second_name_too_long),
    ),
    (
        "directory-signature-wrong",
        "LF2013 LF3028 LF9003",
        "LF2029",
        "a directory record has another signature",
        lambda: good(text(record={"magic": 0x02014B51})),
    ),
    (
        "directory-too-large",
        "LF2014 LF3028 LF9003",
        "LF2007",
        "the directory claims 100 MiB",
        lambda: tail(end={"size": 100 << 20}),
    ),
    (
        "digital-signature-record",
        "LF2029 LF3103 LF3106",
        "LF2013",
        "a digital signature record ends the directory",
        lambda: tail(directory=lambda d: d + b"PK\5\5\0\0"),
    ),
    (
        "digital-signature-behind",
        "LF2029 LF3103 LF3106",
        "LF2007",
        "a digital signature record follows the directory",
        lambda: tail(slack=b"PK\5\5\0\0"),
    ),
]


def _size(by: int) -> bytes:
    return tail(end={"size": directory_of(good())[1] + by})


def _offset(by: int) -> bytes:
    return tail(end={"offset": directory_of(good())[0] + by})


register(TAIL, "archive")
