"""One object behind an https or http address, read by ranges (spec/1, 10.12).

Every answer is compared with the question (``answers``) and with the version that the first answer came from. What
breaks off is resumed, what fails for a moment is asked again, anything else is an error.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import Address, Origin, redirected
from llamafile_format.source.answers import Answer, Part, Passing, Version
from llamafile_format.source.connections import Connections
from llamafile_format.source.traffic import Traffic

T = TypeVar("T")

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_EXPIRED = {401, 403, 404, 410}
"""Answers of an address that we were sent to and that may have run out of time: the first one is asked again, once."""

_NO_SUFFIX = {400, 403, 416, 501}
"""Answers of servers that know no ranges counted from the end."""

_PAUSES = (0.0, 0.2, 0.6, 1.5, 3.0)
"""Seconds before each try."""

_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True, repr=False)  # a token must not get into a traceback
class Access:
    """How an object is reached. ``token`` is sent to ``host`` and nowhere else."""

    token: str
    host: Origin


class HttpObject:
    """The object at ``address``. :meth:`begin` comes first; then the others, from any number of threads."""

    def __init__(self, address: Address, access: Access, traffic: Traffic, connections: Connections) -> None:
        self.name = address.name
        self.version = Version(0, "")
        self._begun = False
        self._first = self._at = address
        self._access = access
        self._traffic = traffic
        self._connections = connections
        self._lock = Lock()

    def begin(self, tail: int) -> tuple[int, bytes]:
        """The last ``tail`` bytes and where they begin; fewer where the server knows no such range.

        Size and version come with the bytes and not from a HEAD, which signed addresses refuse.
        """
        spec, most = f"bytes=-{tail}", tail

        def ask() -> tuple[int, memoryview, int]:
            """One try: where the answer begins, its buffer, and how much of that has come."""
            nonlocal spec, most
            with self._ask(spec, most) as answer:
                if answer.is_of_nothing:
                    self._compare(Version(0, ""))
                    return 0, memoryview(b""), 0
                if answer.status in _NO_SUFFIX and most > 1:
                    spec, most = "bytes=0-0", 1
                    raise Passing(answer.refusal())
                part = self._part(answer)
                size = part.version.size
                if (part.start, part.end) != ((0, 1) if most == 1 else (max(0, size - tail), size)):
                    raise SourceError(f"asked for its end, the server sent bytes {part.start} to {part.end - 1}")
                buffer = memoryview(bytearray(part.end - part.start))
                return part.start, buffer, self._receive(answer, buffer)

        start, buffer, done = self._again(ask)
        if done < len(buffer):
            self.fetch_into(start + done, buffer[done:])
        return start, bytes(buffer)

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes [start, end), fewer where the object ends before; SourceError if they cannot be had."""
        buffer = bytearray(end - start)
        return bytes(buffer[: self.fetch_into(start, memoryview(buffer))])

    def fetch_into(self, start: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from byte ``start``; how much that was: less only where the object ends."""
        done, renewed = 0, False

        def ask() -> int:
            """One try, which goes on where the last one broke off."""
            nonlocal done, renewed
            at, low, high = self._at, start + done, start + len(buffer)
            with self._ask(f"bytes={low}-{high - 1}", high - low) as answer:
                if answer.is_of_nothing:
                    self._compare(Version(0, ""))
                    return 0
                if answer.status in _EXPIRED and at is not self._first and not renewed:
                    renewed, self._at = True, self._first
                    raise Passing(answer.refusal())
                part = self._part(answer)
                high = min(high, part.version.size)
                if part.start != low or part.end > high:
                    raise SourceError(
                        f"asked for bytes {low} to {high - 1}, the server sent {part.start} to {part.end - 1}"
                    )
                done += self._receive(answer, buffer[done : part.end - start])
            if start + done < high:
                raise Passing("its answers break off")
            return done

        return self._again(ask)

    def close(self) -> None:
        """End whatever is being read, at once."""
        self._connections.close()

    def _again(self, attempt: Callable[[], T]) -> T:
        """``attempt``, until it does not fail in a way that may pass; SourceError, with our name, if it never does."""
        why, asked = "", 0.0
        for pause in _PAUSES:
            pause = min(max(pause * random.uniform(0.5, 1.0), asked), _LONGEST_PAUSE)
            left = self._traffic.left()
            self._connections.ended.wait(pause if left is None else min(pause, left))
            try:
                return attempt()
            except Passing as failure:
                why, asked = str(failure), failure.pause
            except SourceError as error:
                raise self._named(error) from None
        raise SourceError(f"{self.name}: given up after {len(_PAUSES)} tries: {why}")

    def _named(self, error: SourceError) -> SourceError:
        named = error.message.startswith(self.name)
        return error if named else SourceError(f"{self.name}: {error.message}", hint=error.hint)

    def _ask(self, spec: str, length: int) -> Answer:
        """The answer to a request for the range ``spec``, after redirects, each of which is judged."""
        at = self._at
        for _ in range(_MOST_REDIRECTS + 1):
            self._traffic.request(length)
            answer = self._connections.get(at, self._headers(at, spec))
            self._seen(answer)
            if answer.status not in _REDIRECTS:
                self._at = at
                return answer
            with answer:
                try:
                    at = redirected(at, answer.location)
                except UsageError as error:  # nobody here has typed it
                    raise SourceError(error.message) from None
        raise SourceError(f"redirected more than {_MOST_REDIRECTS} times")

    def _seen(self, answer: Answer) -> None:
        """Every answer passes here, redirects too, before it is judged."""

    def _headers(self, at: Address, spec: str) -> dict[str, str]:
        """Always a range: some servers refuse to send large objects whole. No If-Match: some refuse that."""
        headers = {"Range": spec, "Accept-Encoding": "identity", "User-Agent": "llamafile-format"}
        if self._access.token and at.origin == self._access.host and at.private:
            headers["Authorization"] = f"Bearer {self._access.token}"
        return headers

    def _part(self, answer: Answer) -> Part:
        part = answer.part()
        self._compare(part.version)
        return part

    def _compare(self, version: Version) -> None:
        """Keep the first version, and refuse every other."""
        with self._lock:
            if not self._begun:
                self._begun, self.version = True, version
            if version != self.version:
                raise SourceError("changed while it was read", hint="try again when it is at rest")

    def _receive(self, answer: Answer, buffer: memoryview) -> int:
        count = answer.receive(buffer)
        self._traffic.received(count)
        return count
