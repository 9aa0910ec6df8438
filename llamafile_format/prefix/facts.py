"""What reading a prefix tells: its kind, the executables inside, where it ends and by which evidence (spec/1, 3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from llamafile_format.findings import Finding
from llamafile_format.source.base import ByteSource


class PrefixKind(Enum):
    """The kinds of spec/1, 3.2."""

    NONE = "none"
    APE = "ape"
    LAUNCHER = "launcher"
    ELF = "elf"
    PE = "pe"
    MACHO = "macho"
    SCRIPT = "script"
    OTHER = "other"


class Binary(Enum):
    """Format of a native program inside a prefix."""

    ELF = "elf"
    PE = "pe"
    MACHO = "macho"


class Packing(Enum):
    """How an APE stores a loader."""

    RAW = "raw"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class Evidence:
    """``what`` says that bytes [start, end), absolute offsets, belong to the executable."""

    what: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Executable:
    """A native program: where its header lies (absolute; 0 for a header that the script prints) and its file extent.

    ``systems`` and ``machine`` name what starts it, in the words of spec/1, 3.3.6: ``linux``, ``x86_64`` and so on.
    ``printed`` is true for an ELF header that exists only as octal text in the script.
    """

    format: Binary
    systems: tuple[str, ...]
    machine: str
    offset: int
    size: int
    printed: bool = False


@dataclass(frozen=True, slots=True)
class Loader:
    """A loader that the script extracts: [offset, offset+size), absolute; ``source`` if it is C text to compile."""

    offset: int
    size: int
    packing: Packing
    machine: str
    source: bool = False


@dataclass(frozen=True, slots=True)
class Notes:
    """ELF notes of an APE. ``ape`` is the loader version such as ``1.10``, empty where there is no note."""

    ape: str = ""
    openbsd: bool = False
    netbsd: bool = False


@dataclass(frozen=True, slots=True)
class PrefixFacts:
    """The answer of :func:`llamafile_format.prefix.identify.identify`. All offsets are absolute.

    ``end`` is the computed end of the executable part, None where the bytes do not tell (scripts, unknown kinds);
    it may lie behind the first ZIP record, because old engines carry their ZIP inside the image (3.5.4).
    ``generation`` is one of the words of 3.3.2 for an APE, the form of a converted launcher (3.2.5), empty otherwise.
    ``printed`` holds the decoded ELF headers (64 bytes each) that the script prints. ``runs_on`` lists (system,
    machine) pairs that the bytes provide for.
    """

    kind: PrefixKind
    generation: str = ""
    end: int | None = None
    evidence: tuple[Evidence, ...] = ()
    executables: tuple[Executable, ...] = ()
    loaders: tuple[Loader, ...] = ()
    notes: Notes = Notes()
    word: str = ""
    loader_cache: str = ""
    interpreter: str = ""
    printed: tuple[bytes, ...] = ()
    certificate: tuple[int, int] | None = None
    claims_launcher: bool = False
    runs_on: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """The bytes [0, ``end``) of ``source`` that may be prefix. Reads outside give None: offsets there are claims."""

    source: ByteSource
    end: int

    def take(self, offset: int, length: int) -> bytes | None:
        """``length`` bytes at ``offset``, or None if they are not all inside the view."""
        if offset < 0 or length < 0 or offset + length > self.end:
            return None
        return self.source.read_at(offset, length)

    def upto(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer, or none, where the view ends."""
        if offset < 0 or offset >= self.end:
            return b""
        return self.source.read_at(offset, min(length, self.end - offset))
