"""Plain scripts as prefix: the interpreter line (spec/1, 3.4.4)."""

from __future__ import annotations

MAX_INTERPRETER_LINE = 255  # what Linux reads of it


def interpreter(head: bytes) -> str | None:
    """The text after ``#!`` in the first line, or None if ``head`` is not a script. Undecodable bytes are escaped."""
    if not head.startswith(b"#!"):
        return None
    line, _, _ = head[2 : 2 + MAX_INTERPRETER_LINE].partition(b"\n")
    if b"\0" in line:
        return None
    return line.strip().decode("utf-8", "backslashreplace")
