"""Giving a container away that `verify` has nothing against: every byte is hashed once more while it goes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llamafile_format.caring import admit
from llamafile_format.checks.signatures import read_records
from llamafile_format.container import Container, Kind
from llamafile_format.errors import UsageError
from llamafile_format.exchanging.depot import Taker
from llamafile_format.exchanging.descriptors import EMPTY, EMPTY_TYPE, Descriptor, described
from llamafile_format.exchanging.modelpack import packed, record_type, referrer
from llamafile_format.progress import Progress, counted
from llamafile_format.source import BytesSource, FileSource


@dataclass(frozen=True, slots=True)
class Sent:
    """An image that went to ``place``: its digest, how many layers and records it has, and the bytes that were sent.

    ``size`` are the bytes of the file.
    """

    place: str
    digest: str
    layers: int
    records: int
    sent: int
    size: int


def refuse_legacy(container: Container, verb: str) -> None:
    """UsageError for a file without a manifest, whose members nobody has named a digest for."""
    if container.kind is not Kind.CONTAINER:
        raise UsageError(
            f"{container.name} is a legacy llamafile: there are no digests by which it could be {verb}",
            hint=f"make a container of it first: llamafile-format repack {container.name} -o NEW.llamafile",
        )


def send(container: Container, taker: Taker, *, progress: Progress | None = None) -> Sent:
    """Bring ``container`` to ``taker`` as an image of :mod:`modelpack`, its records as referrers.

    UsageError for a legacy file, FormatError for one that ``verify`` refuses; nobody is asked, and nothing sent, before
    that is known.
    """
    refuse_legacy(container, "sent")
    assert isinstance(container.origin, FileSource)  # it was opened by its path
    admit(container.origin, "was not sent", progress)
    records = read_records(container.source, container.archive)
    pack = packed(container)
    total = len(pack.config) + sum(part.layer.size for part in pack.parts) + sum(len(each.data) for each in records)
    advance, sent = counted(progress, total), 0
    items = [(part.layer, part.source) for part in pack.parts]
    config = described(pack.config, "")
    items.append((config, BytesSource(pack.config, "config")))
    about = []
    for record in records:
        layer = Descriptor(record_type(record.kind), f"sha256:{record.sha256}", len(record.data))
        items.append((layer, BytesSource(record.data, record.path)))
        about.append(referrer(record, pack.descriptor, hashlib.sha256(container.manifest_bytes).hexdigest()))
    if records:
        items.append((described(EMPTY, EMPTY_TYPE), BytesSource(EMPTY, "config")))
    for descriptor, source in items:
        sent += descriptor.size if taker.put(descriptor, source, advance) else 0
    taker.publish(pack.data, pack.descriptor, about)
    return Sent(taker.name, pack.descriptor.digest, len(pack.parts), len(records), sent, container.size)
