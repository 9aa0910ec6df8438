"""Numbers for Prometheus, in its text form. No name of a file, a key or a person is a label."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_PREFIX = "llamafile_gate"


class Metrics:
    """Counts since the start; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[int] = Counter()
        self._ends: Counter[str] = Counter()
        self._seconds = 0.0
        self._bytes = 0

    def answered(self, status: int) -> None:
        """A request was answered."""
        with self._lock:
            self._requests[status] += 1

    def received(self, count: int) -> None:
        """An upload is here, of ``count`` bytes."""
        with self._lock:
            self._bytes += count

    def judged(self, end: str, seconds: float) -> None:
        """A verification ended in this way."""
        with self._lock:
            self._ends[end] += 1
            self._seconds += seconds

    def text(self, jobs: Mapping[str, int], stored: int) -> str:
        """All of it, with what is asked for now: jobs by state, and bytes of uploads that wait."""
        with self._lock:
            judged = sum(self._ends.values())
            rows = [
                *_metric("requests_total", "counter", "Answers, by status.", "status", self._requests),
                *_metric("judged_total", "counter", "Verifications, by how they ended.", "end", self._ends),
                *_metric("judged_seconds_sum", "counter", "Seconds of verifications.", "", {"": self._seconds}),
                *_metric("judged_seconds_count", "counter", "Verifications.", "", {"": judged}),
                *_metric("upload_bytes_total", "counter", "Bytes of uploads.", "", {"": self._bytes}),
                *_metric("jobs", "gauge", "Jobs, by state.", "state", jobs),
                *_metric("stored_bytes", "gauge", "Bytes of uploads that wait.", "", {"": stored}),
            ]
        return "\n".join(rows) + "\n"


def _metric(name: str, kind: str, words: str, label: str, values: Mapping[Any, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {words}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"
    for value, number in sorted(values.items(), key=lambda pair: str(pair[0])):
        where = f'{{{label}="{value}"}}' if label else ""
        yield (
            f"{_PREFIX}_{name}{where} {number:g}" if isinstance(number, float) else f"{_PREFIX}_{name}{where} {number}"
        )
