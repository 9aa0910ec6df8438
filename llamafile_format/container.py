"""One file opened for reading: archive, manifest, prefix, weights, byte map, each parsed once and only when asked for.

with llamafile_format.open("model.llamafile") as container:
    for member in container.members:
        print(member.path, member.size)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from types import TracebackType
from typing import IO, TYPE_CHECKING

from llamafile_format.errors import FormatError, LimitExceeded, NotALlamafile, SourceError
from llamafile_format.findings import Finding
from llamafile_format.legacy import LegacySplit, split_legacy
from llamafile_format.manifest.claims import Claims, layout_of
from llamafile_format.manifest.model import MANIFEST_PATH, MAX_MANIFEST, Manifest, Member
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.prefix.impostors import is_frozen
from llamafile_format.prefix.reverted import form_of, revert
from llamafile_format.source import ByteSource, FileSource, Window, open_source
from llamafile_format.source.metered import Metered
from llamafile_format.source.pending import refuse_pending
from llamafile_format.spans import Span
from llamafile_format.zip.attribution import attribute
from llamafile_format.zip.contents import blocks, inflate
from llamafile_format.zip.engine_archive import EngineArchive, engine_records
from llamafile_format.zip.names import is_weights_name
from llamafile_format.zip.reader import Archive, Entry, Generation, find_generations, read_archive
from llamafile_format.zip.records import DEFLATED, STORED
from llamafile_format.zip.writer import MARK

if TYPE_CHECKING:
    from llamafile_format.prefix.bootstrap import Form
    from llamafile_format.prefix.engine import Engine
    from llamafile_format.prefix.facts import PrefixFacts
    from llamafile_format.prefix.impostors import Impostor
    from llamafile_format.weights.facts import ModelFacts
    from llamafile_format.weights.gguf_model import Gguf
    from llamafile_format.weights.onnx_model import Onnx

Openable = str | os.PathLike[str] | bytes | IO[bytes] | ByteSource
"""What can be opened: a path, an open binary file, bytes, or a byte source."""

CUT_OFF = frozenset({"LF1010", "LF1011"})
"""Rules that tell a truncated file from one of another format: exit code 4, not 3 (clause 10.7)."""

MAX_INFLATED = 64 << 20  # clause 9.5: bytes that a deflated member may unpack to in memory
MAX_KEPT_ROWS = 1 << 17  # keys and tensors of weights kept in memory; some 50 MB at worst


class Kind(Enum):
    """What the file turned out to be."""

    CONTAINER = "llamafile 1"
    LEGACY = "legacy llamafile"
    OTHER = "not a llamafile"


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A member as a reader sees it. Offsets are absolute, sizes bytes; ``sha256`` is empty where none is recorded."""

    path: str
    role: str
    media_type: str
    offset: int
    size: int
    alignment: int
    method: int
    stored_size: int
    crc32: int
    sha256: str = ""

    @property
    def stored(self) -> bool:
        """True if the data can be used in place."""
        return self.method == STORED


class Container:
    """A container, or a legacy llamafile, open for reading. Create it with :func:`open_container`."""

    def __init__(self, source: ByteSource, *, owned: bool = False) -> None:
        self.origin = source.origin if isinstance(source, Metered) else source
        self.source = revert(source)  # a converted launcher is read in its unconverted form
        self._owned = owned
        self.archive: Archive = read_archive(source)
        self.manifest_bytes = b""
        self.manifest: Manifest | None = None
        self.manifest_findings: tuple[Finding, ...] = ()
        self._ggufs: dict[int, Gguf] = {}
        self._onnxes: dict[int, Onnx] = {}
        self._read_manifest()

    def _read_manifest(self) -> None:
        entry = self.archive.entry(MANIFEST_PATH)
        if entry is None or not entry.located:
            return
        if entry.size > MAX_MANIFEST:
            self.manifest, findings = None, [Finding("LF3001", args={"size": entry.size, "limit": MAX_MANIFEST})]
        else:
            self.manifest_bytes = self.source.read_at(entry.data_offset, min(entry.size, entry.compressed_size))
            self.manifest, findings = read_manifest(self.manifest_bytes, base=entry.data_offset)
        self.manifest_findings = tuple(findings)

    @property
    def name(self) -> str:
        """Path or label of the source."""
        return self.source.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.source.size

    @property
    def form(self) -> Form:
        """What the first 64 bytes of the file itself are: converted launchers are something else (clause 3.2.5)."""
        return form_of(self.source)

    @cached_property
    def kind(self) -> Kind:
        """Container, legacy llamafile, or neither."""
        if is_frozen(self.source):  # the container inside has an end record of its own (clause 3.7.8)
            return Kind.OTHER
        if self.archive.entry(MANIFEST_PATH) is not None or self.marked:
            return Kind.CONTAINER
        names = [entry.path for entry in self.archive.entries]
        if any(is_weights_name(name) or name == ".args" for name in names):
            return Kind.LEGACY
        from llamafile_format.prefix.engine import is_engine_asset

        program = self.prefix.kind.value in ("ape", "elf", "pe", "macho")
        return Kind.LEGACY if program and any(map(is_engine_asset, names)) else Kind.OTHER

    @cached_property
    def impostor(self) -> Impostor | None:
        """What a file that is neither container nor legacy llamafile is instead, as far as that is known (3.7)."""
        from llamafile_format.prefix.impostors import program_with_archive, recognise

        return recognise(self.source) or program_with_archive(self.prefix, len(self.archive.entries))

    @property
    def marked(self) -> bool:
        """True if the end record carries the format's mark (clause 4.7)."""
        return self.archive.tail is not None and self.archive.tail.comment == MARK

    @cached_property
    def claims(self) -> Claims | None:
        """What determines the structure of a 1.0 container; None for anything else or a manifest beyond use."""
        if self.manifest is None or (where := layout_of(self.manifest)) is None:
            return None
        return Claims(self.manifest, self.manifest_bytes, where, self.engine_records)

    @cached_property
    def engine_records(self) -> tuple[bytes, ...]:
        """Directory records carried over from the prefix, verbatim, re-read from the prefix itself (clause 4.10)."""
        if self.manifest is None or self.manifest.prefix.directory is None:
            return ()
        found = self.engine_directory
        return tuple(self.source.read_at(entry.record_offset, entry.record.length) for entry in found.carried)

    @cached_property
    def engine_directory(self) -> EngineArchive:
        """The engine's own ZIP, read again from the prefix that the manifest describes (clause 4.10)."""
        assert self.manifest is not None
        prefix = self.manifest.prefix
        taken = [member.path for member in self.manifest.members]
        without = prefix.directory.folders_left_out if prefix.directory else ()
        return engine_records(self.source, min(prefix.engine_size, self.size), taken=taken, without=without)

    @cached_property
    def generations(self) -> tuple[Generation, ...]:
        """Stale directories that appending tools left behind (clause 9.4)."""
        return find_generations(self.source, self.archive)

    @cached_property
    def engine_size(self) -> int:
        """Bytes [0, engine_size) that are the engine, without padding."""
        if self.manifest is not None:
            return min(self.manifest.prefix.engine_size, self.size)
        return self.legacy_split.engine_size

    @cached_property
    def legacy_split(self) -> LegacySplit:
        """Engine and user's members of a legacy file (clause 9.3)."""
        return split_legacy(self.archive, self.generations, size=self.size, image_end=self.prefix.end or 0)

    @cached_property
    def prefix(self) -> PrefixFacts:
        """What the bytes in front of the first member are, read and never run (chapter 3)."""
        starts = [entry.header_offset for entry in self.archive.entries if entry.located]
        limit = self.manifest.prefix.size if self.manifest is not None else min(starts, default=self.size)
        if not limit:  # nothing to read, and the readers of executables need not be loaded
            from llamafile_format.prefix.facts import PrefixFacts, PrefixKind

            return PrefixFacts(PrefixKind.NONE, end=0)
        from llamafile_format.prefix.identify import identify

        return identify(self.source, limit=min(limit, self.size))

    @cached_property
    def engine(self) -> Engine | None:
        """Family and version of the engine, read off its bytes. Scans the prefix."""
        from llamafile_format.prefix.engine import identify_engine

        names = [entry.path for entry in self.archive.entries]
        cache = self.prefix.loader_cache
        return identify_engine(self.source, 0, self.engine_size, entries=names, loader_cache=cache)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The byte map: spans that tile [0, size)."""
        archive = self.archive
        if self.manifest is None:
            from dataclasses import replace

            archive = replace(archive, stale=self.generations)
            return attribute(self.source, archive, image_end=self.prefix.end or 0)
        return attribute(self.source, archive, prefix_size=self.manifest.prefix.size)

    @cached_property
    def members(self) -> tuple[MemberFacts, ...]:
        """All members in directory order, engine records first; roles and digests come from the manifest."""
        listed = {member.path: member for member in self.manifest.members} if self.manifest else {}
        return tuple(self._facts(entry, listed.get(entry.path)) for entry in self.archive.entries)

    def _facts(self, entry: Entry, member: Member | None) -> MemberFacts:
        from llamafile_format.manifest.media import legacy_role, media_type

        if member is not None:
            role, kind, alignment, digest = member.role, member.media_type, member.alignment, member.sha256
        else:
            role, alignment, digest = legacy_role(entry.path), 1, ""
            if self.manifest is not None:
                role = _structural_role(entry.path)
            elif entry.index in self._engine_indices:
                role = "engine-asset"
            kind = media_type(entry.path, role)
        return MemberFacts(
            path=entry.path,
            role=role,
            media_type=kind,
            offset=entry.data_offset,
            size=_size_of(entry),
            alignment=alignment,
            method=entry.method,
            stored_size=entry.compressed_size,
            crc32=entry.crc32,
            sha256=digest,
        )

    @cached_property
    def _engine_indices(self) -> frozenset[int]:
        return frozenset(entry.index for entry in self.legacy_split.engine_entries)

    def entry(self, path: str) -> Entry:
        """The directory entry ``path``; KeyError with the names that there are."""
        entry = self.archive.entry(path)
        if entry is None:
            raise KeyError(f"no member {path}; there are: {', '.join(e.path for e in self.archive.entries[:20])}")
        return entry

    def window(self, path: str) -> Window:
        """The data of a stored member as a byte source, in place. KeyError, or FormatError if it is not stored."""
        entry = self.entry(path)
        if not entry.located or entry.method != STORED or entry.size != entry.compressed_size:
            raise FormatError(
                f"{path} cannot be used in place: it is not stored whole", clause="LF2023", offset=entry.header_offset
            )
        return Window(self.source, entry.data_offset, entry.size)

    def gguf(self, member: MemberFacts, *, budget: int | None = None) -> Gguf:
        """The GGUF that a stored member with located data holds; findings come out at their place in this file.

        ``budget`` bounds the bytes of header that are read: a hostile vocabulary can make minutes of work.

        Parsed once and kept, as long as all that are kept have no more than MAX_KEPT_ROWS keys and tensors together.
        What is wrong with the bytes stands in the result's findings; SourceError only.
        """
        from llamafile_format.weights.gguf import read_gguf

        known = self._ggufs.get(member.offset)
        if known is not None and known.size == member.size and not (known.stopped == "budget" and budget is None):
            return known
        window = Window(self.source, member.offset, member.size)
        gguf = read_gguf(window, base=member.offset, member=member.path, budget=budget)
        kept = sum(len(other.entries) + len(other.tensors) for other in self._ggufs.values())
        if kept + len(gguf.entries) + len(gguf.tensors) <= MAX_KEPT_ROWS:
            self._ggufs[member.offset] = gguf
        return gguf

    def onnx(self, member: MemberFacts) -> Onnx:
        """The ONNX model that a stored member with located data holds; the first one is read once, and kept."""
        from llamafile_format.weights.onnx import read_onnx

        known = self._onnxes.get(member.offset)
        if known is None or known.size != member.size:
            window = Window(self.source, member.offset, member.size)
            known = read_onnx(window, base=member.offset, member=member.path)
            if not self._onnxes:
                self._onnxes[member.offset] = known
        return known

    def model(self, path: str) -> ModelFacts:
        """What the GGUF member ``path`` says about itself: architecture, parameters counted, quantisation, context.

        KeyError if there is no such member, FormatError if it is not stored whole.
        """
        from llamafile_format.weights.facts import describe

        self.window(path)
        return describe(self.gguf(next(member for member in self.members if member.path == path)))

    def read(self, path: str) -> bytes:
        """The contents of a member, unpacked. KeyError; LimitExceeded for a deflated one beyond 64 MiB; FormatError."""
        return b"".join(self.stream(path, limit=MAX_INFLATED))

    def stream(self, path: str, *, limit: int | None = None) -> Iterator[bytes]:
        """The contents of a member in blocks of at most 1 MiB, checked against the size in the directory."""
        entry = self.entry(path)
        if not entry.located:
            raise FormatError(f"{path} has no data inside the file", offset=entry.header_offset, clause="LF2016")
        if limit is not None and entry.size > limit and entry.method != STORED:
            raise LimitExceeded(f"{path} is too large to unpack in memory", found=entry.size, allowed=f"{limit}")
        if entry.method == STORED:
            yield from blocks(self.source, entry.data_offset, _size_of(entry))
        elif entry.method == DEFLATED:
            yield from inflate(self.source, entry)
        else:
            raise FormatError(
                f"{path} uses compression method {entry.method}", offset=entry.header_offset, clause="LF2023"
            )

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._owned and isinstance(self.origin, FileSource):
            self.origin.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _structural_role(path: str) -> str:
    if path == MANIFEST_PATH:
        return "manifest"
    return "signature-record" if path.startswith("META-LLAMAFILE/signatures/") else "engine-asset"


def _size_of(entry: Entry) -> int:
    """Bytes of the contents. Of a stored entry with two sizes (LF2024) the bytes that were found count: the other size
    can be that of a file which nobody has."""
    return entry.compressed_size if entry.method == STORED else entry.size


def open_container(what: Openable) -> Container:
    """Open ``what`` for reading.

    Raises NotALlamafile with a plain sentence if it is something else (a plain GGUF, an HTML page, a Git-LFS pointer),
    SourceError if it cannot be read or a change of it was not
    finished (clause 8.5.5). A damaged container opens: its faults are for ``verify`` to tell.
    """
    if isinstance(what, str | os.PathLike):
        refuse_pending(what)
    source = open_source(what)
    owned = source is not what
    container = Container(source, owned=owned)
    if container.kind is Kind.OTHER:
        impostor = container.impostor
        container.close()
        if impostor is not None and impostor.rule in CUT_OFF:
            raise SourceError(f"{source.name}: {impostor.message}", hint=impostor.hint)
        if impostor is None:
            raise NotALlamafile(f"{source.name} is not a llamafile", hint="it has no archive with weights at its end")
        raise NotALlamafile(f"{source.name}: {impostor.message}", hint=impostor.hint)
    return container
