"""The pin of an engine: everything that decides its bytes, by name and digest (spec/1, 14.5).

A pin is data. Nothing about a target, a flag or an input is known to the code that builds from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

FORMAT = "llamafile-runtime/1"


class Flavour(StrEnum):
    """How a build computes: as fast as the processor allows, the same bits everywhere, or on a graphics processor."""

    NATIVE = "native"
    REFERENCE = "reference"
    GPU = "gpu"


class Kind(StrEnum):
    """Where an engine's code comes from: built here from its sources, a library that others built (14.9), or packages
    of Python code that others built (14.10).
    """

    BUILT = "built"
    NATIVE_LIBRARY = "native-library"
    PYTHON_WHEELS = "python-wheels"


@dataclass(frozen=True, slots=True)
class Library:
    """A library that others built: ``member`` of the package that is the input ``input``, for one target.

    ``name`` is what it is called in a container; ``sha256`` and ``size`` (bytes) are the library's own. Without
    ``member`` it is the whole package, a wheel (14.10.2).
    """

    target: str
    name: str
    input: str
    member: str
    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Where it lies in a container, relative to the pin's folder."""
        return f"lib/{self.target}/{self.name}"

    @property
    def line(self) -> str:
        """What a program that loads it says of it (14.9.3)."""
        return f"{self.sha256} {self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class Build:
    """A program that the pin reaches. ``size`` in bytes and ``sha256`` are those of the decompressed program.

    ``file`` is where it lies compressed, relative to the pin's folder.
    """

    target: str
    flavour: Flavour
    sha256: str
    size: int
    file: str


@dataclass(frozen=True, slots=True)
class Page:
    """The chat page, an archive that is carried once. Sizes and digests are those of the decompressed archive."""

    sha256: str
    size: int
    file: str
    reproducible: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """A file that a build starts from, as a package index serves it. ``size`` in bytes."""

    id: str
    name: str
    version: str
    file: str
    sha256: str
    size: int
    parts: tuple[str, ...] = ()
    """Paths inside the archive that are needed; the whole archive if empty."""
    swhid: str = ""
    urls: tuple[str, ...] = ()
    """Addresses that serve it, where no package index does."""


@dataclass(frozen=True, slots=True)
class Own:
    """A file or folder of ours that goes into a build; ``path`` is relative to the pin's folder."""

    id: str
    path: str
    swhid: str


@dataclass(frozen=True, slots=True)
class Licence:
    """The licence of something that is in a build; ``text`` is a file relative to the pin's folder."""

    component: str
    spdx: str
    text: str
    targets: tuple[str, ...] = ()
    """Targets whose builds contain it; all of them if empty."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build: what :mod:`llamafile_format.engines.build` fills in and runs. ``uses`` names inputs and our own.

    Strings may hold ``{ID}`` of an input or of something of ours (the folder or file it was put at), ``{work}``,
    ``{toolchain}``, ``{target}``, ``{flavour}`` and ``{version}``.
    """

    version: int
    host: str
    uses: tuple[str, ...]
    project: str
    tools: Mapping[str, str]
    definitions: Mapping[str, str]
    toolchain: Mapping[str, str]
    flags: tuple[str, ...]
    link: tuple[str, ...]
    goal: str


@dataclass(frozen=True, slots=True)
class PageRecipe:
    """How the chat page is built: from upstream's folder ``source`` and our own folder ``own``.

    ``lock`` is the SHA-256 of upstream's ``package-lock.json``, which names every package by digest.
    """

    uses: tuple[str, ...]
    source: str
    lock: str
    own: str
    node: str
    npm: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ShaderRecipe:
    """How the shaders of graphics processors are compiled: from upstream's folder ``source``, once for every target.

    ``compiler`` are the words of a command that compiles upstream's generator for the building machine, ``glslc``
    those of the one that compiles shaders; ``features`` are upstream's names of what the latter understands.
    """

    uses: tuple[str, ...]
    source: str
    compiler: tuple[str, ...]
    glslc: tuple[str, ...]
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlavourRecipe:
    """What one flavour adds to the recipe; ``processor`` replaces the target's where it is not empty.

    ``functions`` are those that its programs must not take from the system; ``uses`` names more inputs, and ``shaders``
    for the pin's own.
    """

    uses: tuple[str, ...] = ()
    processor: str = ""
    functions: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different in the builds of one flavour for a target: each of these takes the place of the target's."""

    zig: str
    imports: tuple[str, ...] = ()
    loader: str = ""
    minimum: str = ""
    tested: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A system and processor to build for, and what its programs may need from the system.

    ``imports`` are patterns of library names, ``loader`` is the program that loads them, ``minimum`` the oldest
    release of the system, or of glibc, ``tested`` what the programs have been run on; all but the first may be empty.
    """

    name: str
    zig: str
    system: str
    processor: str
    result: str
    flavours: tuple[Flavour, ...]
    flags: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    toolchain: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    loader: str = ""
    minimum: str = ""
    tested: str = ""
    variants: Mapping[Flavour, Variant] = field(default_factory=dict)
    gpu_in: Flavour | None = None
    """The flavour whose builds take in what ``gpu`` adds to the recipe: one program uses both (14.5.9)."""

    def recipes(self, flavour: Flavour) -> tuple[Flavour, ...]:
        """The flavours whose recipes a build of ``flavour`` is made by."""
        return (flavour, Flavour.GPU) if flavour is self.gpu_in else (flavour,)

    def of(self, flavour: Flavour) -> Target:
        """The target as builds of ``flavour`` see it."""
        other = self.variants.get(flavour)
        if other is None:
            return self
        return replace(
            self,
            zig=other.zig,
            imports=other.imports,
            loader=other.loader,
            minimum=other.minimum,
            tested=other.tested,
        )


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the engine's sources come from, and their identity outside of this repository.

    ``tree`` is the SWHID of ``folder``, which is the tree that git keeps for ``commit``. Both are empty where others
    built.
    """

    url: str
    commit: str
    release: str
    folder: str = ""
    tree: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned engine. ``folder`` is where ``runtime.yaml`` lies; everything else is what it says."""

    name: str
    version: str
    title: str
    folder: Path
    upstream: Upstream
    recipe: Recipe
    page: PageRecipe | None
    shader_recipe: ShaderRecipe | None
    flavours: Mapping[Flavour, FlavourRecipe]
    inputs: tuple[Input, ...]
    own: tuple[Own, ...]
    targets: tuple[Target, ...]
    builds: tuple[Build, ...]
    webui: Page | None
    shaders: Page | None
    licences: tuple[Licence, ...]
    architectures: frozenset[str]
    tensor_types: frozenset[int]
    type_registry: str
    logits_as: tuple[str, ...] = ()
    """Versions of this engine whose logits builds of the reference flavour compute, bit for bit (14.5.13)."""

    kind: Kind = Kind.BUILT
    formats: tuple[str, ...] = ()
    """Media types of weights other than GGUF that the engine reads (14.9.2)."""
    libraries: tuple[Library, ...] = ()

    def libraries_for(self, target: str) -> tuple[Library, ...]:
        """The libraries that the program for ``target`` loads, in that order."""
        return tuple(library for library in self.libraries if library.target == target)

    def uses_gpu(self, build: Build) -> bool:
        """Whether ``build`` itself uses graphics processors."""
        target = self.target(build.target)
        return Flavour.GPU in (target.recipes(build.flavour) if target else (build.flavour,))

    @property
    def reads_gguf(self) -> bool:
        """Does it know architectures of GGUF? An engine for other formats says nothing of one."""
        return bool(self.architectures)

    @property
    def key(self) -> str:
        """Name and version as users write them: ``llama.cpp@0.3.36``."""
        return f"{self.name}@{self.version}"

    @property
    def complete(self) -> bool:
        """Does it name a build for every target (14.5.12)?"""
        there = {build.target for build in self.builds if build.flavour is not Flavour.GPU}
        return {target.name for target in self.targets} <= there

    def build(self, target: str, flavour: Flavour) -> Build | None:
        """The checked-in build for ``target``, if there is one."""
        for build in self.builds:
            if (build.target, build.flavour) == (target, flavour):
                return build
        return None

    def target(self, name: str) -> Target | None:
        """What the pin says about the target ``name``."""
        return next((target for target in self.targets if target.name == name), None)
