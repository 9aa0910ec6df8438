"""A container as a ModelPack image (model-spec v0.0.7): prefix, members and manifest are layers, each as it is.

The same container gives the same image: nothing enters that is not in the container, neither its file's name nor a
clock. What the layers do not hold (gaps, headers, directory) follows from the manifest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from llamafile_format.container import Container
from llamafile_format.exchanging.descriptors import EMPTY, EMPTY_TYPE, Descriptor, Image, canonical, described
from llamafile_format.manifest.model import MANIFEST_PATH, Manifest
from llamafile_format.prefix.bootstrap import Form
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.source import ByteSource, BytesSource, Window
from llamafile_format.zip.names import is_weights_name

FAMILY = "application/vnd.cncf.model."
IMAGE_TYPE = f"{FAMILY}manifest.v1+json"
CONFIG_TYPE = f"{FAMILY}config.v1+json"
PREFIX_PATH = "META-LLAMAFILE/prefix"
"""The name of the prefix's layer; members cannot have it (clause 4.8)."""

PATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"
ROLE = "org.llamafile.role"
MANIFEST = "org.llamafile.manifest"
FORM = "org.llamafile.form"
NUMBER = "org.llamafile.record.number"
RECORD = "org.llamafile.record.path"
_UNTESTED = "org.cncf.model.file.mediatype.untested"

_KINDS = {
    "weights": "weight",
    "projector": "weight",
    "adapter": "weight",
    "draft": "weight",
    "tokenizer": "weight.config",
    "template": "weight.config",
    "arguments": "weight.config",
    "runtime": "code",
    "source": "code",
    "prefix": "code",
}
_ORDER = ("weight", "weight.config", "code", "doc")
"""Weights first: a reader that takes the first layer takes the model."""

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STAMP_TYPE = "application/timestamp-reply"
MATERIAL_TYPE = "application/vnd.llamafile.validation-material.v1+json"
RECORD_TYPES = frozenset({BUNDLE_TYPE, STAMP_TYPE, MATERIAL_TYPE})


@dataclass(frozen=True, slots=True)
class Part:
    """One layer and where its bytes come from."""

    layer: Descriptor
    source: ByteSource


@dataclass(frozen=True, slots=True)
class Packed:
    """An image to be sent: its bytes and their descriptor, its configuration, its layers with their sources."""

    data: bytes
    descriptor: Descriptor
    config: bytes
    parts: tuple[Part, ...]


def packed(container: Container) -> Packed:
    """``container``, which is well-formed, as an image. Reads nothing but its manifest."""
    manifest = container.manifest
    assert manifest is not None
    parts = _parts(container, manifest)
    config = canonical(_config(manifest, [part.layer.digest for part in parts]))
    annotations = {MANIFEST: hashlib.sha256(container.manifest_bytes).hexdigest()}
    if container.form is not Form.POLYGLOT:
        annotations[FORM] = container.form.value
    image = Image(described(config, CONFIG_TYPE), tuple(part.layer for part in parts), IMAGE_TYPE, annotations)
    data = image.encode()
    descriptor = described(data, "application/vnd.oci.image.manifest.v1+json", artifact_type=IMAGE_TYPE)
    return Packed(data, descriptor, config, tuple(parts))


def _parts(container: Container, manifest: Manifest) -> list[Part]:
    """Layers in the order of :data:`_ORDER`, and within it in that of the file. What is empty has none."""
    source, claims = container.source, container.claims
    assert claims is not None
    spans = [(PREFIX_PATH, "prefix", 0, manifest.prefix.size, manifest.prefix.sha256)]
    spans += [(each.path, each.role, each.offset, each.size, each.sha256) for each in manifest.members]
    parts = [
        Part(_layer(path, role, f"sha256:{digest}", size), Window(source, offset, size))
        for path, role, offset, size, digest in spans
        if size
    ]
    data = claims.data
    own = replace(_layer(MANIFEST_PATH, "manifest", "", len(data)), digest=f"sha256:{hashlib.sha256(data).hexdigest()}")
    parts.append(Part(own, BytesSource(data, MANIFEST_PATH)))
    return sorted(parts, key=lambda part: _ORDER.index(part.layer.media_type.removeprefix(FAMILY)[: -len(".v1.raw")]))


def _layer(path: str, role: str, digest: str, size: int) -> Descriptor:
    annotations = {PATH: path, TITLE: path, ROLE: role, _UNTESTED: "false"}
    return Descriptor(f"{FAMILY}{_KINDS.get(role, 'doc')}.v1.raw", digest, size, annotations)


def _config(manifest: Manifest, digests: list[str]) -> dict[str, object]:
    descriptor: dict[str, object] = {}
    if manifest.name:
        descriptor["name"] = manifest.name
    if manifest.license:
        descriptor["licenses"] = [manifest.license]
    if manifest.created:
        descriptor["createdAt"] = manifest.created
    if manifest.source:
        descriptor["sourceURL"] = manifest.source
    gguf = any(is_weights_name(member.path) for member in manifest.with_role("weights"))
    return {
        "descriptor": descriptor,
        "modelfs": {"type": "layers", "diffIds": digests},
        "config": {"format": "gguf"} if gguf else {},
    }


def record_type(kind: RecordKind) -> str:
    """The artifact type of a record: everything that is signed is a Sigstore bundle."""
    if kind.is_bundle:
        return BUNDLE_TYPE
    return STAMP_TYPE if kind is RecordKind.TSR else MATERIAL_TYPE


def referrer(record: Record, subject: Descriptor, manifest_sha256: str) -> tuple[bytes, Descriptor]:
    """The manifest by which ``record`` refers to the image ``subject``, and its descriptor."""
    kind = record_type(record.kind)
    title = record.path.rpartition("/")[2]
    layer = Descriptor(kind, f"sha256:{record.sha256}", len(record.data), {TITLE: title})
    annotations = {NUMBER: f"{record.number:04d}", RECORD: record.path, MANIFEST: manifest_sha256}
    about = Descriptor(subject.media_type, subject.digest, subject.size)
    image = Image(described(EMPTY, EMPTY_TYPE), (layer,), kind, annotations, about)
    data = image.encode()
    found = described(data, "application/vnd.oci.image.manifest.v1+json", artifact_type=kind)
    return data, replace(found, annotations=annotations)
