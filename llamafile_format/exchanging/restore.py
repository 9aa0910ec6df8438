"""A container out of an image of :mod:`modelpack`: the manifest says where everything goes, and what it must be.

Every layer is hashed while it is copied, against the manifest; the chunk list is made anew from those digests, and
must be the one of the manifest. So what comes out is the file that went in, every byte of it, or nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from llamafile_format.errors import FormatError
from llamafile_format.exchanging.depot import Giver
from llamafile_format.exchanging.descriptors import Descriptor, Image
from llamafile_format.exchanging.modelpack import FAMILY, FORM, MANIFEST, PATH, PREFIX_PATH
from llamafile_format.manifest.claims import layout_of
from llamafile_format.manifest.hashing import Digests, digest_range
from llamafile_format.manifest.layout import Layout, chunk_line, tiles
from llamafile_format.manifest.merkle import pieces
from llamafile_format.manifest.model import CHUNKS_PATH, MANIFEST_PATH, MAX_MANIFEST, Manifest, Member
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.output.transfer import clone, sink_beyond, write_at
from llamafile_format.packing import finish
from llamafile_format.prefix.bootstrap import HEADER_SIZE, SLOT_FORMS, Form, slot
from llamafile_format.prefix.reverted import HEAD
from llamafile_format.progress import Advance
from llamafile_format.rules import Severity, rule
from llamafile_format.source import ByteSource, Chain, FileSource, Window
from llamafile_format.zip.engine_archive import engine_records
from llamafile_format.zip.writer import Placed, local_header


@dataclass(frozen=True, slots=True)
class Own:
    """An image that :mod:`modelpack` made: its manifest, the layout that follows, and its layers by path."""

    manifest: Manifest
    data: bytes
    layout: Layout
    layers: Mapping[str, Descriptor]
    form: Form

    @property
    def total(self) -> int:
        """Bytes that are read for it."""
        return sum(layer.size for layer in self.layers.values())


def own_layers(image: Image) -> dict[str, Descriptor] | None:
    """The layers of ``image`` by path, if it is one of ours; None for images of others. FormatError for neither."""
    if not any(layer.annotations.get(PATH) == MANIFEST_PATH for layer in image.layers):
        if MANIFEST in image.annotations:
            raise FormatError(f"the image says that it holds a container, and has no {MANIFEST_PATH}")
        return None
    layers: dict[str, Descriptor] = {}
    for layer in image.layers:
        path = layer.annotations.get(PATH, "")
        if path in layers:
            raise FormatError(f"two layers are called {path!r}")
        if not layer.media_type.startswith(FAMILY) or not layer.media_type.endswith(".v1.raw"):
            raise FormatError(f"the layer {path!r} of a container is not stored as it is", found=layer.media_type[:100])
        layers[path] = layer
    return layers


def read_own(giver: Giver, image: Image, layers: Mapping[str, Descriptor]) -> Own:
    """The container that ``layers`` hold. FormatError if they are not exactly those that its manifest demands."""
    listed = layers[MANIFEST_PATH]
    if listed.size > MAX_MANIFEST:
        raise FormatError("the manifest is too large", found=listed.size, allowed=f"{MAX_MANIFEST} bytes")
    source = giver.blob(listed)
    data = source.read_at(0, source.size)
    digest = hashlib.sha256(data).hexdigest()
    if digest != listed.hex or image.annotations.get(MANIFEST, digest) != digest:
        raise FormatError("the manifest has another digest than the image says", found=digest, allowed=listed.hex)
    manifest, findings = read_manifest(data)
    for finding in findings:
        if rule(finding.rule).severity is Severity.ERROR or manifest is None:
            raise FormatError(f"the manifest is malformed: {rule(finding.rule).render(finding)}", clause=finding.rule)
    layout = layout_of(manifest) if manifest is not None else None
    if manifest is None or layout is None:
        raise FormatError("the manifest does not say where its members lie", clause="5.1.3")
    _refuse_other_layers(manifest, layers)
    form = image.annotations.get(FORM, Form.POLYGLOT.value)
    if form not in [each.value for each in SLOT_FORMS]:
        raise FormatError(f"the image says that its launcher was converted to {form[:40]!r}, which is no form")
    return Own(manifest, data, layout, layers, Form(form))


def _refuse_other_layers(manifest: Manifest, layers: Mapping[str, Descriptor]) -> None:
    due = {each.path: (each.sha256, each.size) for each in manifest.members if each.size}
    if manifest.prefix.size:
        due[PREFIX_PATH] = (manifest.prefix.sha256, manifest.prefix.size)
    for path, layer in layers.items():
        if path != MANIFEST_PATH and due.pop(path, None) != (layer.hex, layer.size):
            raise FormatError(f"the layer {path!r} is not what the manifest demands under that name")
    if due:
        raise FormatError(f"the image lacks {min(due)!r}, which its manifest demands")


def restore(giver: Giver, own: Own, out: int, *, have: int = 0, progress: Advance | None = None) -> None:
    """Write the container of ``own`` to the file ``out``, without records and unconverted.

    The first ``have`` bytes of ``out`` were written before; they are hashed again, and fetched again if they are wrong.
    FormatError with the first layer that is not what the manifest says.
    """
    _Restoring(giver, own, out, have, progress).run()


def converted(own: Own, out: int) -> None:
    """Give the launcher in ``out`` the form that it had when it was sent."""
    if own.form is Form.POLYGLOT:
        return
    head = FileSource.from_descriptor(out, "out").read_at(0, HEAD) if own.manifest.prefix.size >= HEAD else b""
    header = slot(head, own.form)
    if len(header) != HEADER_SIZE:
        raise FormatError(f"the launcher has no form {own.form.value}", clause="14.2.7")
    write_at(out, 0, header)


@dataclass(slots=True)
class _Restoring:
    giver: Giver
    own: Own
    out: int
    have: int
    progress: Advance | None
    digests: list[tuple[bytes, bytes]] = field(default_factory=list)
    """SHA-256 and SHA-512 of all tiles, in order."""

    def run(self) -> None:
        """Prefix, members, chunk list, and what follows from them."""
        manifest, where = self.own.manifest, self.own.layout
        if manifest.prefix.size:
            self._prefix()
        for member, placed in zip(manifest.members[:-1], where.members, strict=True):
            self._member(member, placed)
        self._chunks(manifest.members[-1], where.chunks)
        front = FileSource.from_descriptor(self.out, "the new file")
        records: tuple[bytes, ...] = ()
        if manifest.prefix.directory is not None:
            taken = [member.path for member in manifest.members]
            without = manifest.prefix.directory.folders_left_out
            found = engine_records(front, manifest.prefix.engine_size, taken=taken, without=without)
            records = tuple(front.read_at(entry.record_offset, entry.record.length) for entry in found.carried)
        finish(self.out, manifest, self.own.data, where, records)

    @property
    def _sha512(self) -> bool:
        return self.own.manifest.profile == "archive"

    def _prefix(self) -> None:
        prefix = self.own.manifest.prefix
        digests = self._bring(PREFIX_PATH, 0, prefix.size, prefix.sha256)
        engine = FileSource.from_descriptor(self.out, "prefix")
        inside = prefix.engine_size <= prefix.size
        if not inside or digest_range(engine, 0, prefix.engine_size).sha256.hex() != prefix.engine_sha256:
            raise FormatError("the engine in the prefix is not the one that the manifest names", clause="5.4")
        self._note(digests)

    def _member(self, member: Member, placed: Placed) -> None:
        digests = self._bring(member.path, placed.data_offset, member.size, member.sha256)
        header = local_header(placed, digests.crc32)
        write_at(self.out, placed.gap_offset, header)
        for at, count in pieces(0, len(header)):
            piece = header[at : at + count]
            self.digests.append((hashlib.sha256(piece).digest(), hashlib.sha512(piece).digest()))
        said = (digests.root.hex(), f"{digests.crc32:08x}", digests.sha512.hex())
        if said != (member.chunk_root, member.crc32, member.sha512):
            raise FormatError(f"{member.path} has other digests than its manifest says", clause="5.5")
        self._note(digests)

    def _note(self, digests: Digests) -> None:
        large = digests.chunks512 if self._sha512 else (b"",) * len(digests.chunks)
        self.digests += zip(digests.chunks, large, strict=True)

    def _bring(self, path: str, at: int, size: int, sha256: str) -> Digests:
        """The layer ``path`` to ``at``; once more and from its beginning if what was there already was wrong."""
        layer = self.own.layers.get(path) or Descriptor("", f"sha256:{sha256}", 0)
        there = min(max(self.have - at, 0), size)
        digests = self._copied(layer, at, there)
        if digests.sha256.hex() != sha256 and there:
            digests = self._copied(layer, at, 0)
        if digests.sha256.hex() != sha256:
            raise FormatError(
                f"the layer {path} from {self.giver.name} is not what its name says: it has another SHA-256",
                found=digests.sha256.hex(),
                allowed=sha256,
                hint="fetch it from somewhere else; nothing was written",
            )
        return digests

    def _copied(self, layer: Descriptor, at: int, there: int) -> Digests:
        parts: list[ByteSource] = []
        if there:
            parts.append(Window(FileSource.from_descriptor(self.out, layer.digest), at, there))
        if there < layer.size:
            parts.append(self.giver.blob(layer, there))
        source = parts[0] if len(parts) == 1 else Chain(layer.digest, parts)
        shared = there or clone(source, 0, layer.size, self.out, at)
        sink = sink_beyond(shared, source, self.out, at)
        return digest_range(source, 0, layer.size, sha512=self._sha512, sink=sink, progress=self.progress)

    def _chunks(self, member: Member, placed: Placed) -> None:
        """The chunk list, made anew: the manifest's own layer is not needed for it."""
        text = b"".join(self._lines())
        crc = int(member.crc32, 16)
        if hashlib.sha256(text).hexdigest() != member.sha256 or len(text) != placed.size:
            raise FormatError(f"the digests of the layers do not make the {CHUNKS_PATH} of the manifest", clause="6.2")
        write_at(self.out, placed.gap_offset, local_header(placed, crc) + text)

    def _lines(self) -> Iterator[bytes]:
        where = tiles(self.own.layout.prefix_size, self.own.layout.members)
        for tile, (small, large) in zip(where, self.digests, strict=True):
            yield chunk_line(tile, small, large if self._sha512 else b"")
