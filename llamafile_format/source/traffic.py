"""What reading over a network may cost, and what it has cost (spec/1, 10.12.4)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, fields, replace

from llamafile_format.errors import SourceError, UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """Where reading stops. None: 10.12.4 derives it from the size of the object, or there is none."""

    requests: int | None = None
    rounds: int | None = None
    bytes: int | None = None
    seconds: int | None = None

    def of(self, size: int) -> Limits:
        """These limits for an object of ``size`` bytes of which all may be read: twice as much, and something."""
        requests = 256 + size // (1 << 18) if self.requests is None else self.requests
        return replace(self, requests=requests, bytes=(256 << 20) + 2 * size if self.bytes is None else self.bytes)


LOOK = Limits(requests=256, rounds=64, bytes=256 << 20, seconds=300)
"""For what reads structure only."""

WHOLE = Limits()
"""For what may read every byte."""


def read_limits(texts: tuple[str, ...], default: Limits) -> Limits:
    """``default`` with what ``texts`` say, each ``NAME=NUMBER`` or several with commas. UsageError."""
    known = [field.name for field in fields(Limits)]
    found: dict[str, int] = {}
    for text in ",".join(texts).split(",") if texts else ():
        name, equals, number = text.strip().partition("=")
        if name not in known or not equals or not number.isdecimal() or not number.isascii() or len(number) > 18:
            raise UsageError(f"no limit: {text!r}", hint=f"limits are {', '.join(f'{name}=NUMBER' for name in known)}")
        found[name] = int(number)
    return replace(default, **found)


class Traffic:
    """Counts requests, rounds and bytes of one source, and stops it at its limits. Threads share it."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        self.rounds = 0
        self.bytes = 0
        self._name = name
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def request(self, length: int) -> None:
        """Count a request for ``length`` bytes, before it is made. SourceError past a limit."""
        with self._lock:
            self._refuse("requests", self.requests + 1, self.limits.requests)
            self._refuse("bytes", self.bytes + length, self.limits.bytes)
            self.requests += 1
        self.left()

    def round(self) -> None:
        """Count a round: requests that do not wait for one another. SourceError past the limit."""
        with self._lock:
            self._refuse("rounds", self.rounds + 1, self.limits.rounds)
            self.rounds += 1

    def received(self, count: int) -> None:
        """Count bytes of a body."""
        with self._lock:
            self.bytes += count

    def left(self) -> float | None:
        """Seconds that are left, None if nobody counts them. SourceError if none are."""
        if self.limits.seconds is None:
            return None
        left = self._began + self.limits.seconds - time.monotonic()
        self._refuse("seconds", 1, 0 if left <= 0 else None)
        return left

    def _refuse(self, what: str, wanted: int, limit: int | None) -> None:
        if limit is not None and wanted > limit:
            limit = self.limits.seconds if what == "seconds" else limit
            raise SourceError(
                f"{self._name}: reading stopped at its limit of {limit} {what}", hint=f"allow more: --limit {what}=N"
            )
