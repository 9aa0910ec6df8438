"""An OCI image layout: a folder of blobs by their digests, and an index that names images (image-spec 1.1)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from llamafile_format.errors import FormatError, UsageError
from llamafile_format.exchanging.descriptors import (
    MAX_DOCUMENT,
    Descriptor,
    index_bytes,
    read_image,
    read_index,
)
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.output.folder import made_folders
from llamafile_format.output.publish import output
from llamafile_format.output.transfer import clone, refuse_changed, sink_beyond, write_at
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource, FileSource, Window, read_small

REF_NAME = "org.opencontainers.image.ref.name"
_MARKER, _INDEX = "oci-layout", "index.json"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def named_layout(text: str) -> tuple[Path, str]:
    """Folder and tag of ``DIR[:TAG]``; a folder that is there with its colon wins. UsageError for a bad tag."""
    folder, colon, tag = text.rpartition(":")
    if not colon or "/" in tag or Path(text).is_dir():
        return Path(text), ""
    if not folder or not _TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} is no tag", hint="letters, digits, and ._- behind the first one, at most 128")
    return Path(folder), tag


class Layout:
    """The layout in ``folder``, read; ``tag`` names the image, and may be empty if there is only one."""

    def __init__(self, folder: Path, tag: str = "") -> None:
        self.name = str(folder)
        self._folder, self._tag = folder, tag
        _refuse_links(folder)
        if read_small(folder / _MARKER, len(_VERSION) + 4096)[:1] != b"{":
            raise FormatError(f"{folder} is no OCI layout")
        self._index = read_index(_small(folder / _INDEX), str(folder / _INDEX))

    def image(self) -> tuple[Descriptor, bytes]:
        """The image of the tag, or the only one that is about no other."""
        found = [each for each in self._index if not self._tag or each.annotations.get(REF_NAME) == self._tag]
        if not self._tag and len(found) > 1:
            named = [each for each in found if REF_NAME in each.annotations]
            found = named if len(named) == 1 else found
        if len({each.digest for each in found}) != 1:
            tags = sorted({each.annotations.get(REF_NAME, "") for each in self._index} - {""})
            which = f"no image {self._tag!r}" if self._tag else f"{len(found)} images"
            hint = f"tags: {', '.join(tags[:20])}" if tags else "it names no images"
            raise UsageError(f"there {'is' if self._tag else 'are'} {which} in {self.name}", hint=hint)
        return found[0], self.document(found[0])

    def document(self, descriptor: Descriptor) -> bytes:
        """See :class:`~llamafile_format.exchanging.depot.Giver`."""
        source = self.blob(descriptor)
        if descriptor.size > MAX_DOCUMENT:
            raise FormatError(f"{descriptor.digest} is too large for a manifest", found=descriptor.size)
        data = source.read_at(0, source.size)
        if hashlib.sha256(data).hexdigest() != descriptor.hex:
            raise FormatError(f"the blob {descriptor.digest} of {self.name} has another digest than its name")
        return data

    def blob(self, descriptor: Descriptor, start: int = 0) -> ByteSource:
        """See :class:`~llamafile_format.exchanging.depot.Giver`."""
        source = FileSource(self.place(descriptor))
        if source.size != descriptor.size:
            raise FormatError(
                f"the blob {descriptor.digest} of {self.name} has another size than its descriptor says",
                found=source.size,
                allowed=str(descriptor.size),
            )
        return Window(source, start, source.size - start) if start else source

    def place(self, descriptor: Descriptor) -> Path:
        """The file of a blob; FormatError if it is a link, which leads out of the layout."""
        path = blob_path(self._folder, descriptor)
        if path.is_symlink():
            raise FormatError(f"the blob {descriptor.digest} of {self.name} is a link")
        return path

    def referrers(self, subject: Descriptor) -> Sequence[Descriptor]:
        """Those of the index that say so themselves; what cannot be read is about nothing."""
        found = []
        for each in self._index:
            with contextlib.suppress(FormatError, OSError):
                about = read_image(self.document(each), each.digest).subject
                if about is not None and about.digest == subject.digest:
                    found.append(each)
        return found


@contextlib.contextmanager
def layout_writer(folder: Path, tag: str) -> Iterator[LayoutWriter]:
    """The layout in ``folder``, made if it is not there, to write to; the image gets the name ``tag``.

    What fails leaves nothing of a layout that it made. In one that was there the blobs stay that have come, each by its
    digest: nothing names them, and the next export has them already. UsageError if other things are there.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).is_file():
        raise UsageError(f"{folder} holds other things", hint="name a new folder, or an OCI layout")
    _refuse_links(folder)
    new = not (folder / _MARKER).is_file()
    with made_folders(folder / "blobs" / "sha256"):
        writer = LayoutWriter(folder, tag)
        try:
            if new:
                _write(folder / _MARKER, _VERSION)
            yield writer
        except BaseException:
            if new and not (folder / _INDEX).exists():  # or somebody else has an image in it by now
                for path in (*writer.made, folder / _MARKER):
                    path.unlink(missing_ok=True)
            raise


class LayoutWriter:
    """The layout in ``folder``, where ``made`` are the blobs that were not there before: see :func:`layout_writer`."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.name = str(folder)
        self.made: list[Path] = []
        self._folder, self._tag = folder, tag

    def put(self, descriptor: Descriptor, source: ByteSource, progress: Advance | None = None) -> bool:
        """See :class:`~llamafile_format.exchanging.depot.Taker`. A blob that is there is hashed, not believed."""
        path = blob_path(self._folder, descriptor)
        if _is_there(path, descriptor):
            if progress:
                progress(descriptor.size)
            return False
        with output(path, force=True) as file:
            os.ftruncate(file, source.size)
            shared = clone(source, 0, source.size, file, 0)
            sink = sink_beyond(shared, source, file, 0)
            refuse_other(descriptor, source, digest_range(source, 0, source.size, sink=sink, progress=progress).sha256)
            refuse_changed(source)
        self.made.append(path)
        return True

    def publish(self, image: bytes, descriptor: Descriptor, about: Sequence[tuple[bytes, Descriptor]]) -> None:
        """Write the manifests, and then the index that names them: others that were in it stay, but for the tag."""
        entries = [(image, replace(descriptor, annotations={REF_NAME: self._tag})), *about]
        for data, entry in entries:
            _write(blob_path(self._folder, entry), data)
            self.made.append(blob_path(self._folder, entry))
        with _locked(self._folder):
            path = self._folder / _INDEX
            before = read_index(_small(path), str(path)) if path.exists() else ()
            new = {entry.digest for _, entry in about}
            kept = [each for each in before if each.annotations.get(REF_NAME) != self._tag and each.digest not in new]
            _write(path, index_bytes([*kept, *(entry for _, entry in entries)]))


def _refuse_links(folder: Path) -> None:
    """FormatError for a layout whose own files or folders are links: what is named by them lies elsewhere."""
    for path in (folder / _MARKER, folder / _INDEX, folder / "blobs", folder / "blobs" / "sha256"):
        if path.is_symlink():
            raise FormatError(f"{path} is a link, and leads out of the layout")


def blob_path(folder: Path, descriptor: Descriptor) -> Path:
    """Where the blob ``descriptor`` lies: its digest is one (see ``descriptors``), and so part of a path."""
    return folder / "blobs" / "sha256" / descriptor.hex


def refuse_other(descriptor: Descriptor, source: ByteSource, digest: bytes) -> None:
    """FormatError if ``digest``, of the bytes of ``source``, is not the one of ``descriptor``."""
    if digest.hex() != descriptor.hex:
        raise FormatError(
            f"{descriptor.annotations.get('org.cncf.model.filepath', '') or source.name} is damaged: its bytes have "
            f"another SHA-256 than its manifest says",
            found=digest.hex(),
            allowed=descriptor.hex,
            hint="llamafile-format verify --level full FILE",
        )


def _is_there(path: Path, descriptor: Descriptor) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != descriptor.size:
        return False
    with FileSource(path) as source:
        return digest_range(source, 0, source.size).sha256.hex() == descriptor.hex


def _write(path: Path, data: bytes) -> None:
    with output(path, force=True) as file:
        write_at(file, 0, data)


def _small(path: Path) -> bytes:
    return read_small(path, MAX_DOCUMENT)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two exports into one layout write its index one after the other, where the system has locks."""
    with open(folder / _MARKER, "rb") as marker:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(marker, fcntl.LOCK_EX)
        yield
