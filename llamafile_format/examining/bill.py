"""What a file is made of, as a bill of materials needs it: models, builds, their insides, data sets (spec/1, 10.14).

    bill = bill_of("model.llamafile")
    [build.path for build in bill.builds]

Weights are not read: digests are those that the manifest records. Texts are as the file has them; escape them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from llamafile_format.container import Kind, Openable
from llamafile_format.engines.embedded import MAX_PIN, read_embedded
from llamafile_format.engines.members import RuntimeName, parse_runtime_path
from llamafile_format.engines.pin import Licence, Pin
from llamafile_format.errors import FormatError
from llamafile_format.examining.inspect import inspect
from llamafile_format.examining.inspection import Inspection, MemberView, ModelView
from llamafile_format.examining.refusal import refuse
from llamafile_format.source import ByteSource, FileSource, open_source

MAX_DATASETS = 256  # of one model
_DATASET = re.compile(r"general\.dataset\.([0-9]{1,4})\.(name|repo_url|version|organization)")
_OF_FLAVOUR = re.compile(r", in the ([a-z]+) flavour\Z")


@dataclass(frozen=True, slots=True)
class Library:
    """Something that is inside builds of ``engine`` (``llama.cpp@0.3.36``), as its pin says."""

    engine: str
    name: str
    spdx: str
    flavour: str
    targets: tuple[str, ...]

    def is_in(self, build: RuntimeName) -> bool:
        """True if ``build`` contains it."""
        return (
            build.key == self.engine
            and self.flavour in ("", build.flavour.value)
            and (not self.targets or build.target in self.targets)
        )


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine ``key`` as its pin in the file tells: where its sources are from, by commit and SWHID."""

    key: str
    name: str
    version: str
    title: str
    release: str
    url: str
    commit: str
    tree: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that the metadata of a model names; empty where they do not say.

    ``calibration``: it was not trained on, but used to measure which weights matter before they were quantised.
    """

    name: str
    url: str = ""
    version: str = ""
    organization: str = ""
    calibration: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A model in the file: ``at`` is the index of its member, None if it is the whole file."""

    at: int | None
    view: ModelView
    datasets: tuple[DataSet, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything that a bill of materials of one file holds. ``builds`` are by the index of their member."""

    inspection: Inspection
    models: tuple[Model, ...]
    builds: Mapping[int, RuntimeName]
    engines: tuple[EngineFacts, ...]
    libraries: tuple[Library, ...]

    @property
    def members(self) -> tuple[MemberView, ...]:
        """The members; indexes count from here."""
        return self.inspection.members

    @property
    def datasets(self) -> tuple[DataSet, ...]:
        """All data sets that any model names, each once, sorted."""
        found = {dataset for model in self.models for dataset in model.datasets}
        return tuple(sorted(found, key=astuple))


def bill_of(what: Openable) -> Bill:
    """The bill of ``what``: a container, a legacy llamafile, or a bare GGUF.

    Raises what :func:`inspect` raises, and FormatError for a file whose structure ``verify`` refuses: nobody can tell
    of what it is made.
    """
    source = open_source(what)
    try:
        return _bill(source)
    finally:
        if source is not what and isinstance(source, FileSource):
            source.close()


def _bill(source: ByteSource) -> Bill:
    inspection = inspect(source, kv=True)
    if inspection.report.kind is not Kind.OTHER:
        refuse(inspection.report, "has no bill of materials")
    builds = {
        at: name
        for at, member in enumerate(inspection.members)
        if member.role == "runtime" and (name := parse_runtime_path(member.path)) is not None
    }
    folders = sorted({(name.engine, name.version) for name in builds.values()})
    pins = [pin for folder in folders if (pin := _pin(source, inspection, *folder)) is not None]
    places = {member.path: at for at, member in enumerate(inspection.members)}
    return Bill(
        inspection=inspection,
        models=tuple(Model(places.get(view.member), view, _datasets(view)) for view in inspection.models),
        builds=builds,
        engines=tuple(_engine(pin) for pin in pins),
        libraries=tuple(_library(pin, licence) for pin in pins for licence in pin.licences),
    )


def _pin(source: ByteSource, inspection: Inspection, engine: str, version: str) -> Pin | None:
    """The pin that the file carries of that engine, None if it carries none that can be read."""
    path = f"runtimes/{engine}/{version}/runtime.yaml"
    member = next((member for member in inspection.members if member.path == path), None)
    if member is None or member.offset < 0 or member.size > MAX_PIN or member.method != "stored":
        return None
    try:
        return read_embedded(source.read_at(member.offset, member.size), path)
    except FormatError:
        return None


def _engine(pin: Pin) -> EngineFacts:
    upstream = pin.upstream
    return EngineFacts(
        key=pin.key,
        name=pin.name,
        version=pin.version,
        title=pin.title,
        release=upstream.release,
        url=upstream.url,
        commit=upstream.commit,
        tree=upstream.tree,
    )


def _library(pin: Pin, licence: Licence) -> Library:
    found = _OF_FLAVOUR.search(licence.component)
    name = licence.component[: found.start()] if found else licence.component
    return Library(pin.key, name, licence.spdx, found[1] if found else "", licence.targets)


def _datasets(view: ModelView) -> tuple[DataSet, ...]:
    """By ``general.dataset.N.*`` and ``general.datasets``, and what an importance matrix was made with."""
    numbered: dict[int, dict[str, str]] = {}
    for row in view.kv or ():
        found = _DATASET.fullmatch(row.key)
        if found and isinstance(row.value, str):
            numbered.setdefault(int(found[1]), {})[found[2]] = row.value
    named = [
        DataSet(
            name=said.get("name") or said.get("repo_url", ""),
            url=said.get("repo_url", ""),
            version=said.get("version", ""),
            organization=said.get("organization", ""),
        )
        for _, said in sorted(numbered.items())
        if said.get("name") or said.get("repo_url")
    ]
    short = [DataSet(name) for name in view.facts.datasets if name]
    matrix = view.facts.imatrix
    calibrated = [DataSet(matrix.dataset, calibration=True)] if matrix and matrix.dataset else []
    return tuple(dict.fromkeys((*named, *short, *calibrated)))[:MAX_DATASETS]
