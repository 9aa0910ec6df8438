"""Files that people mistake for a llamafile, each with its own plain message (spec/1, 3.7).

Asked only when no archive could be read. Nothing here looks at more than 200 KiB, however large the file is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.prefix.facts import PrefixFacts, PrefixKind
from llamafile_format.prefix.identify import identify
from llamafile_format.source.base import ByteSource

HEAD = 4096
TAIL = 65_557  # the longest end record with its comment, and a little more
POINTER_MAX = 4096  # pointer files have about 130 bytes
_SAMPLE = 4096
_SAMPLES = 16
_EOCD = b"PK\5\6"
_EOCD_SIZE = 22
_GGUF_HEADER = 24


@dataclass(frozen=True, slots=True)
class Impostor:
    """Not a llamafile: ``rule`` of chapter 3, what it is in ``message``, and what to do in ``hint``."""

    rule: str
    message: str
    hint: str
    args: dict[str, Value] = field(default_factory=dict)

    @property
    def finding(self) -> Finding:
        """The finding to report, at byte 0."""
        return Finding(self.rule, Where(0, None), self.args)


FROZEN = b"\x89llamafrozen/1\r\n"
"""What a frozen container begins with, and ends with (18.1.1)."""

PROGRAMS = frozenset({"LF1012", "LF1035"})
"""Rules that tell a whole program: it is no llamafile, and may be the prefix of one."""

_EMPTY = Impostor("LF1008", "the file is empty", "copy or download it again")
_FROZEN = Impostor(
    "LF1036",
    "this is a frozen container: its weights are packed, and nothing can start or check them in place",
    "`llamafile-format thaw FILE -o OUT` makes the container again",
)

_Test = Callable[[ByteSource, bytes], Impostor | None]


def is_frozen(source: ByteSource) -> bool:
    """True if ``source`` begins and ends as a frozen container does, whatever lies between (3.7.8)."""
    size = len(FROZEN)
    if source.size < 2 * size or source.read_at(source.size - size, size) != FROZEN:  # the end is read in any case
        return False
    return source.read_at(0, size) == FROZEN


def recognise(source: ByteSource) -> Impostor | None:
    """What ``source`` is instead of a llamafile; None if its end holds a ZIP end record, or if nothing is known.

    SourceError if the source cannot be read.
    """
    if source.size == 0:
        return _EMPTY
    if is_frozen(source):
        return _FROZEN
    if has_end_record(source):
        return None
    head = source.read_at(0, min(HEAD, source.size))
    tests = _TESTS if has_end_signature(source) else (*_TESTS, _cut_off)
    for test in tests:
        found = test(source, head)
        if found is not None:
            return found
    return None


def recognise_instead(source: ByteSource) -> Impostor | None:
    """What stands in ``source`` in the place of a model: a pointer, a server's answer, an archive, nothing at all.

    None if it is none of these, whatever else it may be. SourceError if the source cannot be read.
    """
    if source.size == 0:
        return _EMPTY
    if is_frozen(source):
        return _FROZEN
    head = source.read_at(0, min(HEAD, source.size))
    return next((found for test in _INSTEAD if (found := test(source, head)) is not None), None)


def recognise_pointer(source: ByteSource) -> Impostor | None:
    """The Git-LFS or Xet pointer that ``source`` is; None if it is a file itself."""
    return _pointer(source, source.read_at(0, source.size)) if source.size <= POINTER_MAX else None


def program_with_archive(facts: PrefixFacts, members: int) -> Impostor | None:
    """What an executable in front of an archive is in which there is neither a model nor an engine for one (9.1.1)."""
    what = {
        PrefixKind.APE: "a Cosmopolitan program",
        PrefixKind.PE: "a Windows program, perhaps a self-extracting archive,",
        PrefixKind.ELF: "an ELF program",
        PrefixKind.MACHO: "a program for macOS",
    }.get(facts.kind)
    if what is None or not members:
        return None
    return Impostor(
        "LF1035",
        f"this is {what} with an archive of its own of {members} members, none of which is a model",
        "look into it with `unzip -l`; if it is an engine, put a model behind it with `pack --prefix`",
        {"what": what, "count": members},
    )


def has_end_signature(source: ByteSource) -> bool:
    """True if the last 64 KiB hold an end record whose comment fits the file: whatever is wrong, the end is there."""
    return any(True for _ in _end_records(source))


def _end_records(source: ByteSource) -> Iterator[tuple[int, int, int]]:
    """(offset of the record, size and offset of its directory) for each end record whose comment fits, last first."""
    low = max(0, source.size - TAIL)
    tail = source.read_at(low, source.size - low)
    at = tail.rfind(_EOCD)
    while at >= 0:
        if at + _EOCD_SIZE <= len(tail):
            size, offset, comment = struct.unpack_from("<IIH", tail, at + 12)
            if at + _EOCD_SIZE + comment <= len(tail):
                yield low + at, size, offset
        at = tail.rfind(_EOCD, 0, at)


def has_end_record(source: ByteSource) -> bool:
    """True if the last 64 KiB hold an end of central directory record whose comment and directory fit the file."""
    return any(offset == 0xFFFFFFFF or offset + size <= at for at, size, offset in _end_records(source))


def _pointer(source: ByteSource, head: bytes) -> Impostor | None:
    if source.size > POINTER_MAX:
        return None
    if head.startswith(b"version https://git-lfs"):
        size = _field(head, b"size ")
        return Impostor(
            "LF1001",
            f"this is a Git LFS pointer, {source.size} bytes of text that stand for a file of {size} bytes",
            "run `git lfs pull`, or download the file itself",
            {"size": size},
        )
    if head.lstrip().startswith(b"# xet version"):
        return Impostor(
            "LF1002",
            f"this is a Xet pointer, {source.size} bytes of text that stand for a larger file",
            "run `git xet checkout`, or download the file itself",
            {"bytes": source.size},
        )
    return None


def _field(text: bytes, key: bytes) -> str:
    for line in text.splitlines():
        if line.startswith(key) and line[len(key) :].isdigit():
            return line[len(key) :][:20].decode("ascii")
    return "unknown"


def _page(source: ByteSource, head: bytes) -> Impostor | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    opening = text[:256].lower()
    if opening.startswith((b"<!doctype html", b"<html", b"<head", b"<!doctype  html")) or (
        opening.startswith(b"<!--") and b"<html" in text.lower()
    ):
        return Impostor(
            "LF1003",
            "this is an HTML page, probably a login or error page saved in place of the file",
            "open the address in a browser, sign in or accept the licence, and download again",
        )
    if opening.startswith((b"<?xml", b"<error")):
        return _error_body("XML")
    if source.size <= 1 << 20 and text[:1] in (b"{", b"[") and _looks_like_json(text):
        return _error_body("JSON")
    return None


def _error_body(kind: str) -> Impostor:
    return Impostor(
        "LF1004",
        f"this is {kind} text, probably a server's error message saved in place of the file",
        "read the text, correct the address or the credentials, and download again",
        {"kind": kind},
    )


def _looks_like_json(text: bytes) -> bool:
    inner = text[1:].lstrip()
    return b"\0" not in text and inner[:1] in (b'"', b"{", b"}", b"]", b"[")


def _weights(source: ByteSource, head: bytes) -> Impostor | None:
    if head[:4] == b"GGUF" and source.size >= _GGUF_HEADER:
        return Impostor(
            "LF1005",
            "this is a bare GGUF model without an archive around it",
            "make a container of it with `llamafile-format pack`",
        )
    if head[:3] == b"GGU" and source.size < _GGUF_HEADER and b"GGUF".startswith(head[:4]):
        return Impostor(
            "LF1011",
            f"this is the start of a GGUF model, cut off after {source.size} bytes",
            "download it again",
            {"bytes": source.size},
        )
    if len(head) >= 10:
        (length,) = struct.unpack_from("<Q", head)
        if 2 <= length <= source.size - 8 and head[8:9] == b"{" and head[9:10] in (b'"', b"}", b" ", b"\n"):
            return Impostor(
                "LF1006",
                "this is a bare safetensors file",
                "convert it to GGUF first, then `llamafile-format pack` the result; "
                "or `llamafile-format pack --runtime mlx`, which runs it as it is",
            )
    return None


_ARCHIVES = (
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
)


def _archive(_: ByteSource, head: bytes) -> Impostor | None:
    for at, magic, name in _ARCHIVES:
        if head[at : at + len(magic)] == magic:
            return Impostor(
                "LF1007",
                f"this is a {name} file",
                "unpack it; what you look for may be inside",
                {"kind": name},
            )
    return None


def _zeros(source: ByteSource, head: bytes) -> Impostor | None:
    """All zero bytes: the whole file up to 64 KiB, samples of a larger one (sparse file, preallocated download)."""
    if any(head):
        return None
    step = max(_SAMPLE, source.size // _SAMPLES)
    for at in range(0, source.size, step):
        if any(source.read_at(at, min(_SAMPLE, source.size - at))):
            return None
    if any(source.read_at(max(0, source.size - _SAMPLE), min(_SAMPLE, source.size))):
        return None
    return Impostor(
        "LF1009",
        f"the file holds nothing but zero bytes ({source.size} of them) wherever it was looked at",
        "the download or copy reserved the space and never filled it: copy or download it again",
        {"bytes": source.size},
    )


_CALLED = {
    PrefixKind.APE: "an APE",
    PrefixKind.LAUNCHER: "a launcher",
    PrefixKind.ELF: "an ELF",
    PrefixKind.MACHO: "a Mach-O",
    PrefixKind.PE: "a PE",
}
"""Kinds of executable with their article, in the spelling of the glossary."""


def _cut_off(source: ByteSource, head: bytes) -> Impostor | None:
    if head[:4] == b"PK\3\4":
        return _truncated(source, "a ZIP archive")
    if head.startswith(FROZEN):
        return _truncated(source, "a frozen container")
    facts = identify(source)
    if facts.kind in (PrefixKind.NONE, PrefixKind.OTHER, PrefixKind.SCRIPT):
        return None
    name = _CALLED.get(facts.kind, f"a {facts.kind.value}")
    if any(item.rule in {"LF1018", "LF1026"} for item in facts.findings) or facts.kind is PrefixKind.LAUNCHER:
        return _truncated(source, f"{name} executable")
    return Impostor(
        "LF1012",
        f"this is {name} executable without an archive behind it: a plain program, or a download that was cut short",
        "compare its size with the one at the source; an engine alone can be given to `pack --prefix`",
        {"kind": name},
    )


def _truncated(source: ByteSource, what: str) -> Impostor:
    return Impostor(
        "LF1010",
        f"this begins as {what} and is cut off after {source.size} bytes: its end is missing",
        "download it again; `llamafile-format recover FILE --salvage -C DIR` saves the members that are complete",
        {"what": what, "bytes": source.size},
    )


_TESTS: tuple[_Test, ...] = (_pointer, _page, _weights, _archive, _zeros)
_INSTEAD: tuple[_Test, ...] = (_pointer, _page, _archive, _zeros)
