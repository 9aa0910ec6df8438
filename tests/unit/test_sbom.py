"""Bills of materials: whole, the same every time, and what other tools' strict validators accept (spec/1, 10.14)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx

import llamafile_format as lf
from llamafile_format.examining import Bill, bill_of
from llamafile_format.reports import cyclonedx_text, spdx_text
from spec.vectors.generate.gguf_builder import STRING, U32, V3, model
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf
from tests.runtime_samples import REAL, use, write_pin

VALIDATORS = {"1.6": JsonStrictValidator(SchemaVersion.V1_6), "1.7": JsonStrictValidator(SchemaVersion.V1_7)}
EVIL = 'x\n\x1b[2J\u202e"<script>'
TEXTS = {
    "general.name": "A model",
    "general.license": "apache-2.0",
    "general.author": EVIL,
    "general.organization": "An organisation",
    "general.description": EVIL,
    "general.url": "https://user:secret@hub.example/a/model?key=secret",
    "general.dataset.0.name": "First set",
    "general.dataset.0.repo_url": "https://hub.example/datasets/first",
    "general.dataset.1.name": EVIL,
    "general.dataset.1.repo_url": "javascript:alert(1)",
    "general.base_model.0.name": "A base",
    "general.base_model.0.repo_url": "https://hub.example/a/base",
    "quantize.imatrix.dataset": "calibration.txt",
    "tokenizer.ggml.model": "no_vocab",
    "tokenizer.chat_template": "{{ messages[0].content }}",
}
SETS = {"First set", "Second set", "calibration.txt"}


def storied() -> bytes:
    """A model whose metadata say where it is from."""
    texts = [V3.entry(key, STRING, value) for key, value in TEXTS.items()]
    counts = [
        V3.entry(key, U32, number) for key, number in (("general.base_model.count", 1), ("general.dataset.count", 2))
    ]
    return model(*texts, *counts, V3.array("general.datasets", STRING, ["Second set"]))


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A pin with tiny builds, and with the licences of the real one."""
    folder = tmp_path_factory.mktemp("runtimes") / "pins"
    licences = yaml.safe_load(REAL.read_text("utf-8"))["licences"]
    place = write_pin(folder, licences=licences)
    for row in licences:
        (place / row["text"]).write_text("a text, for tests\n")
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        yield place / "runtime.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pinned: Path) -> Path:
    """A container with builds of two flavours, a licence and that model."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.gguf").write_bytes(storied())
    (folder / "LICENSE.txt").write_text("a licence")
    out = folder / "m.llamafile"
    lf.pack(
        [folder / "m.gguf", folder / "LICENSE.txt"],
        out,
        license="Apache-2.0",
        flavour="all",
        created="2026-01-02T03:04:05Z",
        force=True,
    )
    return out


def cyclone(what: Any, version: str = "1.6") -> dict[str, Any]:
    text = cyclonedx_text(bill_of(what), version)
    assert text.isascii()
    error = VALIDATORS[version].validate_str(text)
    assert error is None, error
    value: dict[str, Any] = json.loads(text)
    return value


def graph(what: Any) -> list[dict[str, Any]]:
    """The elements, after SPDX's own model has read them, found every name, and written them again."""
    text = spdx_text(what if isinstance(what, Bill) else bill_of(what))
    assert text.isascii()
    objects = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().read(io.BytesIO(text.encode()), objects)
    assert objects.link() == set()
    spdx.JSONLDSerializer().write(objects, io.BytesIO())  # refuses what lacks a field
    elements: list[dict[str, Any]] = json.loads(text)["@graph"]
    return elements


@pytest.mark.parametrize("version", VALIDATORS)
def test_cyclonedx_holds_everything(version: str, made: Path, pinned: Path) -> None:
    value = cyclone(made, version)
    components = value["components"]
    members = lf.inspect(made).members
    hashes = {each["content"] for component in components for each in component.get("hashes", ())}
    assert {member.sha256 for member in members if member.sha256} <= hashes
    builds = {member.path for member in members if member.role == "runtime"}
    assert len(builds) == 5
    paths = {told["value"] for component in components for told in component.get("properties", ())}
    assert builds <= paths
    pin = yaml.safe_load(pinned.read_text("utf-8"))
    libraries = [component for component in components if component["type"] == "library"]
    assert len(libraries) == len(pin["licences"])
    assert {each["licenses"][0]["expression"] for each in libraries} == {row["spdx"] for row in pin["licences"]}
    assert {component["name"] for component in components if component["type"] == "data"} >= SETS
    (found,) = [component for component in components if component["type"] == "machine-learning-model"]
    card = found["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == "llama"
    assert len(card["modelParameters"]["datasets"]) == 4
    assert any("chat_template.sha256" in told["name"] for told in card["properties"])
    assert found["licenses"] == [{"expression": "Apache-2.0"}]
    assert found["pedigree"]["ancestors"][0]["name"] == "A base"


def test_the_judges_can_say_no(made: Path) -> None:
    value = cyclone(made)
    next(c for c in value["components"] if "modelCard" in c)["modelCard"]["made-up"] = 1
    assert VALIDATORS["1.6"].validate_str(json.dumps(value)) is not None
    broken = json.loads(spdx_text(bill_of(made)))
    next(each for each in broken["@graph"] if each["type"] == "ai_AIPackage")["made_up"] = 1
    with pytest.raises(Exception, match="made_up"):
        spdx.JSONLDDeserializer().deserialize_data(broken, spdx.SHACLObjectSet())


def test_builds_need_what_is_inside_them(made: Path) -> None:
    value = cyclone(made)
    names = {component["bom-ref"]: component for component in value["components"]}
    needs = {row["ref"]: row["dependsOn"] for row in value["dependencies"]}
    assert {ref for row in needs.values() for ref in row} <= set(names)

    def inside(flavour: str, target: str) -> set[str]:
        (ref,) = [r for r, c in names.items() if c["name"] == f"llama.cpp for {target}, {flavour}"]
        return {names[need]["name"] for need in needs[ref]}

    assert {"llama.cpp", "stb_image"} <= inside("native", "linux-x86_64")
    assert "stb_image" not in inside("reference", "linux-x86_64")
    assert "wasi-libc" in inside("reference", "wasm32-wasi") - inside("native", "windows-x86_64")


def test_spdx_holds_everything(made: Path) -> None:
    elements = graph(made)
    hashes = {each["hashValue"] for element in elements for each in element.get("verifiedUsing", ())}
    assert {member.sha256 for member in lf.inspect(made).members if member.sha256} <= hashes
    names = {element["spdxId"]: element for element in elements if "spdxId" in element}
    sets = {each["name"] for each in elements if each["type"] == "dataset_DatasetPackage"}
    assert sets >= SETS
    relations = [element for element in elements if element["type"] == "Relationship"]
    trained = [names[to]["name"] for each in relations if each["relationshipType"] == "trainedOn" for to in each["to"]]
    assert "First set" in trained
    assert "calibration.txt" not in trained
    linked = [each for each in relations if each["relationshipType"] == "hasStaticLink"]
    assert len(linked) == 5
    models = [each for each in elements if each["type"] == "ai_AIPackage"]
    assert [each["name"] for each in models] == ["A model", "A base"]
    assert models[0]["releaseTime"] == "2026-01-02T03:04:05Z"
    assert {each["created"] for each in elements if each["type"] == "CreationInfo"} == {"2026-01-02T03:04:05Z"}


def test_the_same_file_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    moved = tmp_path / "m.llamafile"
    moved.write_bytes(made.read_bytes())
    for render in (cyclonedx_text, spdx_text):
        assert render(bill_of(made)) == render(bill_of(moved)) == render(bill_of(made.read_bytes()))


def test_nothing_secret_and_nothing_that_steers(made: Path) -> None:
    for text in (cyclonedx_text(bill_of(made)), spdx_text(bill_of(made))):
        assert "secret" not in text
        assert "hub.example/a/model" in text
        strings = list(_strings(json.loads(text)))
        assert all(string.isprintable() for string in strings)
        assert not any(string.startswith("javascript:") for string in strings)


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def test_a_bare_model_and_a_legacy_file(tmp_path: Path) -> None:
    from spec.vectors.generate.load import read_vector

    bare = tmp_path / "m.gguf"
    bare.write_bytes(storied())
    vectors = Path(__file__).resolve().parents[2] / "spec/vectors/legacy"
    legacy = [v for p in sorted(vectors.glob("good*.vector")) if (v := read_vector(p))]
    for what in (bare, tiny_gguf(), *(vector.payload for vector in legacy)):
        try:
            lf.inspect(what)
        except lf.LlamafileError:
            continue
        assert cyclone(what)["components"]
        assert graph(what)


def test_the_command(tmp_path: Path, made: Path, run_cli: CliRunner) -> None:
    assert json.loads(run_cli("sbom", made).stdout)["specVersion"] == "1.6"
    assert json.loads(run_cli("sbom", made, "--spec-version", "1.7").stdout)["specVersion"] == "1.7"
    assert "@graph" in json.loads(run_cli("sbom", made, "--format", "spdx").stdout)
    assert run_cli("sbom", made, "--format", "spdx", "--spec-version", "1.7").returncode == 2
    bad = tmp_path / "bad.llamafile"
    bad.write_bytes(small_container(tmp_path).read_bytes() + b"\0")
    refused = run_cli("sbom", bad)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "LF2011" in refused.stderr
    (tmp_path / "none").write_text("hello")
    assert run_cli("sbom", tmp_path / "none").returncode == 3
    assert run_cli("sbom", tmp_path / "absent").returncode == 4
