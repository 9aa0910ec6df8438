"""Name the engine in a prefix: family and version, read off its bytes (spec/1, 3.6). It is never executed.

Engines print their version from a literal such as ``llamafile v0.9.3`` that stands uncompressed in the image. It is
searched for in windows of 1 MiB with overlap, up to a budget; member names and the loader's version narrow the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from llamafile_format.source.base import ByteSource
from llamafile_format.specdata import spec_yaml

Version = tuple[int, int, int]

WINDOW = 1 << 20
OVERLAP = 64
BUDGET = 64 << 20  # engines without GPU modules have 5 to 60 MB; modules stand behind the executable part
FAMILIES = (
    "llamafile",
    "llamafiler",
    "llamafile-server",
    "llamafile-main",
    "whisperfile",
    "sdfile",
    "diffusionfile",
    "transcribefile",
    "agentfile",
    "localscore",
)
_NEEDLES = (b"file v", b"filer v", b"localscore v", b"-server v", b"-main v")
_LITERAL = re.compile(
    rb"(?<![\w-])("
    + b"|".join(name.encode() for name in FAMILIES)
    + rb") v(\d{1,3})\.(\d{1,3})\.(\d{1,3})(-dev)?(?!\d)"
)
_COSMOPOLITAN = re.compile(rb"Cosmopolitan (\d{1,2}\.\d{1,2}\.\d{1,2})\0")

# Members that exist only before or only since a release (fact: upstream's build files at the tags).
_SINCE: tuple[tuple[str, Version], ...] = (
    ("ggml-vulkan.so", (0, 10, 0)),
    ("ggml-vulkan.dll", (0, 10, 0)),
    ("llama.cpp/ggml/src/ggml-metal/ggml-metal.metal", (0, 10, 0)),
)
_UNTIL: tuple[tuple[str, Version], ...] = (
    ("llama.cpp/ggml-cuda.cu", (0, 9, 3)),
    ("llama.cpp/ggml-metal.metal", (0, 9, 3)),
    ("llamafile/schema.sql", (0, 9, 3)),
)
# Where upstream's build keeps the files of its engines (3.6.4); other programs have an archive of their own too.
_FOLDERS = ("llama.cpp/", "llamafile/", "whisper.cpp/", "stable-diffusion.cpp/", "ggml-")
_LOADERS: dict[str, tuple[Version | None, Version | None]] = {
    ".ape-1.8": (None, (0, 4, 1)),
    ".ape-1.9": (None, (0, 4, 1)),
    ".ape-1.10": ((0, 5, 0), None),
}


@dataclass(frozen=True, slots=True)
class EngineEvidence:
    """One observation: what was seen, where (absolute offset, or None for a member name), and what it says."""

    what: str
    offset: int | None
    says: str


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine. ``version`` is (major, minor, patch) or None; ``at_least``/``at_most`` bound it from other evidence.

    ``development`` marks a ``-dev`` build. ``complete`` is false if the scan stopped at its budget.
    """

    family: str
    version: Version | None
    evidence: tuple[EngineEvidence, ...]
    at_least: Version | None = None
    at_most: Version | None = None
    development: bool = False
    complete: bool = True

    @property
    def version_text(self) -> str:
        """``0.9.3``, ``0.10.0-dev``, or an empty string."""
        if self.version is None:
            return ""
        return ".".join(map(str, self.version)) + ("-dev" if self.development else "")


@dataclass(frozen=True, slots=True)
class KnownEngine:
    """A released engine in ``spec/registry/engines.yaml``."""

    family: str
    version: str
    variant: str
    sha256: str
    source: str


def identify_engine(
    source: ByteSource,
    start: int,
    end: int,
    *,
    entries: Iterable[str] = (),
    loader_cache: str = "",
    budget: int = BUDGET,
) -> Engine | None:
    """The engine in bytes [start, end) of ``source``; None if nothing says that there is one.

    ``entries`` are member names of the archive, ``loader_cache`` is :attr:`PrefixFacts.loader_cache`.
    At most ``budget`` bytes are read, 1 MiB at a time. SourceError if the source cannot be read.
    """
    end = min(end, source.size)
    stop = min(end, start + budget)
    literals, cosmo = _scan(source, start, stop)
    evidence = [item for item, _, _ in literals]
    engine = Engine("", None, (), complete=stop >= end)
    if literals:
        (family, version, development), _ = Counter(key for _, key, _ in literals).most_common(1)[0]
        engine = replace(engine, family=family, version=version, development=development)
    for low, high, item in _bounds(set(entries), loader_cache, cosmo, certain=bool(literals)):
        evidence.append(item)
        engine = _narrow(engine, low, high)
    if not evidence:
        return None
    return replace(engine, evidence=tuple(evidence))


def is_engine_asset(name: str) -> bool:
    """True if ``name`` is that of a file which engines of llamafiles bring along: other programs have none (9.1.1)."""
    return name.startswith(_FOLDERS)


_Key = tuple[str, Version, bool]


def _scan(source: ByteSource, start: int, stop: int) -> tuple[list[tuple[EngineEvidence, _Key, int]], tuple[str, int]]:
    """All version literals in [start, stop), and the first ``Cosmopolitan A.B.C`` with its offset."""
    found: dict[int, tuple[EngineEvidence, _Key, int]] = {}
    cosmo = ("", 0)
    at = start
    while at < stop:
        data = source.read_at(at, min(WINDOW + OVERLAP, stop - at))
        if any(needle in data for needle in _NEEDLES):  # plain substring search is ten times faster than the pattern
            for match in _LITERAL.finditer(data):
                if len(found) >= 64:  # a file made of such literals must not fill the memory
                    break
                offset = at + match.start()
                family, *numbers = match.group(1, 2, 3, 4)
                key = (family.decode(), (int(numbers[0]), int(numbers[1]), int(numbers[2])), match.group(5) is not None)
                found[offset] = (EngineEvidence(match.group(0).decode(), offset, "version literal"), key, offset)
        toolchain = _COSMOPOLITAN.search(data) if not cosmo[0] and b"Cosmopolitan " in data else None
        if toolchain:
            cosmo = (toolchain.group(1).decode(), at + toolchain.start())
        at += WINDOW
    return list(found.values()), cosmo


_Bound = tuple[Version | None, Version | None, EngineEvidence]


def _bounds(entries: set[str], loader_cache: str, cosmo: tuple[str, int], *, certain: bool) -> list[_Bound]:
    """What else narrows the version. Loader and toolchain alone prove nothing: each Cosmopolitan program has them."""
    found: list[_Bound] = []
    for name, version in _SINCE:
        if name in entries:
            found.append((version, None, EngineEvidence(name, None, f"member known since {_text(version)}")))
    for name, version in _UNTIL:
        if name in entries:
            found.append((None, version, EngineEvidence(name, None, f"member known until {_text(version)}")))
    if not found and not certain:
        return []
    if loader_cache in _LOADERS:
        low, high = _LOADERS[loader_cache]
        found.append((low, high, EngineEvidence(loader_cache, None, "loader version")))
    if cosmo[0]:
        releases = [_version(row["version"]) for row in _registry()["releases"] if str(row["cosmocc"]) == cosmo[0]]
        if releases:
            says = f"cosmocc {cosmo[0]}, used for {_text(min(releases))} to {_text(max(releases))}"
            found.append((min(releases), None, EngineEvidence(f"Cosmopolitan {cosmo[0]}", cosmo[1], says)))
    return found


def _narrow(engine: Engine, low: Version | None, high: Version | None) -> Engine:
    at_least = max(filter(None, (engine.at_least, low)), default=None)
    at_most = min(filter(None, (engine.at_most, high)), default=None)
    return replace(engine, family=engine.family or "llamafile", at_least=at_least, at_most=at_most)


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _version(text: str) -> Version:
    major, minor, patch = (*map(int, text.split(".")), 0, 0, 0)[:3]
    return major, minor, patch


def _registry() -> dict[str, list[dict[str, str]]]:
    registry: dict[str, list[dict[str, str]]] = spec_yaml("registry/engines.yaml")
    return registry


def known_engine(sha256: str) -> KnownEngine | None:
    """The released engine whose file has this SHA-256 (lower-case hex), or None.

    An untouched release is a byte prefix of each llamafile made from it, so the digest of the engine part without its
    padding is the one to ask for.
    """
    for row in _registry()["digests"]:
        if row["sha256"] == sha256.lower():
            return KnownEngine(row["family"], str(row["version"]), row["variant"], row["sha256"], row["source"])
    return None
