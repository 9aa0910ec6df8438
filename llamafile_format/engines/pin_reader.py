"""Read ``runtime.yaml`` strictly: no field unknown, none missing, none of another kind (spec/1, 14.5.2)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from llamafile_format.bounded_yaml import parse_yaml
from llamafile_format.engines.pin import (
    FORMAT,
    Build,
    Flavour,
    FlavourRecipe,
    Input,
    Kind,
    Library,
    Licence,
    Own,
    Page,
    PageRecipe,
    Pin,
    Recipe,
    ShaderRecipe,
    Target,
    Upstream,
    Variant,
)
from llamafile_format.errors import FormatError
from llamafile_format.strict_fields import Fields

CLAUSE = "14.5"
MAX_PIN = 1 << 20
"""Bytes of a pin that is read."""

WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?"
TARGET = r"[a-z0-9]+-[a-z0-9_]+"
WHEEL = r"[A-Za-z0-9][A-Za-z0-9._+]*(?:-[A-Za-z0-9][A-Za-z0-9._+]*){4}\.whl"
"""The file name of a wheel: distribution, version, and the tags of Python, its interface and the platform."""


def load_pin(path: Path) -> Pin:
    """The pin at ``path``, a ``runtime.yaml`` or its folder. Raises FormatError that names the field at fault."""
    file = path / "runtime.yaml" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{file} is not UTF-8", offset=error.start, clause="14.5") from error
    return read_pin(text, file)


def read_pin(text: str | bytes, path: Path) -> Pin:
    """The pin that ``text`` holds; ``path`` is the file it came from. Raises FormatError that names the field."""
    value, reason = parse_yaml(text.encode("utf-8") if isinstance(text, str) else text, MAX_PIN)
    if reason:
        raise FormatError(f"{path} is not plain YAML: {reason}", clause=CLAUSE)
    try:
        with Fields(value, "", CLAUSE) as fields:
            pin = _pin(fields, path.parent)
        _agree(pin)
    except FormatError as error:
        error.message = f"{path}: {error.message}"
        raise
    return pin


def _pin(fields: Fields, folder: Path) -> Pin:
    found = fields.text("format")
    if found != FORMAT:
        raise fields.wrong("format", found, FORMAT)
    kind = _kind(fields)
    return Pin(
        kind=kind,
        formats=fields.texts("formats"),
        libraries=fields.many("libraries", _LIBRARY[kind]) if fields.has("libraries") else (),
        name=fields.text("name", pattern=WORD),
        version=fields.text("version", pattern=WORD),
        title=fields.text("title"),
        logits_as=fields.texts("logits_as"),
        folder=folder,
        upstream=fields.one("upstream", _UPSTREAM[kind]),
        inputs=fields.many("inputs", _input),
        own=fields.many("own", _own),
        recipe=fields.one("recipe", _recipe),
        page=fields.optional("page", _page_recipe),
        shader_recipe=fields.optional("shader_recipe", _shader_recipe),
        flavours={_flavour(fields, name): value for name, value in fields.keyed("flavours", _of_flavour).items()},
        targets=fields.many("targets", _target),
        builds=fields.many("builds", _build),
        webui=fields.optional("webui", _page),
        shaders=fields.optional("shaders", _page),
        licences=fields.many("licences", _licence),
        type_registry=fields.text("type_registry", pattern=WORD),
        tensor_types=frozenset(fields.numbers("tensor_types")),
        architectures=frozenset(fields.texts("architectures")),
    )


def _upstream(fields: Fields) -> Upstream:
    return Upstream(
        url=fields.text("url"),
        commit=fields.text("commit", pattern="[0-9a-f]{40}"),
        release=fields.text("release"),
        folder=fields.text("folder"),
        tree=fields.text("tree", pattern="swh:1:dir:[0-9a-f]{40}"),
    )


def _origin(fields: Fields) -> Upstream:
    """Of what others built only its own words say where it comes from (14.9.2)."""
    return Upstream(
        url=fields.text("url"), commit=fields.text("commit", pattern="[0-9a-f]{7,40}"), release=fields.text("release")
    )


def _published(fields: Fields) -> Upstream:
    """Of wheels, which name no commit (14.10.2)."""
    return Upstream(url=fields.text("url"), commit="", release=fields.text("release"))


def _kind(fields: Fields) -> Kind:
    name = fields.text("kind", Kind.BUILT.value)
    if name not in tuple(Kind):
        raise fields.wrong("kind", name, " or ".join(Kind))
    return Kind(name)


def _library(fields: Fields) -> Library:
    return Library(
        target=fields.text("target", pattern=TARGET),
        name=fields.text("name", pattern=WORD),
        input=fields.text("input", pattern=WORD),
        member=fields.text("member"),
        sha256=fields.digest("sha256"),
        size=fields.number("size"),
    )


def _wheel(fields: Fields) -> Library:
    return Library(
        target=fields.text("target", pattern=TARGET),
        name=fields.text("name", pattern=WHEEL),
        input=fields.text("input", pattern=WORD),
        member="",
        sha256=fields.digest("sha256"),
        size=fields.number("size"),
    )


_UPSTREAM = {Kind.BUILT: _upstream, Kind.NATIVE_LIBRARY: _origin, Kind.PYTHON_WHEELS: _published}
_LIBRARY = {Kind.BUILT: _library, Kind.NATIVE_LIBRARY: _library, Kind.PYTHON_WHEELS: _wheel}


def _input(fields: Fields) -> Input:
    return Input(
        id=fields.text("id", pattern=WORD),
        name=fields.text("name", pattern=WORD),
        version=fields.text("version", pattern=WORD),
        file=fields.text("file", pattern=r"[^/\\]+"),
        sha256=fields.digest("sha256"),
        size=fields.number("size"),
        parts=fields.texts("parts"),
        swhid=fields.text("swhid", "", pattern="swh:1:cnt:[0-9a-f]{40}"),
        urls=fields.texts("urls"),
    )


def _own(fields: Fields) -> Own:
    return Own(
        id=fields.text("id", pattern=WORD),
        path=fields.text("path"),
        swhid=fields.text("swhid", pattern="swh:1:(?:dir|cnt):[0-9a-f]{40}"),
    )


def _recipe(fields: Fields) -> Recipe:
    return Recipe(
        version=fields.number("version"),
        host=fields.text("host", pattern=TARGET),
        uses=fields.texts("uses"),
        project=fields.text("project"),
        goal=fields.text("goal"),
        tools=fields.table("tools"),
        definitions=fields.table("definitions"),
        toolchain=fields.table("toolchain"),
        flags=fields.texts("flags"),
        link=fields.texts("link"),
    )


def _page_recipe(fields: Fields) -> PageRecipe:
    return PageRecipe(
        uses=fields.texts("uses"),
        source=fields.text("source"),
        lock=fields.digest("lock"),
        own=fields.text("own"),
        node=fields.text("node"),
        npm=fields.text("npm"),
        environment=fields.table("environment"),
    )


def _shader_recipe(fields: Fields) -> ShaderRecipe:
    return ShaderRecipe(
        uses=fields.texts("uses"),
        source=fields.text("source"),
        compiler=fields.texts("compiler"),
        glslc=fields.texts("glslc"),
        features=fields.texts("features"),
    )


def _of_flavour(fields: Fields) -> FlavourRecipe:
    return FlavourRecipe(
        uses=fields.texts("uses"),
        processor=fields.text("processor", ""),
        functions=fields.texts("functions"),
        definitions=fields.table("definitions"),
        flags=fields.texts("flags"),
    )


def _target(fields: Fields) -> Target:
    return Target(
        name=fields.text("name", pattern=TARGET),
        zig=fields.text("zig"),
        system=fields.text("system"),
        processor=fields.text("processor"),
        result=fields.text("result"),
        flavours=tuple(_flavour(fields, name) for name in fields.texts("flavours")),
        flags=fields.texts("flags"),
        link=fields.texts("link"),
        toolchain=fields.table("toolchain"),
        imports=fields.texts("imports"),
        loader=fields.text("loader", ""),
        minimum=fields.text("minimum", ""),
        tested=fields.text("tested", ""),
        variants=_variants(fields) if fields.has("variants") else {},
        gpu_in=_flavour(fields, fields.text("gpu_in")) if fields.has("gpu_in") else None,
    )


def _variants(fields: Fields) -> dict[Flavour, Variant]:
    return {_flavour(fields, name): value for name, value in fields.keyed("variants", _variant).items()}


def _variant(fields: Fields) -> Variant:
    return Variant(
        zig=fields.text("zig"),
        imports=fields.texts("imports"),
        loader=fields.text("loader", ""),
        minimum=fields.text("minimum", ""),
        tested=fields.text("tested", ""),
    )


def _build(fields: Fields) -> Build:
    return Build(
        target=fields.text("target", pattern=TARGET),
        flavour=_flavour(fields, fields.text("flavour")),
        sha256=fields.digest("sha256"),
        size=fields.number("size"),
        file=_inside(fields, "file"),
    )


def _page(fields: Fields) -> Page:
    return Page(
        sha256=fields.digest("sha256"),
        size=fields.number("size"),
        file=_inside(fields, "file"),
        reproducible=fields.flag("reproducible"),
    )


def _licence(fields: Fields) -> Licence:
    return Licence(
        component=fields.text("component"),
        spdx=fields.text("spdx"),
        text=_inside(fields, "text"),
        targets=fields.texts("targets"),
    )


def _flavour(fields: Fields, name: str) -> Flavour:
    if name not in tuple(Flavour):
        raise fields.wrong("flavour", name, " or ".join(Flavour))
    return Flavour(name)


def _inside(fields: Fields, name: str) -> str:
    """A path that does not leave the pin's folder."""
    value = fields.text(name)
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise fields.wrong(name, value, "a path inside the pin's folder")
    return value


def _agree(pin: Pin) -> None:
    """What one field says of another holds: every build has its target, no name comes twice."""
    for kind, names in (
        ("inputs", [source.id for source in pin.inputs] + [own.id for own in pin.own]),
        ("targets", [target.name for target in pin.targets]),
        ("builds", [f"{build.flavour}/{build.target}" for build in pin.builds]),
        ("libraries", [library.path for library in pin.libraries]),
        ("logits_as", list(pin.logits_as)),
    ):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise FormatError(f"{kind} names {twice[0]} twice", clause=CLAUSE)
    for build in pin.builds:
        target = pin.target(build.target)
        if target is None or build.flavour not in target.flavours:
            raise FormatError(f"builds has {build.flavour}/{build.target}, which targets does not", clause=CLAUSE)
    for target in pin.targets:
        for zig in (target.zig, *(variant.zig for variant in target.variants.values())):
            if not _names(zig, target.name):
                raise FormatError(f"targets has {target.name} with the compiler's {zig}, another", clause="14.5.9")
        if lost := sorted(set(target.variants) - set(target.flavours)):
            raise FormatError(f"targets has {target.name} with a variant {lost[0]}, not a flavour", clause="14.5.9")
        if target.gpu_in and (target.gpu_in not in target.flavours or Flavour.GPU in target.flavours):
            raise FormatError(
                f"targets has {target.name} with gpu_in {target.gpu_in}, which cannot be", clause="14.5.9"
            )
    _agree_on_libraries(pin)
    for version in pin.logits_as:
        if version == pin.version or re.fullmatch(WORD, version) is None:
            raise FormatError(f"logits_as has {version!r}, which is no other version", clause="14.5.13")


def _agree_on_libraries(pin: Pin) -> None:
    """Libraries go with the kind of pin that loads them, come out of its inputs, and are there for every build."""
    if (pin.kind is not Kind.BUILT) != bool(pin.libraries):
        raise FormatError(f"the pin is of kind {pin.kind} and has {len(pin.libraries)} libraries", clause="14.9.2")
    inputs = {source.id for source in pin.inputs}
    for library in pin.libraries:
        if pin.target(library.target) is None or library.input not in inputs:
            raise FormatError(
                f"libraries has {library.path} of the input {library.input}, and no such target or input is there",
                clause="14.9.2",
            )
    whole = {source.id: (source.sha256, source.size) for source in pin.inputs}
    for library in pin.libraries if pin.kind is Kind.PYTHON_WHEELS else ():
        if (library.sha256, library.size) != whole[library.input]:
            raise FormatError(f"libraries has {library.path}, and its input is another file", clause="14.10.2")
    for build in pin.builds if pin.libraries else ():
        if not pin.libraries_for(build.target):
            raise FormatError(f"builds has {build.target}, and libraries nothing for it", clause="14.9.2")


def _names(zig: str, target: str) -> bool:
    """Is the compiler's triple ``zig``, such as ``x86_64-linux-gnu.2.17``, one for ``target``?"""
    machine, _, rest = zig.partition("-")
    system = rest.split("-")[0].split(".")[0]
    return target in (f"{system}-{machine}", f"{machine}-{system}")
