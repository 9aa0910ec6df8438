"""What one verification may take, and how it can end (spec/1, 10.15.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from llamafile_format.errors import UsageError

GIB = 1 << 30
LEAST_MEMORY = 1 << 28
"""Bytes that a child needs before it has looked at anything: Python, its libraries and their threads."""


class End(Enum):
    """How a verification in a child process ended. All but the first two say nothing good of the file, and name it."""

    DONE = "done"
    UNCHANGED = "unchanged"  # it was not looked at: it is still in the state that the caller knows
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_TIME = "out of time"
    FAILED = "failed"  # an exception that should never be: a fault of this library, or of one that it uses
    TOO_LARGE = "report too large"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one verification may take; 0 stands for no bound.

    ``memory`` is bytes of address space; systems without such a limit (Windows, macOS) do not keep it. ``seconds`` may
    pass in all, ``silence`` seconds without any progress.
    """

    memory: int = 4 * GIB
    seconds: float = 0
    silence: float = 300

    def __post_init__(self) -> None:
        """UsageError for bounds that nothing could be verified within."""
        if self.memory and self.memory < LEAST_MEMORY:
            raise UsageError(f"{self.memory} bytes of memory are too few", hint=f"at least {LEAST_MEMORY}, or 0")
        if self.seconds < 0 or self.silence < 0:
            raise UsageError("time is not negative")

    def left(self, passed: float, silent: float) -> float | None:
        """Seconds until a bound is met, ``passed`` after the beginning and ``silent`` after progress; None: never."""
        each = [bound - so_far for bound, so_far in ((self.seconds, passed), (self.silence, silent)) if bound]
        return min(each, default=None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the verification of one file ended: with the ``report`` as JSON has it, or ``why`` not. In ``seconds``."""

    end: End
    report: dict[str, Any] | None = None
    why: str = ""
    seconds: float = 0.0
