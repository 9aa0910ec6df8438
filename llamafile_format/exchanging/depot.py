"""What images come out of and go into: a folder on this machine, or a registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from llamafile_format.exchanging.descriptors import Descriptor
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource


class Giver(Protocol):
    """Where an image lies. ``name`` is for messages. What it gives nobody has compared with any digest yet."""

    name: str

    def image(self) -> tuple[Descriptor, bytes]:
        """Descriptor and bytes of the image that was named; its bytes have its digest."""

    def document(self, descriptor: Descriptor) -> bytes:
        """The small text ``descriptor`` (at most 4 MiB), which has its digest; FormatError otherwise."""

    def blob(self, descriptor: Descriptor, start: int = 0) -> ByteSource:
        """The bytes of ``descriptor`` from ``start`` on: as many as it says, to be read once and in order."""

    def place(self, descriptor: Descriptor, /) -> Path | None:
        """The file of this machine that holds those bytes, if they lie in one."""

    def referrers(self, subject: Descriptor) -> Sequence[Descriptor]:
        """The manifests that say that they are about ``subject``."""


class Taker(Protocol):
    """Where an image goes. ``name`` is for messages."""

    name: str

    def put(self, descriptor: Descriptor, source: ByteSource, progress: Advance | None = None) -> bool:
        """Bring a blob over, unless it is there; True if bytes went. FormatError if ``source`` has another digest."""

    def publish(self, image: bytes, descriptor: Descriptor, about: Sequence[tuple[bytes, Descriptor]]) -> None:
        """Name ``image``, whose blobs are all there, and the referrers ``about`` it."""
