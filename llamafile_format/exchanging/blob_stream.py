"""A blob of a registry as a byte source, to be read once and in order; it is gone on with where the line breaks."""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.errors import FormatError, SourceError
from llamafile_format.exchanging.descriptors import Descriptor
from llamafile_format.exchanging.dialogue import Dialogue
from llamafile_format.source.answers import Answer, Passing
from llamafile_format.source.base import Range

_SKIPPED = 1 << 20


class BlobStream:
    """The bytes of ``descriptor``. A read elsewhere than where the last one ended asks anew; SourceError."""

    def __init__(self, dialogue: Dialogue, descriptor: Descriptor) -> None:
        self.name = f"{dialogue.home.origin[1]}: {descriptor.digest}"
        self.size = descriptor.size
        self._dialogue, self._blob = dialogue, descriptor
        self._answer: Answer | None = None
        self._next = 0

    def read_at(self, offset: int, length: int) -> bytes:
        """See :class:`~llamafile_format.source.ByteSource`."""
        buffer = bytearray(length)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See :class:`~llamafile_format.source.ByteSource`."""
        return [self.read_at(offset, length) for offset, length in ranges]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See :class:`~llamafile_format.source.ByteSource`."""
        if offset < 0 or offset + len(buffer) > self.size:
            raise SourceError(f"{self.name}: read of {len(buffer)} bytes at {offset} leaves its {self.size} bytes")
        done = 0

        def more() -> None:
            """One try, which goes on where the last one broke off."""
            nonlocal done
            if self._answer is None or self._next != offset + done:
                self._begin(offset + done)
            assert self._answer is not None
            count = self._answer.fill(buffer[done:])
            done += count
            self._next += count
            if done < len(buffer):
                self.close()
                raise Passing("its answers break off")

        if len(buffer):
            self._dialogue.patiently(more)
        if self._next == self.size:
            self.close()

    def close(self) -> None:
        """Give the connection back."""
        if self._answer is not None:
            self._answer.__exit__(None, None, None)
            self._answer = None

    def _begin(self, start: int) -> None:
        """Ask for the bytes from ``start`` on. Registries need not know ranges: then what is in front is skipped."""
        self.close()
        headers = {"Range": f"bytes={start}-{self.size - 1}"} if start else {}
        answer = self._dialogue.ask("GET", self._dialogue.at(f"blobs/{self._blob.digest}"), headers)
        try:
            self._judge(answer, start)
            skipped = memoryview(bytearray(_SKIPPED))
            left = start if answer.status == 200 else 0
            while left:
                wanted = min(left, _SKIPPED)
                if answer.fill(skipped[:wanted]) < wanted:
                    raise Passing("its answers break off")
                left -= wanted
        except BaseException:
            answer.__exit__(None, None, None)
            raise
        self._answer, self._next = answer, start

    def _judge(self, answer: Answer, start: int) -> None:
        """SourceError if ``answer`` is not the blob from ``start`` on, FormatError if the blob has another size."""
        if answer.status == 200:
            said = answer.header("Content-Length")
            size = int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else self.size
        elif answer.status == 206 and start:
            part = answer.part()
            size = part.version.size
            if part.start != start:
                raise SourceError(f"{self.name}: asked for bytes from {start} on, the server sent others")
        else:
            raise self._dialogue.refused(answer, f"no blob {self._blob.digest}")
        if answer.header("Content-Encoding").strip().lower() not in ("", "identity"):
            raise SourceError(f"{self.name}: the server sends an encoded body where the bytes were asked for")
        if size != self.size:
            raise FormatError(f"{self.name} has another size than the image says", found=size, allowed=f"{self.size}")
