"""Launchers in front of a build (14.2): the canonical one, converted ones, and one fault each.

The launcher comes from the library. Everything else, digests of what was changed included, is right, so that only the
comparison with the launcher that the manifest implies can find the fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from llamafile_format.engines.implied import LAUNCHER_VERSION, implied_launcher
from llamafile_format.prefix.bootstrap import Form, slot
from spec.vectors.generate import Maker, vector
from spec.vectors.generate.forge import Spec, container, parts
from spec.vectors.generate.runtimes import UNKNOWN, build, pin

INDEX, ENTRY = 0x400, 0x4C0
Change = Callable[[bytearray], object]


@dataclass(frozen=True, slots=True)
class _Member:
    """What the launcher wants to know of a member of the manifest."""

    path: str
    role: str
    offset: int
    size: int
    sha256: str


def _with(prefix: bytes) -> bytes:
    contents = parts(pin(), replace(build(), align=65536))
    return container(Spec(contents, prefix=prefix, kind="launcher", labels={"default": "tiny.gguf"}))


def launched(change: Change = bytes, version: int = LAUNCHER_VERSION) -> bytes:
    """A container with a launcher that ``change`` edits before it is hashed."""
    blank = _with(implied_launcher([], "", version=version))
    start = blank.rindex(b'{\n "default"')
    objects = json.loads(blank[start : blank.index(b"\n}\n", start) + 3])["members"]
    members = [_Member(*(item[key] for key in ("path", "role", "offset", "size", "sha256"))) for item in objects]
    prefix = bytearray(implied_launcher(members, "tiny.gguf", version=version))
    change(prefix)
    return _with(bytes(prefix))


def converted(form: Form, data: bytes) -> bytes:
    """``data`` with the header of ``form`` at byte 0; nothing in the manifest knows of it."""
    return slot(data, form) + data[64:]


def good(name: str, comment: str, *, rules: str = "", near: str = "") -> Callable[[Maker], Maker]:
    """A launcher without fault."""
    return vector(name, comment=comment, rules=f"{rules} {UNKNOWN}", near=near, encoding="zlib")


def bad(name: str, rules: str, comment: str) -> Callable[[Maker], Maker]:
    """A launcher with one fault."""
    return vector(name, comment=comment, rules=f"{rules} {UNKNOWN}", layer="prefix", encoding="zlib", valid="yes")


def _flip(at: int) -> Change:
    def change(prefix: bytearray) -> None:
        prefix[at] ^= 1

    return change


def _set(at: int, value: int) -> Change:
    def change(prefix: bytearray) -> None:
        prefix[at] = value

    return change


@good("good", "The launcher that the manifest implies.", near="LF1027 LF1101 LF1102 LF1103")
def _() -> bytes:
    return launched()


@good("converted", "The same, converted to a program for Linux on ARM64.", rules="LF1103", near="LF1015 LF1101")
def _() -> bytes:
    return converted(Form.ELF_AARCH64, launched())


@good("good-version-1", "A launcher of version 1, which stays valid for ever.", near="LF1101 LF1102 LF1103")
def _() -> bytes:
    return launched(version=1)


@good("converted-version-1", "The same, converted to a program for Linux on x86-64.", rules="LF1103", near="LF1015")
def _() -> bytes:
    return converted(Form.ELF_X86_64, launched(version=1))


@bad("slot-as-in-version-1", "LF1101", "The ELF header for x86-64 is kept with its first byte as it is.")
def _() -> bytes:
    return launched(_set(0xFE80, 0x7F))


@bad("slot-as-in-version-2", "LF1101", "A launcher of version 1 keeps the ELF header with its first byte inverted.")
def _() -> bytes:
    return launched(_set(0xFE80, 0x80), version=1)


@bad("version-1-with-the-program-of-2", "LF1101", "A launcher of version 2 that says that it is one of version 1.")
def _() -> bytes:
    return launched(_set(INDEX + 8, 1))


@bad(
    "converted-header-differs",
    "LF1015 LF3027 LF3360 LF3363 LF4008 LF4009",
    "The ELF header at byte 0 has another entry point than its slot.",
)
def _() -> bytes:
    data = bytearray(converted(Form.ELF_X86_64, launched()))
    data[24] ^= 1
    return bytes(data)


@bad("second-stage-differs", "LF1101", "One letter of the shell script is another.")
def _() -> bytes:
    return launched(_flip(0x1000 + 2))


@bad("native-program-differs", "LF1101", "One byte of the program for x86-64 Linux is another.")
def _() -> bytes:
    return launched(_flip(0x10800))


@bad("reserve-not-zero", "LF1101", "The last byte of the launcher is not zero.")
def _() -> bytes:
    return launched(_flip(0x3FFFF))


@bad("weights-elsewhere", "LF1101", "The index says that the model begins one byte later.")
def _() -> bytes:
    return launched(_flip(INDEX + 24))


@bad("starts-the-weights", "LF1101 LF1102", "The index names the model as the program to start.")
def _() -> bytes:
    def change(prefix: bytearray) -> None:
        prefix[ENTRY + 32 : ENTRY + 48] = prefix[INDEX + 24 : INDEX + 40]

    return launched(change)


@bad("for-another-system", "LF1101 LF1102", "The index offers the build for Linux to Windows.")
def _() -> bytes:
    def change(prefix: bytearray) -> None:
        prefix[ENTRY : ENTRY + 20] = b"windows-x86_64".ljust(20, b"\0")

    return launched(change)


@vector(
    "version-unknown",
    rules="LF1027 LF3330 LF3360",
    valid="undetermined",
    encoding="zlib",
    comment="A launcher of version 3, which nobody knows yet.",
)
def _() -> bytes:
    def change(prefix: bytearray) -> None:
        prefix[INDEX + 8] = 3

    return launched(change)
