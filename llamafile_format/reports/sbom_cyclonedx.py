"""A bill of materials as CycloneDX 1.6 or 1.7, with a model card for each model (spec/1, 10.14).

Components are the models, builds, other members and the prefix of the file, what is inside the builds, and data sets.
The same file gives the same bytes: there is no clock in it, and the serial number follows from the manifest.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from llamafile_format import __version__
from llamafile_format.examining import Bill, DataSet, EngineFacts, Library, MemberView, Model
from llamafile_format.reports.escape import printable
from llamafile_format.reports.sbom_words import address, facts_of, identity_of, name_of_model, spdx_of, title_of
from llamafile_format.weights.facts import BaseModel

VERSIONS = ("1.6", "1.7")
_OURS = "llamafile-format"
_FILE = "file"


def cyclonedx_text(bill: Bill, version: str = VERSIONS[0]) -> str:
    """The document; ASCII, without a line end behind it. ``version`` is one of :data:`VERSIONS`."""
    components = list(_components(bill))
    value = {
        "$schema": f"http://cyclonedx.org/schema/bom-{version}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:{_OURS}:sbom:{identity_of(bill)}')}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": _OURS, "version": __version__}]},
            "component": _whole(bill),
        },
        "components": components,
        "dependencies": list(_dependencies(bill, [component["bom-ref"] for component in components])),
    }
    return json.dumps(value, indent=1)


def _stated(**fields: Any) -> dict[str, Any]:
    """``fields`` without those that say nothing; a name ``bom_ref`` is spelt as the format does."""
    return {name.replace("_", "-"): value for name, value in fields.items() if value not in (None, "", [], {})}


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{_OURS}:{name}", "value": value} for name, value in values.items() if value]


def _licences(text: str | None) -> list[dict[str, Any]]:
    """An expression, or a name where it is none that SPDX knows."""
    if not text:
        return []
    expression = spdx_of(text)
    return [{"expression": expression}] if expression else [{"license": {"name": printable(text)}}]


def _whole(bill: Bill) -> dict[str, Any]:
    file = bill.inspection.file
    told = {
        "kind": file.kind,
        "format": file.version,
        "size": str(file.size),
        "manifest_sha256": file.manifest_sha256,
        "created": printable(file.created),
    }
    source = address(file.source)
    return _stated(
        type="application",
        bom_ref=_FILE,
        name=title_of(bill),
        licenses=_licences(file.license),
        externalReferences=[{"type": "distribution", "url": source}] if source else [],
        properties=_properties(told),
    )


def _components(bill: Bill) -> Iterator[dict[str, Any]]:
    models = {model.at: model for model in bill.models}
    for at, member in enumerate(bill.members):
        if at in models:
            yield _model(bill, models[at], member)
        elif at in bill.builds:
            yield _build(bill, at, member)
        else:
            yield _stated(type="file", name=printable(member.path), **_bytes(at, member))
    if None in models:
        yield _model(bill, models[None], None)
    prefix = bill.inspection.prefix
    if prefix.size:
        yield _prefix(bill)
    yield from (_engine(engine) for engine in bill.engines)
    yield from (_library(at, library) for at, library in enumerate(bill.libraries))
    yield from (_dataset(at, dataset) for at, dataset in enumerate(bill.datasets))


def _bytes(at: int, member: MemberView) -> dict[str, Any]:
    """Reference, digest as recorded, media type and place of the member ``at``."""
    told = {"path": printable(member.path), "role": member.role, "size": str(member.size), "offset": str(member.offset)}
    hashes = [{"alg": "SHA-256", "content": member.sha256}] if member.sha256 else []
    return {"bom_ref": f"member-{at}", "hashes": hashes, "properties": _properties(told)}


def _model(bill: Bill, model: Model, member: MemberView | None) -> dict[str, Any]:
    facts = model.view.facts
    card_of = {dataset: f"dataset-{at}" for at, dataset in enumerate(bill.datasets)}
    parameters = _stated(
        architectureFamily=printable(facts.architecture or ""),
        modelArchitecture=printable(" ".join(filter(None, (facts.architecture, facts.size_label)))),
        datasets=[{"ref": card_of[dataset]} for dataset in model.datasets],
    )
    card = _stated(modelParameters=parameters, properties=_properties(facts_of(model.view)))
    ref = "model" if model.at is None else f"model-{model.at}"
    placed = _bytes(model.at, member) if model.at is not None and member is not None else {}
    site = address(facts.url)
    ancestors = [_ancestor(base) for base in facts.base_models]
    return _stated(
        type="machine-learning-model",
        name=name_of_model(model.view),
        description=printable(facts.description or ""),
        authors=[{"name": printable(facts.author)}] if facts.author else [],
        publisher=printable(facts.organization or ""),
        licenses=_licences(facts.licence),
        externalReferences=[{"type": "website", "url": site}] if site else [],
        pedigree={"ancestors": ancestors} if ancestors else {},
        **{"hashes": [], "properties": [], **placed, "bom_ref": ref},
        modelCard=card,
    )


def _ancestor(base: BaseModel) -> dict[str, Any]:
    site = address(base.url)
    return _stated(
        type="machine-learning-model",
        name=printable(base.name or base.url or "base model"),
        version=printable(base.version or ""),
        publisher=printable(base.organization or ""),
        externalReferences=[{"type": "website", "url": site}] if site else [],
    )


def _build(bill: Bill, at: int, member: MemberView) -> dict[str, Any]:
    name = bill.builds[at]
    placed = _bytes(at, member)
    placed["properties"] += _properties({"target": name.target, "flavour": name.flavour.value})
    return _stated(
        type="application",
        name=f"{name.engine} for {name.target}, {name.flavour.value}",
        version=name.version,
        **placed,
    )


def _prefix(bill: Bill) -> dict[str, Any]:
    prefix = bill.inspection.prefix
    engine = prefix.engine
    told = {"kind": prefix.kind, "size": str(prefix.size), "generation": prefix.generation}
    return _stated(
        type="application" if engine else "file",
        bom_ref="prefix",
        name=printable(engine.family) if engine else "executable prefix",
        version=printable(engine.version) if engine else "",
        hashes=[{"alg": "SHA-256", "content": prefix.sha256}] if prefix.sha256 else [],
        properties=_properties({key: printable(value) for key, value in told.items()}),
    )


def _engine(engine: EngineFacts) -> dict[str, Any]:
    site = address(engine.url)
    return _stated(
        type="application",
        bom_ref=f"engine-{engine.key}",
        name=printable(engine.name),
        version=printable(engine.version),
        description=printable(engine.title),
        externalReferences=[{"type": "vcs", "url": site}] if site else [],
        properties=_properties(
            {"upstream": printable(engine.release), "commit": printable(engine.commit), "swhid": printable(engine.tree)}
        ),
    )


def _library(at: int, library: Library) -> dict[str, Any]:
    return _stated(
        type="library",
        bom_ref=f"library-{at}",
        name=printable(library.name),
        licenses=_licences(library.spdx),
        properties=_properties({"engine": library.engine, "flavour": library.flavour}),
    )


def _dataset(at: int, dataset: DataSet) -> dict[str, Any]:
    site = address(dataset.url)
    return _stated(
        type="data",
        bom_ref=f"dataset-{at}",
        name=printable(dataset.name),
        version=printable(dataset.version),
        publisher=printable(dataset.organization),
        externalReferences=[{"type": "website", "url": site}] if site else [],
        description="calibration of the quantisation" if dataset.calibration else "",
        data=[{"type": "dataset", "name": printable(dataset.name)}],
    )


def _dependencies(bill: Bill, refs: list[str]) -> Iterator[dict[str, Any]]:
    """The file needs its members and prefix, builds what is inside them, models their data sets."""
    datasets = {dataset: f"dataset-{at}" for at, dataset in enumerate(bill.datasets)}
    inside = [ref for ref in refs if ref == "prefix" or ref.partition("-")[0] in ("member", "model")]
    yield {"ref": _FILE, "dependsOn": inside}
    for model in bill.models:
        if model.datasets:
            ref = "model" if model.at is None else f"model-{model.at}"
            yield {"ref": ref, "dependsOn": [datasets[dataset] for dataset in model.datasets]}
    engines = {engine.key for engine in bill.engines}
    for at, name in bill.builds.items():
        libraries = [f"library-{number}" for number, library in enumerate(bill.libraries) if library.is_in(name)]
        yield {
            "ref": f"member-{at}",
            "dependsOn": [*([f"engine-{name.key}"] if name.key in engines else []), *libraries],
        }
