"""A registry as a taker: what it lacks goes there in pieces, hashed on the way; the name of the image comes last."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import quote

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.exchanging.descriptors import INDEX_TYPE, Descriptor, index_bytes
from llamafile_format.exchanging.dialogue import Dialogue, Terms
from llamafile_format.exchanging.layout import refuse_other
from llamafile_format.exchanging.reference import Reference
from llamafile_format.exchanging.registry import fallback
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource
from llamafile_format.source.address import Address
from llamafile_format.source.answers import Answer, Passing

PIECE = 16 << 20
"""Bytes that are sent at once: more than any registry asks for, and less than any refuses."""

_LARGEST_PIECE = 1 << 28
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_BYTES = {"Content-Type": "application/octet-stream"}


class Upload:
    """The image ``reference`` to be. ``also`` is a repository of the same registry that may have blobs already.

    See :class:`~llamafile_format.exchanging.depot.Taker`.
    """

    def __init__(self, reference: Reference, terms: Terms, *, also: str = "") -> None:
        if reference.digest:
            raise UsageError(f"{reference}: what is sent gets a tag; its digest follows from it", hint="leave out @…")
        self.name = str(reference)
        self._reference, self._also = reference, also
        self._dialogue = Dialogue(reference, terms, actions="pull,push", also=also)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dialogue.close()

    def put(self, descriptor: Descriptor, source: ByteSource, progress: Advance | None = None) -> bool:
        """See :class:`~llamafile_format.exchanging.depot.Taker`."""
        at = None if _has(self._dialogue, descriptor) else self._begun(descriptor)
        if at is None:
            if progress:
                progress(descriptor.size)
            return False
        _Sending(self._dialogue, descriptor, source, progress).send(*at)
        return True

    def publish(self, image: bytes, descriptor: Descriptor, about: Sequence[tuple[bytes, Descriptor]]) -> None:
        """The image by its digest, what refers to it, and then its tag: whoever asks for that gets all of it."""
        self._manifest(descriptor.digest, image, descriptor)
        unlisted = [each for data, each in about if not self._manifest(each.digest, data, each)]
        if unlisted:
            self._list(descriptor, unlisted)
        self._manifest(self._reference.tag, image, descriptor)

    def _begun(self, descriptor: Descriptor) -> tuple[Address, int] | None:
        """Where the blob is to go, and how much at once; None if the registry had it elsewhere."""
        query = f"?mount={descriptor.digest}&from={quote(self._also, safe='')}" if self._also else ""
        at = self._dialogue.at(f"blobs/uploads/{query}")

        def asked() -> tuple[Address, int] | None:
            """One try."""
            with self._dialogue.ask("POST", at, {"Content-Length": "0"}) as answer:
                self._dialogue.document(answer)
                if answer.status == 201 and query:
                    return None
                if answer.status != 202:
                    raise self._dialogue.refused(answer, "it takes nothing")
                least = answer.header("OCI-Chunk-Min-Length")
                piece = int(least) if least.isascii() and least.isdecimal() and len(least) < 12 else 0
                if piece > _LARGEST_PIECE:
                    raise SourceError(f"{self.name}: the registry wants pieces of {piece} bytes")
                return self._dialogue.led(at, answer.header("Location")), max(PIECE, piece)

        return self._dialogue.patiently(asked)

    def _manifest(self, name: str, data: bytes, descriptor: Descriptor) -> bool:
        """Send a manifest under ``name``; True if the registry will list what it refers to."""

        def asked() -> bool:
            """One try."""
            headers = {"Content-Type": descriptor.media_type}
            with self._dialogue.ask("PUT", self._dialogue.at(f"manifests/{name}"), headers, data) as answer:
                if answer.status != 201:
                    raise self._dialogue.refused(answer, "it does not take the manifest")
                self._dialogue.document(answer)
                return bool(answer.header("OCI-Subject"))

        return self._dialogue.patiently(asked)

    def _list(self, subject: Descriptor, new: Sequence[Descriptor]) -> None:
        """Write ``new`` into the list of referrers, which registries without the interface keep under a tag."""
        at, before = fallback(self._dialogue, subject)
        added = {each.digest for each in new}
        data = index_bytes([*(each for each in before if each.digest not in added), *new])
        kind = Descriptor(INDEX_TYPE, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        if data != index_bytes(before):
            self._manifest(at.url.rpartition("/")[2], data, kind)


def _has(dialogue: Dialogue, descriptor: Descriptor) -> bool:
    """True if the registry has the blob."""

    def asked() -> bool:
        """One try."""
        with dialogue.ask("HEAD", dialogue.at(f"blobs/{descriptor.digest}")) as answer:
            if answer.status not in (200, 404):
                raise dialogue.refused(answer, "it cannot be asked what it has")
            return answer.status == 200

    return dialogue.patiently(asked)


class _Sending:
    """One blob on its way. The last piece waits until the digest of all is right."""

    def __init__(
        self, dialogue: Dialogue, descriptor: Descriptor, source: ByteSource, progress: Advance | None
    ) -> None:
        self._dialogue, self._blob, self._source, self._progress = dialogue, descriptor, source, progress
        self._hash = hashlib.sha256()

    def send(self, at: Address, most: int) -> None:
        """All of it to ``at``, at most ``most`` bytes at once. FormatError if the bytes have another digest."""
        start, size = 0, self._source.size
        whole = size <= most
        while start < size or (whole and not size):
            data = self._source.read_at(start, min(most, size - start))
            self._hash.update(data)
            if start + len(data) == size:
                self._refuse_other(at)
            at = self._ended(at, data) if whole else self._piece(at, start, data)
            start += len(data)
            if self._progress:
                self._progress(len(data))
            if whole:
                return
        self._ended(at, b"")

    def _refuse_other(self, at: Address) -> None:
        try:
            refuse_other(self._blob, self._source, self._hash.digest())
        except Exception:
            self._taken_back(at)
            raise

    def _taken_back(self, at: Address) -> None:
        """Tell the registry that it may forget what it has of it; whether it does is its own affair."""
        try:
            with self._dialogue.ask("DELETE", at) as answer:
                self._dialogue.document(answer)
        except (Passing, SourceError):
            pass

    def _piece(self, at: Address, start: int, data: bytes) -> Address:
        """Send ``data``, which begins at byte ``start``; where the next piece goes. Goes on where the line broke."""
        done, begun = 0, False

        def asked() -> Address:
            """One try."""
            nonlocal at, done, begun
            if begun:  # an earlier try was not answered: how far did it come?
                at, done = self._state(at, start, len(data))
            begun = True
            if done == len(data):
                return at
            headers = {**_BYTES, "Content-Range": f"{start + done}-{start + len(data) - 1}"}
            with self._dialogue.ask("PATCH", at, headers, data[done:]) as answer:
                if answer.status != 202:
                    raise self._dialogue.refused(answer, "it does not take a piece of a blob")
                return self._next(at, answer, start + len(data))

        return self._dialogue.patiently(asked)

    def _state(self, at: Address, start: int, length: int) -> tuple[Address, int]:
        """How much of a piece of ``length`` bytes has come, and where the rest goes."""
        with self._dialogue.ask("GET", at) as answer:
            if answer.status not in (204, 202):
                raise self._dialogue.refused(answer, "it has forgotten a blob that was being sent")
            found = _RANGE.fullmatch(answer.header("Range").strip())
            done = int(found[1]) + 1 - start if found else -start
            done = 0 if start == 0 and done == 1 else done  # "0-0" is nothing at all, or one byte: that is sent again
            if not 0 <= done <= length:
                raise SourceError(f"the registry has other bytes of {self._blob.digest} than were sent")
            return self._led(at, answer), done

    def _next(self, at: Address, answer: Answer, end: int) -> Address:
        found = _RANGE.fullmatch(answer.header("Range").strip())
        if found is not None and int(found[1]) + 1 != end:
            raise SourceError(f"the registry has {int(found[1]) + 1} bytes of {self._blob.digest}, and {end} were sent")
        to = self._led(at, answer)
        self._dialogue.document(answer)
        return to

    def _led(self, at: Address, answer: Answer) -> Address:
        location = answer.header("Location")
        return self._dialogue.led(at, location) if location else at

    def _ended(self, at: Address, data: bytes) -> Address:
        """The upload becomes the blob; the registry compares its digest as well. Where its answer was lost, the upload
        is gone at the next try, and the blob is there: that is a blob that was sent."""
        url = f"{at.url}{'&' if '?' in at.url else '?'}digest={self._blob.digest}"
        to = self._dialogue.led(at, url)

        def asked() -> Address:
            """One try."""
            with self._dialogue.ask("PUT", to, _BYTES, data) as answer:
                if answer.status != 201:
                    raise self._dialogue.refused(answer, f"it does not take the blob {self._blob.digest}")
                self._dialogue.document(answer)
                return to

        try:
            return self._dialogue.patiently(asked)
        except SourceError:
            if not self._arrived():
                raise
            return to

    def _arrived(self) -> bool:
        try:
            return _has(self._dialogue, self._blob)
        except SourceError:
            return False
