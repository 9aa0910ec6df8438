"""Exceptions for callers' mistakes and unreadable input.

Verification never raises for bad input: it returns findings and verdicts. These exceptions are for operations that
cannot go on (``pack`` of a file that is not a model, ``extract`` from something that is not an archive), and for
sources that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable


class LlamafileError(Exception):
    """Base of every exception that the library raises on purpose.

    ``message`` says what happened, ``hint`` what the user can do next (may be empty).
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class FormatError(LlamafileError, ValueError):
    """Bytes that break a clause of the specification.

    ``offset`` is an absolute byte offset from byte 0 of the file (or None), ``clause`` the clause of spec/1 or the
    rule id that is broken, ``found`` and ``allowed`` describe the value.
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        clause: str = "",
        found: object = None,
        allowed: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset
        self.clause = clause
        self.found = found
        self.allowed = allowed

    def __str__(self) -> str:
        parts = [self.message]
        if self.offset is not None:
            parts.append(f"at byte {self.offset}")
        if self.found is not None:
            parts.append(f"found {self.found}")
        if self.allowed:
            parts.append(f"allowed {self.allowed}")
        text = ", ".join(parts)
        return f"{text} [{self.clause}]" if self.clause else text


class NotALlamafile(LlamafileError):
    """The input is something else altogether; the message says what it looks like."""

    exit_code = 3


class NotAuthentic(LlamafileError):
    """Authenticity was required and is not established: nobody whom the user trusts vouches for the file."""

    exit_code = 5


class SourceError(LlamafileError, OSError):
    """Bytes could not be read or written: I/O error, short read, disk full, pending journal."""

    exit_code = 4


class RuntimeFailure(LlamafileError):
    """A runtime that could not be started, died, took too long, or did not keep to the protocol."""

    exit_code = 4


class LimitExceeded(FormatError):
    """A number in the file asks for more than the documented limit; nothing was allocated."""


class UsageError(LlamafileError):
    """The caller asked for something contradictory or impossible."""

    exit_code = 2


def meant(word: str, known: Iterable[str]) -> str:
    """``did you mean …?`` for a ``word`` that is close to a ``known`` one; empty if none is."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 2, 0.65)
    return f"did you mean {' or '.join(close)}?" if close else ""
