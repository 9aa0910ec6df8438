"""The shell script inside an APE: printed ELF headers, ``dd`` ranges, here-document word, loader cache (spec/1, 3.3).

The script is data here. It is matched as text, never run, and every number in it is a claim until checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKER = b"#'\"\n"
PRINT_WINDOW = 8192  # loaders look for printed headers in these first bytes only
MAX_COMMANDS = 32  # real scripts have 6 at most

_PRINTF = b"printf '"
_OCTAL = b"01234567"
_DD = re.compile(rb'\bdd if="\$[o0]"([^\n|]*)(?:\|([^\n]*))?')
# One pattern for every way the three numbers were ever written: bs=8 skip="     413" count=$((  87)) bs=1 skip=9293
_NUMBER = re.compile(rb"\b(bs|skip|count)=(?:[\"'] *)?(?:\$\(\( *)?([0-9]{1,18})")
_WORD = re.compile(rb"' ?<<'([^'\n]{1,24})'\n")
# After a conversion the opening of the here-document is gone; its closing line in front of the marker is not.
_WORD_LINE = re.compile(rb"\n(@|justine[0-9a-z]{6})\n#'\"\n\Z")
_CACHE = re.compile(rb'/(\.ape(?:-[0-9]{1,3}\.[0-9]{1,3})?)["\s]')
_MACHINE = re.compile(rb"\b(x86_64|amd64|aarch64|arm64|ppc64le)\b")
_ALIAS = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Printed:
    """An ELF header that ``printf`` writes: offset of the command, the first 64 decoded bytes, reachable or not."""

    at: int
    header: bytes
    in_window: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """A ``dd`` of bytes [offset, offset+size) of the file itself. ``onto_self``: the Mach-O header copied to byte 0."""

    offset: int
    size: int
    onto_self: bool
    gzip: bool
    source: bool
    machine: str


@dataclass(frozen=True, slots=True)
class ApeScript:
    """What the script says. ``start`` is the offset behind the marker, or None where no marker was found."""

    start: int | None
    end: int
    printed: tuple[Printed, ...]
    copies: tuple[Copy, ...]
    word: str
    cache: str


def read_script(head: bytes, *, start: int | None = None) -> ApeScript:
    """Read the script in ``head``, the first bytes of a file. ``start`` overrides the search for the marker."""
    begin = _find_start(head) if start is None else start
    text_from = begin if begin is not None else 0
    nul = head.find(b"\0", text_from) if begin is not None else -1
    text_to = len(head) if nul < 0 else nul
    text = head[text_from:text_to] if begin is not None else b""
    word = _WORD.search(head[:96]) or (_WORD_LINE.search(head[:begin]) if begin else None)
    cache = _CACHE.search(text)
    return ApeScript(
        begin,
        text_to if begin is not None else 0,
        tuple(printed for printed in _printed(head) if _is_reached(printed, begin, text_to)),
        tuple(_copies(text)),
        word.group(1).decode("ascii", "backslashreplace") if word else "",
        cache.group(1).decode("ascii") if cache else "",
    )


def _find_start(head: bytes) -> int | None:
    """Offset behind the first marker line: a shell comes to it first, whatever else the program holds further on."""
    at = head.find(MARKER)
    return at + len(MARKER) if at >= 0 else None


def _printed(head: bytes) -> list[Printed]:
    found: list[Printed] = []
    at = head.find(_PRINTF)
    while at >= 0 and len(found) < MAX_COMMANDS:
        body = at + len(_PRINTF)
        decoded, stop = decode_octal(head, body)
        if len(decoded) >= 64 and decoded.startswith(b"\x7fELF"):
            found.append(Printed(at, decoded[:64], stop <= PRINT_WINDOW))
        at = head.find(_PRINTF, body)
    return found


def _is_reached(printed: Printed, begin: int | None, text_to: int) -> bool:
    """True if a loader finds the command in its window, or a shell gets to it before the text ends.

    The script of another APE, left over inside a program that unpacks it, is data to both.
    """
    return printed.in_window or begin is None or begin <= printed.at < text_to


def decode_octal(text: bytes, at: int) -> tuple[bytes, int]:
    """Decode what ``printf '`` prints, from ``at`` to the closing quote: 1 to 3 octal digits an escape, the rest as is.

    Returns at most 256 bytes, and the offset behind the quote (or where it gave up).
    """
    out = bytearray()
    while at < len(text) and text[at : at + 1] != b"'" and len(out) < 256:
        byte = text[at]
        at += 1
        if byte == 0x5C and at < len(text) and text[at] in _OCTAL:
            value = 0
            for _ in range(3):
                if at >= len(text) or text[at] not in _OCTAL:
                    break
                value = value * 8 + text[at] - 0x30
                at += 1
            byte = value & 0xFF
        out.append(byte)
    return bytes(out), at + 1


def _copies(text: bytes) -> list[Copy]:
    found: list[Copy] = []
    for match in _DD.finditer(text):
        if len(found) == MAX_COMMANDS:
            break
        arguments, piped = match.group(1), match.group(2) or b""
        numbers = {key: int(value) for key, value in _NUMBER.findall(arguments)}
        if b"skip" not in numbers or b"count" not in numbers:
            continue
        block = numbers.get(b"bs", 512)
        machines = _MACHINE.findall(text[: match.start()])
        machine = machines[-1].decode("ascii") if machines else "x86_64"
        found.append(
            Copy(
                offset=numbers[b"skip"] * block,
                size=numbers[b"count"] * block,
                onto_self=b'of="$o"' in arguments or b'of="$0"' in arguments,
                gzip=b"gzip" in piped,
                source=b".c" in piped.partition(b">")[2],
                machine=_ALIAS.get(machine, machine),
            )
        )
    return found
