"""Vectors of 14.8: builds and a prefix that nobody knows, of a few bytes, and what those bytes say of them."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable

from spec.vectors.generate import Maker
from spec.vectors.generate.forge import gguf
from spec.vectors.generate.runtimes import PIN, PROGRAM, build, built, pin, with_runtime

CHAPTER = "runtimes"
_ALL = "LF3360 LF3361 LF3362 LF3363 LF3364"
READ, WRITE, EXECUTE = 4, 2, 1


def elf(text: bytes = b"", flags: int = READ | EXECUTE, behind: bytes = b"") -> bytes:
    """A static ELF program for x86_64 whose one segment, mapped as ``flags`` say, is the file without ``behind``."""
    size = 120 + len(text)
    head = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, 0x400000, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    return head + struct.pack("<IIQQQQQQ", 1, flags, 0, 0x400000, 0x400000, size, size, 4096) + text + behind


def runtime(data: bytes) -> bytes:
    """A container with ``data`` as its build, and a pin that names it."""
    text = PIN.replace(hashlib.sha256(PROGRAM).hexdigest(), hashlib.sha256(data).hexdigest())
    return with_runtime(pin(text.replace(f"size: {len(PROGRAM)},", f"size: {len(data)},")), build(data))


def pickled(call: bytes = b"cos\nsystem\n") -> bytes:
    """A pickle that calls something when it is loaded."""
    return b"\x80\x02" + call + b"X\4\0\0\0true\x85R."


def zipped() -> bytes:
    """A ZIP of one member, whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inside.txt", (1980, 1, 1, 0, 0, 0)), b"a text of some words\n")
    return out.getvalue()


def _build(name: str, data: Callable[[], bytes], comment: str, rules: str = "", near: str = "") -> None:
    maker: Maker = lambda: runtime(data())  # noqa: E731
    built(name, rules=rules, comment=comment, near=near)(maker)


_build("program-writable", lambda: elf(flags=7), "A segment that is writable and executable at once.", "LF3361")
_build("program-packed", lambda: elf(b"\0" * 8 + b"UPX!" + b"\0" * 8), "The mark of a packer.", "LF3362")
_build("program-with-words", lambda: elf(b"\0exec /bin/sh\0"), "It names a shell.", "LF3360")
_build(
    "program-with-wide-words",
    lambda: elf(b"\0\0" + "certutil -urlcache".encode("utf-16-le") + b"\0\0"),
    "A command in two bytes a character.",
    "LF3360",
)
_build("program-with-more-behind", lambda: elf(b"code", behind=b"and more"), "Bytes behind its segment.", "LF3360")
_RIDERS = (
    ("pickle", lambda: b"\0" + pickled(), "A pickle that calls os.system."),
    ("archive", lambda: b"\0" + zipped(), "A ZIP in its segment."),
    ("model", lambda: b"\0" + gguf(), "A second model in its segment."),
    ("script", lambda: b"\0#!/bin/sh\ntrue\ntrue and so on\nexit\n\0", "A script of some lines."),
    ("program", lambda: b"\0" * 8 + elf(b"another"), "Another program in its segment."),
)
for _name, _rider, _comment in _RIDERS:
    _words = "LF3363" + (" LF3360" if _name == "script" else "")  # a line that names a shell is a command too
    _build(f"program-with-{_name}", lambda rider=_rider: elf(rider()), _comment, _words)  # type: ignore[misc]
_build(
    "good-program",
    lambda: elf(
        b"\0".join((b"PK\3\4", b"GGUF", b"\x80\4\x95", b"\x80\2cx", b"#!/", b"\x7fELF", b"BZh1AY", b"rm - ://"))
    ),
    "It has the magic numbers of formats that it reads, and nothing of those formats; behind it are zeros.",
    near=_ALL,
)
