"""A registry of the distribution specification 1.1 as a giver: images, blobs, and what refers to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from llamafile_format.errors import FormatError, LimitExceeded, SourceError
from llamafile_format.exchanging.blob_stream import BlobStream
from llamafile_format.exchanging.descriptors import (
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_DESCRIPTORS,
    MAX_DOCUMENT,
    Descriptor,
    is_digest,
    read_index,
)
from llamafile_format.exchanging.dialogue import Dialogue, Terms
from llamafile_format.exchanging.reference import Reference
from llamafile_format.source import ByteSource, Window
from llamafile_format.source.address import Address

_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?')
_MOST_PAGES = 100
READ = ", ".join((MANIFEST_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE))
"""What is asked for: an index too, so that it can be said that it is one."""


class Registry:
    """The image ``reference`` in its registry. See :class:`~llamafile_format.exchanging.depot.Giver`."""

    def __init__(self, reference: Reference, terms: Terms) -> None:
        self.name = str(reference)
        self._reference = reference
        self._dialogue = Dialogue(reference, terms)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dialogue.close()

    def image(self) -> tuple[Descriptor, bytes]:
        """See :class:`~llamafile_format.exchanging.depot.Giver`."""
        wanted = self._reference.digest or self._reference.tag
        found = fetched(self._dialogue, self._dialogue.at(f"manifests/{wanted}"), READ)
        if found is None:
            raise SourceError(f"{self.name}: there is no such image in the registry")
        return self._judged(*found, self._reference.digest)

    def document(self, descriptor: Descriptor) -> bytes:
        """See :class:`~llamafile_format.exchanging.depot.Giver`."""
        if descriptor.size > MAX_DOCUMENT:
            raise FormatError(f"{descriptor.digest} is too large for a manifest", found=descriptor.size)
        found = fetched(self._dialogue, self._dialogue.at(f"manifests/{descriptor.digest}"), READ)
        if found is None:
            raise SourceError(f"{self.name}: the registry lists {descriptor.digest} and does not have it")
        return self._judged(*found, descriptor.digest)[1]

    def blob(self, descriptor: Descriptor, start: int = 0) -> ByteSource:
        """See :class:`~llamafile_format.exchanging.depot.Giver`."""
        stream = BlobStream(self._dialogue, descriptor)
        return Window(stream, start, descriptor.size - start) if start else stream

    def place(self, _: Descriptor) -> Path | None:
        """Blobs of a registry lie in no file of this machine."""
        return None

    def referrers(self, subject: Descriptor) -> Sequence[Descriptor]:
        """Those that the registry lists; of one without the interface for that, those of the fallback tag."""
        listed = self._listed(subject)
        if listed is None:
            _, listed = fallback(self._dialogue, subject)
        return listed

    def _listed(self, subject: Descriptor) -> Sequence[Descriptor] | None:
        at: Address | None = self._dialogue.at(f"referrers/{subject.digest}")
        entries: list[Descriptor] = []
        for _ in range(_MOST_PAGES):
            found = fetched(self._dialogue, at, INDEX_TYPE) if at else None
            if found is None:
                return entries or None
            data, _, following = found
            entries += read_index(data, f"the referrers in {self.name}")
            if len(entries) > MAX_DESCRIPTORS:
                raise LimitExceeded(
                    f"{self.name} has too many referrers", found=len(entries), allowed=f"{MAX_DESCRIPTORS}"
                )
            if following is None:
                return entries
            at = following
        raise LimitExceeded(
            f"{self.name} lists its referrers on more and more pages", found=_MOST_PAGES + 1, allowed=f"{_MOST_PAGES}"
        )

    def _judged(self, data: bytes, kind: str, _: Address | None, digest: str) -> tuple[Descriptor, bytes]:
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest and found != digest:
            raise FormatError(f"{self.name}: a manifest has another digest than its name", found=found, allowed=digest)
        return Descriptor(kind.partition(";")[0].strip() or MANIFEST_TYPE, found, len(data)), data


def fetched(dialogue: Dialogue, at: Address, accept: str) -> tuple[bytes, str, Address | None] | None:
    """The document at ``at``, its type, and where the next page of it is; None if there is none."""

    def asked() -> tuple[bytes, str, Address | None] | None:
        """One try."""
        with dialogue.ask("GET", at, {"Accept": accept}) as answer:
            if answer.status == 404:
                dialogue.document(answer)
                return None
            if answer.status != 200:
                raise dialogue.refused(answer, "it cannot be read")
            following = _NEXT.search(answer.header("Link")[:8192])
            to = dialogue.led(at, following[1]) if following else None
            if to is not None and to.origin != dialogue.home.origin:
                raise SourceError(f"{dialogue.home.origin[1]} continues its list on another host")
            return dialogue.document(answer), answer.header("Content-Type")[:200], to

    return dialogue.patiently(asked)


def fallback(dialogue: Dialogue, subject: Descriptor) -> tuple[Address, tuple[Descriptor, ...]]:
    """The tag that stands for the list of referrers of ``subject`` where a registry keeps none, and what it lists."""
    assert is_digest(subject.digest)
    at = dialogue.at(f"manifests/sha256-{subject.hex}")
    found = fetched(dialogue, at, INDEX_TYPE)
    return at, read_index(found[0], "the list of referrers") if found else ()
