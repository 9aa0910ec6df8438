"""One step of checking a file by hand, and how names of its members stand in commands (spec/1, 13.11)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from llamafile_format.reports.escape import printable


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``prints`` are lines that the commands must print, as far as known beforehand; texts may be empty."""

    title: str
    text: str = ""
    commands: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    proves: str = ""
    open: str = ""


def pattern(path: str) -> str:
    """A member's name as unzip takes it: it reads brackets as a class, and a hyphen in front as an option."""
    path = printable(path).replace("[", "[[]")
    return f"[-]{path[1:]}" if path.startswith("-") else path


def quoted(path: str) -> str:
    """:func:`pattern`, quoted for a shell."""
    return shlex.quote(pattern(path))
