"""What a container is to be made of, and its manifest in blank, so that it can be judged before a byte is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.manifest.hashing import Digests
from llamafile_format.manifest.layout import Layout
from llamafile_format.manifest.merkle import chunk_root
from llamafile_format.manifest.model import (
    CHUNKS_PATH,
    FIRST_VERSION,
    EngineDirectory,
    Manifest,
    Member,
    Prefix,
    Sibling,
    numbers_of,
)
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.manifest.roles import LATER
from llamafile_format.rules import Severity, rule
from llamafile_format.source import ByteSource, BytesSource
from llamafile_format.zip.writer import Placed

PREFIX_UNIT = 65536  # clause 3.2: in these steps a prefix can be replaced by sharing or inserting blocks


@dataclass(frozen=True, slots=True)
class Content:
    """One member to be: its name, what it is, and where its bytes come from.

    ``known`` are digests to reuse. ``expected`` is a SHA-256 in hex that the bytes must turn out to have.
    """

    path: str
    role: str
    media_type: str
    source: ByteSource
    alignment: int
    known: Digests | None = None
    expected: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrefixContent:
    """The prefix to be: the engine's bytes without padding. ``known`` reuses (prefix digests, engine sha256 hex)."""

    kind: str
    engine: ByteSource
    directory: EngineDirectory | None = None
    records: tuple[bytes, ...] = ()  # carried directory records, verbatim
    opaque: str = ""
    known: tuple[Digests, str] | None = None
    sibling: Sibling | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the prefix: the engine padded to the next 64 KiB."""
        return -(-self.engine.size // PREFIX_UNIT) * PREFIX_UNIT


@dataclass(frozen=True, slots=True)
class Labels:
    """What the manifest says beyond the members: catalogue texts, default model, history."""

    profile: str = "default"
    created: str = ""
    name: str = ""
    license: str = ""
    source: str = ""
    default: str = ""
    critical: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def with_extra(content: Content, **extra: Any) -> Content:
    """``content`` with more fields in its manifest entry."""
    return replace(content, extra={**content.extra, **extra})


def manifest_of(prefix: Prefix, members: Sequence[Member], labels: Labels) -> Manifest:
    """The manifest of a container with this prefix and these members, in file order."""
    return Manifest(
        prefix=prefix,
        members=tuple(members),
        version=lowest_version(member.role for member in members),
        profile=labels.profile,
        created=labels.created,
        name=labels.name,
        license=labels.license,
        source=labels.source,
        default=labels.default,
        critical=labels.critical,
        history=labels.history,
        extra=labels.extra,
    )


def lowest_version(roles: Iterable[str]) -> str:
    """The lowest version of the format that defines all ``roles`` (clause 11.1.4)."""
    return max((LATER.get(role, FIRST_VERSION) for role in roles), key=numbers_of, default=FIRST_VERSION)


def refuse_unreadable(prefix: PrefixContent, contents: Sequence[Content], labels: Labels, where: Layout) -> None:
    """FormatError if the reader would refuse the manifest, before a byte of the file is written.

    All digests have a fixed width, so a manifest with empty ones in their places has the very shape of the real one.
    """
    none = bytes(64 if labels.profile == "archive" else 0)
    blank = Digests(0, 0, bytes(32), (), none)
    placed = zip([*contents, CHUNK_LIST], [*where.members, where.chunks], strict=True)
    members = [member_of(content, place, blank) for content, place in placed]
    refuse_manifest(manifest_of(prefix_of(prefix, blank, bytes(32).hex()), members, labels).encode())


def refuse_manifest(data: bytes) -> None:
    """FormatError if the reader would refuse the manifest ``data``, or would not judge it."""
    _, findings = read_manifest(data)
    for finding in findings:
        row = rule(finding.rule)
        if row.severity is Severity.ERROR or row.undetermined:
            raise FormatError(f"no reader would take this manifest: {row.render(finding)}", clause=row.id)


CHUNK_LIST = Content(CHUNKS_PATH, "chunks", "text/plain", BytesSource(b""), 1)


def prefix_of(prefix: PrefixContent, digests: Digests, engine_sha256: str) -> Prefix:
    """The manifest\'s prefix object: ``digests`` are of the padded prefix, ``engine_sha256`` is of the engine alone."""
    return Prefix(
        kind=prefix.kind,
        size=prefix.size,
        sha256=digests.sha256.hex(),
        engine_size=prefix.engine.size,
        engine_sha256=engine_sha256,
        directory=prefix.directory,
        opaque=prefix.opaque,
        sha512=digests.sha512.hex(),
        sibling=prefix.sibling,
        extra=prefix.extra,
    )


def member_of(content: Content, placed: Placed, digests: Digests) -> Member:
    """The manifest\'s object for ``content`` where it was ``placed``, with the digests of its data."""
    return Member(
        path=content.path,
        role=content.role,
        media_type=content.media_type,
        offset=placed.data_offset,
        size=placed.size,
        alignment=content.alignment,
        crc32=f"{digests.crc32:08x}",
        sha256=digests.sha256.hex(),
        chunk_root=chunk_root(digests.chunks).hex(),
        sha512=digests.sha512.hex(),
        extra=content.extra,
    )
