"""Taking a container out of an image: restored bit for bit if it is one of ours, packed anew if it is not."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.caring import admit
from llamafile_format.container import open_container
from llamafile_format.errors import UsageError
from llamafile_format.exchanging.anew import pack_anew
from llamafile_format.exchanging.depot import Giver
from llamafile_format.exchanging.descriptors import Descriptor, Image, read_image
from llamafile_format.exchanging.foreign import includes_of
from llamafile_format.exchanging.records import attached, unbroken
from llamafile_format.exchanging.restore import Own, converted, own_layers, read_own, restore
from llamafile_format.output.folder import scratch_folder
from llamafile_format.output.orders import ImportOrder
from llamafile_format.output.publish import output, refuse_taken
from llamafile_format.output.resumable import resumable
from llamafile_format.output.room import require_room
from llamafile_format.packing import NONE, choose
from llamafile_format.progress import Progress, counted
from llamafile_format.source import FileSource
from llamafile_format.vouching import append_to


@dataclass(frozen=True, slots=True)
class Taken:
    """What came in: the file ``path`` of ``size`` bytes with ``records`` signature records, from ``digest``.

    ``restored`` is True if it is the very file that was sent; else it was packed from an image of others.
    ``manifest_sha256`` is of its manifest.
    """

    path: Path
    size: int
    manifest_sha256: str
    digest: str
    records: int
    restored: bool
    notes: tuple[str, ...] = ()


def take(
    giver: Giver,
    out: Path,
    *,
    force: bool = False,
    runtime: str = "",
    progress: Progress | None = None,
) -> Taken:
    """Write the image of ``giver`` as the container ``out``. ``runtime`` is for images of others, as ``pack`` has it.

    FormatError for bytes of another digest than their name, for what is malformed, and for names that no member may
    have; nothing is left under ``out`` unless it is whole.
    """
    descriptor, data = giver.image()
    image = read_image(data, giver.name)
    layers = own_layers(image)
    if layers is None:
        return _packed(giver, image, descriptor, out, force=force, runtime=runtime, progress=progress)
    if runtime:
        raise UsageError("the image is a container with all that is in it", hint="leave out --runtime")
    own = read_own(giver, image, layers)
    with _written(giver, own, out, force=force) as (file, have):
        restore(giver, own, file, have=have, progress=counted(progress, own.total))
        taken = completed(giver, own, descriptor, file, out)
        admit(FileSource.from_descriptor(file, out.name), "was not taken", progress)
        return taken


@contextlib.contextmanager
def _written(giver: Giver, own: Own, out: Path, *, force: bool) -> Iterator[tuple[int, int]]:
    """The new file, and how much of it is there: what comes from afar is gone on with where it broke off."""
    mode = 0o777 if own.manifest.prefix.size else 0o666
    largest = max(own.layers.values(), key=lambda layer: layer.size)
    if giver.place(largest) is None:
        with resumable(out, hashlib.sha256(own.data).hexdigest(), force=force, mode=mode) as begun:
            require_room(out.parent, [], max(0, own.total - begun.have))
            yield begun.fd, begun.settled
        return
    require_room(out.parent, [giver.blob(largest)])
    with output(out, force=force, mode=mode) as file:
        yield file, 0


def completed(giver: Giver, own: Own, descriptor: Descriptor, file: int, out: Path) -> Taken:
    """Put the records of the image into the restored ``file``, and give its launcher the form that it had."""
    sha256 = hashlib.sha256(own.data).hexdigest()
    offered, notes = attached(giver, descriptor, sha256)
    with open_container(FileSource.from_descriptor(file, out.name)) as container:
        found = unbroken(container, offered)
    append_to(file, out.name, [(record.kind, record.data) for record in found.records])
    converted(own, file)
    size = os.fstat(file).st_size
    return Taken(out, size, sha256, descriptor.digest, len(found.records), True, (*notes, *found.notes))


def _packed(
    giver: Giver,
    image: Image,
    descriptor: Descriptor,
    out: Path,
    *,
    force: bool,
    runtime: str,
    progress: Progress | None,
) -> Taken:
    refuse_taken(out, force=force)  # before gigabytes are fetched
    if runtime not in ("", NONE):
        choose(runtime)
    afar = [layer.size for layer in image.layers if giver.place(layer) is None]
    require_room(out.parent, [], sum(afar))  # a stranger's numbers: each layer is brought here first
    with scratch_folder(out) as folder:
        include = includes_of(giver, image, folder)
        result = pack_anew(ImportOrder("", out, force, {"runtime": runtime}, progress), include)
    return Taken(out, result.size, result.manifest_sha256, descriptor.digest, 0, False, result.notes)
