"""The manifest as data (spec/1, chapter 5). Sizes and offsets are bytes; digests are lower-case hex.

Fields that this version does not know are kept in ``extra`` and written back, so that a repack by an old tool does not
lose what a newer one recorded (clause 5.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llamafile_format import limits
from llamafile_format.manifest.canonical_json import encode
from llamafile_format.plain_json import stated_fields

FORMAT = "llamafile"
VERSION = "1.1"  # what this library knows; a writer names the lowest that defines what it wrote (clause 11.1.4)
FIRST_VERSION = "1.0"
MANIFEST_PATH = "META-LLAMAFILE/manifest.json"
ARGUMENTS_PATH = ".args"
CHUNKS_PATH = "META-LLAMAFILE/chunks.txt"
README_PATH = "META-LLAMAFILE/README.txt"
SIGNATURES_FOLDER = "META-LLAMAFILE/signatures/"
HISTORY_FOLDER = "META-LLAMAFILE/history/"
RESERVED_FOLDER = "META-LLAMAFILE/"
MAX_MANIFEST = limits.MANIFEST_BYTES
PROFILES = ("default", "archive")


def numbers_of(version: str) -> tuple[int, int]:
    """``MAJOR.MINOR`` as numbers, for comparison. ValueError for anything else."""
    major, minor = version.split(".")
    return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class Member:
    """One member in file order. ``offset`` is where its data starts, absolute from byte 0; ``crc32`` 8 hex digits."""

    path: str
    role: str
    media_type: str
    offset: int
    size: int
    alignment: int
    crc32: str
    sha256: str
    chunk_root: str
    sha512: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The member's JSON object."""
        return stated_fields(self)


@dataclass(frozen=True, slots=True)
class EngineAsset:
    """A file or folder of the engine's own ZIP whose directory record is carried over: decompressed size and digest."""

    path: str
    size: int
    sha256: str
    sha512: str = ""

    @property
    def is_folder(self) -> bool:
        """True for the record of a folder, which holds no bytes and is no file when unpacked (clause 4.10.6)."""
        return self.path.endswith("/") and not self.size

    def to_json(self) -> dict[str, Any]:
        """The asset's JSON object."""
        return {**stated_fields(self), "role": "engine-asset"}


@dataclass(frozen=True, slots=True)
class EngineDirectory:
    """The central directory that the prefix brought along (clause 3.6): where its bytes lie, and what became of it."""

    offset: int
    size: int
    count: int
    assets: tuple[EngineAsset, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def folders_left_out(self) -> tuple[str, ...]:
        """Folder records that the file's writer did not carry over: before 4.10.6 their names counted as unsafe."""
        return tuple(path for path, reason in self.dropped if reason == "unsafe-name" and path.endswith("/"))

    def to_json(self) -> dict[str, Any]:
        """The directory's JSON object."""
        dropped = [{"path": path, "reason": reason} for path, reason in self.dropped]
        return {**stated_fields(self), "dropped": dropped}


@dataclass(frozen=True, slots=True)
class Sibling:
    """The complete container beside a small ``NAME.exe`` (clause 14.4): where its manifest lies, and its SHA-256.

    ``weights`` is (offset, size) of its default model's data, None if it has no model.
    """

    offset: int
    size: int
    sha256: str
    weights: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """The sibling's JSON object."""
        offset, size = self.weights or (None, None)
        weights = {} if self.weights is None else {"weights_offset": offset, "weights_size": size}
        return {**stated_fields(self, "weights"), **weights}


@dataclass(frozen=True, slots=True)
class Prefix:
    """The executable bytes [0, size); the engine proper is [0, engine_size), the rest is zero padding to 64 KiB."""

    kind: str
    size: int
    sha256: str
    engine_size: int
    engine_sha256: str
    directory: EngineDirectory | None = None
    opaque: str = ""  # why the prefix's own ZIP, if it has one, was not carried over
    sha512: str = ""
    sibling: Sibling | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The prefix's JSON object."""
        return stated_fields(self)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that the container says about itself. Optional texts are empty when absent."""

    prefix: Prefix
    members: tuple[Member, ...]
    version: str = FIRST_VERSION
    profile: str = "default"
    created: str = ""
    name: str = ""
    license: str = ""
    source: str = ""
    default: str = ""
    critical: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The manifest's JSON object."""
        empty = [name for name in ("critical", "history") if not getattr(self, name)]
        return {**stated_fields(self, *empty), "format": FORMAT}

    def encode(self) -> bytes:
        """The manifest's bytes as they stand in the file."""
        return encode(self.to_json())

    def member(self, path: str) -> Member | None:
        """The member ``path``, or None."""
        return next((member for member in self.members if member.path == path), None)

    def with_role(self, *roles: str) -> tuple[Member, ...]:
        """The members of ``roles``, in file order."""
        return tuple(member for member in self.members if member.role in roles)
