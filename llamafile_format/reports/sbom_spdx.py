"""A bill of materials as SPDX 3.0.1, with the profiles for software, AI and data sets (spec/1, 10.14).

One document of JSON-LD: a graph of elements whose names (IRIs) follow from the manifest, so that the same file gives
the same bytes. SPDX demands moments; that of the file and its models is the one that the manifest declares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llamafile_format import __version__
from llamafile_format.examining import Bill, DataSet, EngineFacts, Library, MemberView, Model
from llamafile_format.reports.escape import printable
from llamafile_format.reports.sbom_words import (
    UNKNOWN,
    address,
    facts_of,
    identity_of,
    name_of_model,
    spdx_of,
    title_of,
)

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_CREATION = "_:creation"
_MOMENT = re.compile(r"[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z")
_MEDIA = re.compile(r"[^/]+/[^/]+")
_PROFILES = ["core", "software", "simpleLicensing", "ai", "dataset"]


def spdx_text(bill: Bill) -> str:
    """The document; ASCII, without a line end behind it."""
    graph = _Graph(f"urn:llamafile-format:sbom:{identity_of(bill)}#", _moment(bill))
    whole = _whole(graph, bill)
    datasets = {dataset: _dataset(graph, at, dataset) for at, dataset in enumerate(bill.datasets)}
    models = {model.at: model for model in bill.models}
    inside = []
    for at, member in enumerate(bill.members):
        model = models.get(at)
        inside.append(_model(graph, model, member, datasets) if model else _member(graph, bill, at, member))
    if None in models:
        inside.append(_model(graph, models[None], None, datasets))
    if bill.inspection.prefix.size:
        inside.append(_prefix(graph, bill))
    graph.relate(whole, "contains", inside)
    _builds(graph, bill)
    return json.dumps({"@context": CONTEXT, "@graph": graph.document(whole, title_of(bill))}, indent=1)


def _moment(bill: Bill) -> str:
    created = bill.inspection.file.created
    return created if _MOMENT.fullmatch(created) else UNKNOWN


@dataclass(slots=True)
class _Graph:
    """Elements in the making. ``base`` begins the names of all of them, ``moment`` is when the file was made."""

    base: str
    moment: str
    elements: list[dict[str, Any]] = field(default_factory=list)
    licences: dict[str, str] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    relations: int = 0

    def add(self, kind: str, local: str, **fields: Any) -> str:
        """An element with what ``fields`` say; its name."""
        name = self.base + local
        stated = {key: value for key, value in fields.items() if value not in (None, "", [])}
        self.elements.append({"type": kind, "spdxId": name, "creationInfo": _CREATION, **stated})
        return name

    def relate(self, source: str, kind: str, targets: Sequence[str]) -> None:
        """That ``source`` has that relation to ``targets``, if there are any."""
        if targets:
            self.relations += 1
            local = f"relation-{self.relations}"
            self.add("Relationship", local, **{"from": source}, relationshipType=kind, to=list(targets))

    def license(self, element: str, text: str | None) -> None:
        """That ``element`` is under the licence ``text``; what is no SPDX expression is left to its comment."""
        expression = spdx_of(text or "")
        if not expression:
            return
        if expression not in self.licences:
            local = f"licence-{len(self.licences)}"
            said = {"simplelicensing_licenseExpression": expression}
            self.licences[expression] = self.add("simplelicensing_LicenseExpression", local, **said)
        self.relate(element, "hasDeclaredLicense", [self.licences[expression]])

    def agent(self, name: str | None) -> str:
        """Whoever is called ``name``; one whom nobody names if that is empty."""
        name = printable(name or "")
        if name not in self.agents:
            comment = "" if name else "The file does not say who."
            local = f"agent-{len(self.agents)}"
            self.agents[name] = self.add("Agent", local, name=name or "NOASSERTION", comment=comment)
        return self.agents[name]

    def document(self, root: str, title: str) -> list[dict[str, Any]]:
        """The whole graph: creation, document, bill, then all elements."""
        maker = self.add("SoftwareAgent", "maker", name=f"llamafile-format {__version__}")
        names = [element["spdxId"] for element in self.elements]
        bill, document = f"{self.base}bill", f"{self.base}document"
        shared = {"creationInfo": _CREATION, "name": title, "profileConformance": _PROFILES, "element": names}
        creation = {
            "type": "CreationInfo",
            "@id": _CREATION,
            "specVersion": "3.0.1",
            "created": self.moment,
            "createdBy": [maker],
        }
        return [
            creation,
            {"type": "SpdxDocument", "spdxId": document, **shared, "rootElement": [bill]},
            {
                "type": "software_Sbom",
                "spdxId": bill,
                **shared,
                "software_sbomType": ["analyzed"],
                "rootElement": [root],
            },
            *self.elements,
        ]


def _comment(licence: str | None, **told: str) -> str:
    """Facts for which SPDX has no field, as one line."""
    said = dict(told)
    if licence and not spdx_of(licence):
        said["licence, in the words of the file"] = printable(licence)
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in said.items() if value)


def _hash(sha256: str) -> list[dict[str, str]]:
    return [{"type": "Hash", "algorithm": "sha256", "hashValue": sha256}] if sha256 else []


def _package(graph: _Graph, purpose: str, *, version: str = "", site: str = "", by: str | None = "") -> dict[str, Any]:
    """What the profiles want to know of every package: by whom, from where, which version, what for."""
    return {
        "software_primaryPurpose": purpose,
        "software_packageVersion": printable(version) or "NOASSERTION",
        "software_downloadLocation": site or "https://spdx.org/rdf/3.0.1/terms/Core/NoAssertionElement",
        "suppliedBy": graph.agent(by),
    }


def _whole(graph: _Graph, bill: Bill) -> str:
    file = bill.inspection.file
    name = graph.add(
        "software_Package",
        "file",
        name=title_of(bill),
        comment=_comment(file.license, kind=file.kind, size=str(file.size), manifest_sha256=file.manifest_sha256),
        releaseTime=graph.moment,
        **_package(graph, "application", site=address(file.source), version=file.manifest_sha256[:16]),
    )
    graph.license(name, file.license)
    return name


def _member(graph: _Graph, bill: Bill, at: int, member: MemberView) -> str:
    build = bill.builds.get(at)
    told = {"target": build.target, "flavour": build.flavour.value} if build else {}
    return graph.add(
        "software_File",
        f"member-{at}",
        name=printable(member.path),
        verifiedUsing=_hash(member.sha256),
        contentType=member.media_type if _MEDIA.fullmatch(member.media_type) else "",
        software_primaryPurpose="executable" if build else "file",
        comment=_comment(None, role=member.role, size=str(member.size), offset=str(member.offset), **told),
    )


def _model(graph: _Graph, model: Model, member: MemberView | None, datasets: dict[DataSet, str]) -> str:
    facts = model.view.facts
    parameters = [
        {"type": "DictionaryEntry", "key": name, "value": value} for name, value in facts_of(model.view).items()
    ]
    name = graph.add(
        "ai_AIPackage",
        "model" if model.at is None else f"model-{model.at}",
        name=name_of_model(model.view),
        description=printable(facts.description or ""),
        verifiedUsing=_hash(member.sha256) if member else [],
        ai_typeOfModel=[printable(facts.architecture)] if facts.architecture else [],
        ai_hyperparameter=parameters,
        comment=_comment(facts.licence, member=printable(member.path) if member else ""),
        releaseTime=graph.moment,
        **_package(graph, "model", site=address(facts.url), by=facts.organization or facts.author),
    )
    graph.license(name, facts.licence)
    graph.relate(name, "trainedOn", [datasets[dataset] for dataset in model.datasets if not dataset.calibration])
    graph.relate(name, "hasInput", [datasets[dataset] for dataset in model.datasets if dataset.calibration])
    bases = [
        graph.add(
            "ai_AIPackage",
            f"{'model' if model.at is None else f'model-{model.at}'}-base-{number}",
            name=printable(base.name or base.url or "base model"),
            releaseTime=UNKNOWN,
            **_package(graph, "model", version=base.version or "", site=address(base.url), by=base.organization),
        )
        for number, base in enumerate(facts.base_models)
    ]
    graph.relate(name, "descendantOf", bases)
    return name


def _dataset(graph: _Graph, at: int, dataset: DataSet) -> str:
    return graph.add(
        "dataset_DatasetPackage",
        f"dataset-{at}",
        name=printable(dataset.name),
        dataset_datasetType=["noAssertion"],
        **_package(graph, "data", version=dataset.version, site=address(dataset.url), by=dataset.organization),
        originatedBy=[graph.agent(dataset.organization)],
        releaseTime=UNKNOWN,
        builtTime=UNKNOWN,
    )


def _prefix(graph: _Graph, bill: Bill) -> str:
    prefix = bill.inspection.prefix
    return graph.add(
        "software_File",
        "prefix",
        name="executable prefix",
        verifiedUsing=_hash(prefix.sha256),
        software_primaryPurpose="executable",
        comment=_comment(
            None,
            kind=printable(prefix.kind),
            size=str(prefix.size),
            engine=printable(f"{prefix.engine.family} {prefix.engine.version}".strip()) if prefix.engine else "",
        ),
    )


def _builds(graph: _Graph, bill: Bill) -> None:
    """What is inside the builds, once each, and which build has which."""
    engines = {engine.key: _engine(graph, engine) for engine in bill.engines}
    libraries = [_library(graph, at, library) for at, library in enumerate(bill.libraries)]
    for at, name in bill.builds.items():
        inside = [libraries[number] for number, library in enumerate(bill.libraries) if library.is_in(name)]
        engine = [engines[name.key]] if name.key in engines else []
        graph.relate(f"{graph.base}member-{at}", "hasStaticLink", [*engine, *inside])


def _engine(graph: _Graph, engine: EngineFacts) -> str:
    return graph.add(
        "software_Package",
        f"engine-{len(graph.elements)}",
        name=printable(engine.name),
        description=printable(engine.title),
        software_sourceInfo=printable(f"{engine.release}, commit {engine.commit}, {engine.tree}"),
        **_package(graph, "application", version=engine.version, site=address(engine.url)),
    )


def _library(graph: _Graph, at: int, library: Library) -> str:
    name = graph.add(
        "software_Package",
        f"library-{at}",
        name=printable(library.name),
        comment=_comment(library.spdx, engine=library.engine, flavour=library.flavour),
        **_package(graph, "library"),
    )
    graph.license(name, library.spdx)
    return name
