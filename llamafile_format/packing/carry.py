"""What a container hands over to its successor: contents with the digests that they already have (spec/1, 8.3).

Bytes that a repack does not change are not hashed again. Their digests come from the old manifest and the old chunk
list, which must fit each other: hashing damaged bytes afresh would give the damage a valid manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llamafile_format.checks.canonical import check_structure, signature_entries
from llamafile_format.checks.manifest import check_manifest
from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding
from llamafile_format.manifest.hashing import Digests
from llamafile_format.manifest.layout import Layout, chunk_line, tiles
from llamafile_format.manifest.merkle import chunk_root
from llamafile_format.manifest.model import FIRST_VERSION, EngineAsset, Manifest, Member, Sibling
from llamafile_format.packing.assemble import Content, Labels
from llamafile_format.rules import Severity, rule
from llamafile_format.source import ByteSource, BytesSource, Window

_TEXT = 1 << 20  # bytes of the chunk list in memory at a time


@dataclass(frozen=True, slots=True)
class CarriedEngine:
    """The engine without its padding. ``known`` are (digests of the padded prefix, engine sha256), ``assets`` the
    engine's own files with digests that can be reused, by path. ``kind`` is empty if it was not identified yet.

    A launcher is carried as the one of its ``version`` that indexes nothing, because it is written anew whenever
    members move; ``version`` 0 stands for one that this release does not know and cannot write.
    """

    source: ByteSource
    kind: str = ""
    known: tuple[Digests, str] | None = None
    assets: Mapping[str, EngineAsset] = field(default_factory=dict)
    version: int = 0
    sibling: Sibling | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def launcher(self) -> bool:
        """True if it is our launcher, whose bytes follow from the members."""
        return self.kind == "launcher"


@dataclass(frozen=True, slots=True)
class Carried:
    """An existing file as the starting point of a repack.

    ``members`` are the manifest's, by path; empty for a legacy file. ``crc32`` holds checksums that contents without
    known digests must turn out to have. ``signatures`` are the old signature records as (file name, bytes).
    """

    engine: CarriedEngine
    contents: tuple[Content, ...]
    labels: Labels
    members: Mapping[str, Member] = field(default_factory=dict)
    manifest_sha256: str = ""
    manifest_bytes: bytes = b""
    crc32: Mapping[str, int] = field(default_factory=dict)
    signatures: tuple[tuple[str, bytes], ...] = ()
    version: str = FIRST_VERSION
    origin: Mapping[str, Any] | None = None  # the history entry of a file that was a legacy one until now


def carry(container: Container) -> Carried:
    """Everything in a 1.0 ``container``, ready to be written again without reading member data.

    Raises FormatError if its structure is damaged or its chunk list is not the one that the manifest names.
    """
    manifest = _sound_manifest(container)
    claims = container.claims
    assert claims is not None
    archive = manifest.profile == "archive"
    lists, prefix = _chunk_digests(container.source, manifest, claims.layout)
    contents = tuple(_content(container.source, member, lists[member.path]) for member in manifest.members[:-1])
    return Carried(
        engine=_engine(container, manifest, _prefix_digests(manifest, prefix, archive)),
        contents=contents,
        labels=_labels(manifest),
        members={member.path: member for member in manifest.members[:-1]},
        manifest_sha256=hashlib.sha256(container.manifest_bytes).hexdigest(),
        manifest_bytes=container.manifest_bytes,
        version=manifest.version,
        signatures=tuple(
            (entry.path.rpartition("/")[2], container.source.read_at(entry.data_offset, entry.size))
            for entry in signature_entries(container.archive)
        ),
    )


def _engine(container: Container, manifest: Manifest, digests: Digests) -> CarriedEngine:
    """The prefix as its successor can have it."""
    prefix, directory = manifest.prefix, manifest.prefix.directory
    if prefix.kind == "launcher" and (engine := _launcher(container, manifest)) is not None:
        return engine
    return CarriedEngine(
        source=Window(container.source, 0, prefix.engine_size) if prefix.size else BytesSource(b"", "none"),
        kind=prefix.kind,
        known=(digests, prefix.engine_sha256),
        assets={asset.path: asset for asset in directory.assets} if directory else {},
        sibling=prefix.sibling,
        extra=prefix.extra,
    )


def _launcher(container: Container, manifest: Manifest) -> CarriedEngine | None:
    """The launcher in front of ``container``; None if this release does not know its version.

    FormatError if it is not the one that the members imply: its successor would look as if it had been.
    """
    from llamafile_format.engines.implied import blank_launcher, implied_launcher
    from llamafile_format.prefix.launcher import read_index
    from llamafile_format.prefix.launcher_templates import VERSIONS

    prefix = manifest.prefix
    index = read_index(container.source.read_at(0, min(4096, prefix.size)))
    if index is None or index.version not in VERSIONS:
        return None
    implied = implied_launcher(manifest.members[:-1], manifest.default, version=index.version, sibling=prefix.sibling)
    if hashlib.sha256(implied).hexdigest() != prefix.engine_sha256:
        raise FormatError(
            f"{container.name}: its launcher is not the one that its members imply", clause="14.2.3", hint=_HINT
        )
    blank = BytesSource(blank_launcher(index.version), "launcher")
    return CarriedEngine(blank, prefix.kind, version=index.version, sibling=prefix.sibling, extra=prefix.extra)


def without_second_digest(digests: Digests) -> Digests:
    """``digests`` as the default profile records them."""
    return replace(digests, sha512=b"", chunks512=())


def _labels(manifest: Manifest) -> Labels:
    return Labels(
        profile=manifest.profile,
        created=manifest.created,
        name=manifest.name,
        license=manifest.license,
        source=manifest.source,
        default=manifest.default,
        critical=manifest.critical,
        history=manifest.history,
        extra=manifest.extra,
    )


def _sound_manifest(container: Container) -> Manifest:
    """The manifest, if nothing about manifest and structure is an error: a repack must not carry confusion on."""
    manifest, claims = container.manifest, container.claims
    if manifest is None or claims is None:
        _refuse(container, [*container.manifest_findings, *container.archive.findings])
        raise FormatError(f"{container.name} has no usable manifest", hint=_HINT)
    _refuse(container, check_manifest(manifest))
    end = claims.layout.manifest(len(claims.data)).end
    if end > container.size:
        raise FormatError(f"{container.name} is cut off: {container.size} bytes of more than {end}", hint=_HINT)
    _refuse(container, check_structure(container.source, container.archive, claims))
    return manifest


_HINT = "llamafile-format verify FILE lists every fault; start from an intact copy"


def _refuse(container: Container, findings: Sequence[Finding] | Iterator[Finding]) -> None:
    for finding in findings:
        row = rule(finding.rule)
        if row.severity is Severity.ERROR:
            raise FormatError(
                f"{container.name} is damaged: {row.render(finding)}",
                offset=finding.where.offset,
                clause=finding.rule,
                hint=_HINT,
            )


def _content(source: ByteSource, member: Member, lists: _Lists) -> Content:
    digests = Digests(
        size=member.size,
        crc32=int(member.crc32, 16),
        sha256=bytes.fromhex(member.sha256),
        chunks=tuple(lists.small),
        sha512=bytes.fromhex(member.sha512),
        chunks512=tuple(lists.large),
    )
    data = Window(source, member.offset, member.size)
    return Content(member.path, member.role, member.media_type, data, member.alignment, digests, extra=member.extra)


def _prefix_digests(manifest: Manifest, lists: _Lists, archive: bool) -> Digests:
    prefix = manifest.prefix
    return Digests(
        size=prefix.size,
        crc32=0,  # the prefix is no member and has no CRC-32
        sha256=bytes.fromhex(prefix.sha256),
        chunks=tuple(lists.small),
        sha512=bytes.fromhex(prefix.sha512) if archive else b"",
        chunks512=tuple(lists.large),
    )


@dataclass(slots=True)
class _Lists:
    """Chunk digests of one span, in order."""

    small: list[bytes] = field(default_factory=list)
    large: list[bytes] = field(default_factory=list)


def _chunk_digests(source: ByteSource, manifest: Manifest, layout: Layout) -> tuple[dict[str, _Lists], _Lists]:
    """Chunk digests by member path, and those of the prefix, from a list that is exactly the one that was signed."""
    chunks = manifest.members[-1]
    wide = manifest.profile == "archive"
    lists = {member.path: _Lists() for member in manifest.members[:-1]}
    prefix = _Lists()
    lines = _lines(source, chunks)
    for tile in tiles(layout.prefix_size, layout.members):
        line = next(lines, b"")
        small = _unhex(line[:64])
        at = len(chunk_line(tile, b"\0" * 32)) - len(tile.path.encode()) - 1
        large = _unhex(line[at : at + 128]) if wide else b""
        if chunk_line(tile, small, large) != line:
            raise FormatError("the chunk list does not fit the layout", offset=chunks.offset, clause="6.2", hint=_HINT)
        target = prefix if tile.offset < layout.prefix_size else lists.get(tile.path)
        if target is not None:
            target.small.append(small)
            if wide:
                target.large.append(large)
    if next(lines, b""):
        raise FormatError("the chunk list has surplus lines", offset=chunks.offset, clause="6.2", hint=_HINT)
    for member in manifest.members[:-1]:
        if chunk_root(lists[member.path].small).hex() != member.chunk_root:
            raise FormatError(
                f"chunk list and manifest disagree about {member.path}", offset=chunks.offset, clause="6.3", hint=_HINT
            )
    return lists, prefix


def _unhex(text: bytes) -> bytes:
    """The digest in ``text``; nothing if it is no hex, which no line can match."""
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


def _lines(source: ByteSource, chunks: Member) -> Iterator[bytes]:
    """Lines of the chunk list with their line feed. Its digest is checked first: no line is used before it is known."""
    digest = hashlib.sha256()
    for at in range(0, chunks.size, _TEXT):
        digest.update(source.read_at(chunks.offset + at, min(_TEXT, chunks.size - at)))
    if digest.hexdigest() != chunks.sha256:
        raise FormatError(
            "the chunk list is damaged: it has another digest than the manifest names; its digests cannot be reused",
            offset=chunks.offset,
            clause="LF4003",
            hint=_HINT,
        )
    rest = b""
    for at in range(0, chunks.size, _TEXT):
        *whole, rest = (rest + source.read_at(chunks.offset + at, min(_TEXT, chunks.size - at))).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
