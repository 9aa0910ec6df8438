"""Descriptors, images and indexes of OCI, read strictly and within bounds (image-spec 1.1).

What comes from a registry or a folder is a stranger's. A digest is compared with its grammar before it becomes part of
a path or an address; fields that say where else the bytes might be (``urls``, ``data``) are not looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, LimitExceeded

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest or an index: what registries agree to take."""

MAX_DESCRIPTORS = 10_000
_MAX_SIZE = 1 << 62
_DEPTH = 8
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """``size`` bytes of ``media_type`` whose SHA-256 is ``digest`` (``sha256:`` and 64 hex digits)."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.removeprefix("sha256:")

    def to_json(self) -> dict[str, Any]:
        """The descriptor's JSON object; what is empty is left out."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest of OCI: its configuration, its layers, and, in a referrer, what it is about."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None

    def encode(self) -> bytes:
        """Its bytes: the same image always has the same."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": self.artifact_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
            "annotations": dict(self.annotations),
        }
        if self.subject is not None:
            value["subject"] = self.subject.to_json()
        return canonical(value)


def canonical(value: Any) -> bytes:
    """``value`` as JSON with sorted keys and no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def described(data: bytes, media_type: str, *, artifact_type: str = "", **annotations: str) -> Descriptor:
    """The descriptor of ``data``."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Descriptor(media_type, digest, len(data), annotations, artifact_type)


def is_digest(text: str) -> bool:
    """True if ``text`` may be the name of a blob here: no other algorithm is taken."""
    return _DIGEST.fullmatch(text) is not None


def read_image(data: bytes, name: str) -> Image:
    """The image manifest ``data``; FormatError for anything else. ``name`` is for messages."""
    value = _document(data, name)
    if isinstance(value.get("manifests"), list):
        raise FormatError(f"{name} is an index of several images", hint="name one of them by its digest")
    if value.get("schemaVersion") != 2 or value.get("mediaType", MANIFEST_TYPE) not in (
        MANIFEST_TYPE,
        DOCKER_MANIFEST_TYPE,
    ):
        raise FormatError(f"{name} is no image manifest")
    subject = value.get("subject")
    return Image(
        config=_descriptor(value.get("config"), f"{name}: config"),
        layers=_descriptors(value.get("layers"), f"{name}: layers"),
        artifact_type=_text(value.get("artifactType", ""), f"{name}: artifactType"),
        annotations=_annotations(value.get("annotations"), name),
        subject=None if subject is None else _descriptor(subject, f"{name}: subject"),
    )


def read_index(data: bytes, name: str) -> tuple[Descriptor, ...]:
    """The descriptors in the index ``data``; FormatError for anything else."""
    value = _document(data, name)
    if value.get("schemaVersion") != 2 or value.get("mediaType", INDEX_TYPE) != INDEX_TYPE:
        raise FormatError(f"{name} is no image index")
    return _descriptors(value.get("manifests"), f"{name}: manifests")


def index_bytes(entries: Sequence[Descriptor]) -> bytes:
    """The index of ``entries``, sorted by tag and digest."""

    def key(entry: Descriptor) -> tuple[str, str]:
        """Tag first."""
        return entry.annotations.get("org.opencontainers.image.ref.name", ""), entry.digest

    ordered = [entry.to_json() for entry in sorted(entries, key=key)]
    return canonical({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": ordered})


def _document(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT:
        raise LimitExceeded(f"{name} is too large", found=len(data), allowed=f"{MAX_DOCUMENT} bytes")
    try:
        value = parse_json(data, depth=_DEPTH, pairs=_once)
    except FormatError as error:
        raise FormatError(f"{name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{name} is no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """No key twice: readers differ in which of the two they take."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise FormatError("a key stands there twice")
    return value


def _descriptors(value: Any, name: str) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{name} is no list")
    if len(value) > MAX_DESCRIPTORS:
        raise LimitExceeded(f"{name} has too many entries", found=len(value), allowed=f"{MAX_DESCRIPTORS}")
    return tuple(_descriptor(item, f"{name} {number}") for number, item in enumerate(value))


def _descriptor(value: Any, name: str) -> Descriptor:
    if not isinstance(value, dict):
        raise FormatError(f"{name} is no descriptor")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise FormatError(f"{name} has no digest of the form sha256:<64 hex digits>", found=repr(digest)[:100])
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise FormatError(f"{name} has no size", found=repr(size)[:100])
    return Descriptor(
        _text(value.get("mediaType"), f"{name}: mediaType"),
        digest,
        size,
        _annotations(value.get("annotations"), name),
        _text(value.get("artifactType", ""), f"{name}: artifactType"),
    )


def _annotations(value: Any, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise FormatError(f"{name}: annotations are texts by name")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 1024:
        raise FormatError(f"{name} is no text")
    return value
