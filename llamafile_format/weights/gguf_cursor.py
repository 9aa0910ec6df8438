"""A forward cursor over a GGUF's header: bounded windows, every read checked against what remains (spec/1, 7.3)."""

from __future__ import annotations

import struct

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.limits import GGUF_METADATA_BYTES
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE

FIRST_WINDOW = 64 << 10
LARGEST_WINDOW = 1 << 20


class Stop(Exception):
    """Reading cannot go on: ``reason`` is ``fault`` or ``cap`` (a finding says which) or ``budget``.

    Never leaves the reader.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Log:
    """Collects findings; offsets given are those of the GGUF and come out absolute. Bounded for each rule."""

    def __init__(self, base: int, member: str) -> None:
        self.base = base
        self.member = member
        self.findings: list[Finding] = []
        self._seen: dict[str, int] = {}

    def add(self, rule: str, place: int, field: str = "", /, **args: Value) -> None:
        """Record ``rule`` at ``place`` bytes from the GGUF's first byte."""
        seen = self._seen.get(rule, 0)
        self._seen[rule] = seen + 1
        if seen < FINDINGS_PER_RULE:
            self.findings.append(Finding(rule, Where(self.base + place, None, self.member, field), args))

    def stop(self, rule: str, place: int, field: str = "", /, **args: Value) -> Stop:
        """Record ``rule`` and return the exception to raise."""
        self.add(rule, place, field, **args)
        return Stop("fault")

    def past_cap(self, rule: str, place: int, field: str = "", /, **args: Value) -> Stop:
        """Record ``rule``, which names a cap of 12.4, and return the exception to raise: what follows is not judged."""
        self.add(rule, place, field, **args)
        return Stop("cap")


class Cursor:
    """Reads forward from byte 0 of ``source``. ``size`` is where the GGUF's window ends.

    ``data[at:]`` is the window; ``position`` is the cursor's offset from byte 0. A read that would leave the file
    records ``truncated`` (the rule of the region being read) and stops. ``budget`` bounds the bytes fetched.
    """

    __slots__ = (
        "_next_window",
        "at",
        "budget",
        "bytes_read",
        "data",
        "field",
        "log",
        "size",
        "source",
        "start",
        "truncated",
    )

    def __init__(self, source: ByteSource, size: int, log: Log, budget: int | None) -> None:
        self.source = source
        self.size = size
        self.log = log
        self.budget = budget
        self.bytes_read = 0
        self.data = b""
        self.start = 0
        self.at = 0
        self.truncated = "LF5002"
        self.field = "header"
        self._next_window = FIRST_WINDOW

    @property
    def position(self) -> int:
        """Offset of the cursor from the GGUF's first byte."""
        return self.start + self.at

    @property
    def remaining(self) -> int:
        """Bytes from the cursor to the end of the window."""
        return self.size - self.start - self.at

    def seek(self, position: int) -> None:
        """Move to ``position``, which the caller has checked against ``size``."""
        self.at = position - self.start
        if self.at > len(self.data):
            self.start, self.data, self.at = position, b"", 0

    def fill(self, count: int) -> None:
        """Make ``count`` bytes available at the cursor, or stop. ``count`` is small or was checked before."""
        if self.at + count <= len(self.data):
            return
        position = self.position
        if count > self.size - position:
            raise self.log.stop(self.truncated, position, self.field, remaining=self.size - position, needed=count)
        if position + count > GGUF_METADATA_BYTES:  # the one place that bounds keys, values and tensor table
            found, most = position + count, GGUF_METADATA_BYTES
            raise self.log.past_cap("LF5073", position, self.field, what="bytes of metadata", found=found, limit=most)
        window = min(max(self._next_window, count), self.size - position)
        if self.budget is not None:
            window = min(window, max(count, self.budget - self.bytes_read))
            if self.bytes_read + window > self.budget:
                raise Stop("budget")
        self._next_window = min(self._next_window * 4, LARGEST_WINDOW)
        kept = self.data[self.at :]
        self.data = kept + self.source.read_at(position + len(kept), window - len(kept))
        self.bytes_read += window - len(kept)
        self.start, self.at = position, 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        self.fill(count)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, layout: struct.Struct) -> int:
        """The next integer of ``layout``."""
        self.fill(layout.size)
        value: int = layout.unpack_from(self.data, self.at)[0]
        self.at += layout.size
        return value

    def skip(self, count: int) -> None:
        """Move on by ``count`` bytes, which the caller has checked against ``remaining``."""
        self.seek(self.position + count)
