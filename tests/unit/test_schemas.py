"""The JSON Schemas agree with what the library writes and with what its reader accepts and refuses."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import llamafile_format
from llamafile_format.container import Container
from llamafile_format.manifest.canonical_json import encode
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.packing.inputs import _RECIPE_FIELDS, RECIPE_FORMAT
from llamafile_format.reports.verify_json import report_json, report_value
from llamafile_format.source import BytesSource
from llamafile_format.specdata import load_yaml, spec_dir
from spec.vectors.generate import ROOT as VECTORS
from spec.vectors.generate.forge import gguf
from spec.vectors.generate.load import Vector, read_vector, vector_files
from tests.unit.test_vectors_container import trust

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "behaviour",
    "explain",
    "gate",
    "inspect",
    "manifest",
    "policy",
    "prompts",
    "recipe",
    "replay",
    "report",
    "runtime",
)
Path_ = tuple[str | int, ...]
Json = dict[str, Any]


@functools.cache
def schema(name: str) -> Json:
    value: Json = json.loads((spec_dir() / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return value


@functools.cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


@functools.cache
def container_vectors() -> list[Vector]:
    return [vector for vector in map(read_vector, vector_files(VECTORS)) if vector.kind == "container"]


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_a_schema(name: str) -> None:
    value = schema(name)
    Draft202012Validator.check_schema(value)
    assert value["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert value["$id"] == f"urn:llamafile-format:schema:1.0:{name}"
    assert {path.name for path in (spec_dir() / "schemas").iterdir()} == {f"{name}.schema.json" for name in NAMES}


# What the library writes


@pytest.fixture(params=["generated", "stories260K.gguf", "llama-2-tiny-random-f16.gguf", "split-00001-of-00002.gguf"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Packs one of the samples with the options given."""
    if request.param == "generated":
        model = tmp_path / "tiny.gguf"
        model.write_bytes(gguf())
    else:
        model = ROOT.parent / "shared" / "data" / "gguf" / request.param
        if not model.is_file():
            pytest.skip(f"no ../shared/data/gguf/{request.param} beside this checkout")

    def pack(**options: Any) -> Path:
        out = tmp_path / "sample.llamafile"
        llamafile_format.pack([model], out, force=True, **{"prefix": "none", **options})
        return out

    return pack


def script(folder: Path) -> Path:
    path = folder / "engine.sh"
    path.write_bytes(b"#!/bin/sh\nexit 0\n")
    return path


@pytest.mark.parametrize("profile", ["default", "archive"])
def test_manifests_that_we_write_are_valid(packed: Callable[..., Path], profile: str, tmp_path: Path) -> None:
    labels = {"name": "A model", "license": "CC0-1.0", "source": "here", "created": "2026-11-20T00:00:00Z"}
    for options in ({}, labels, {"prefix": script(tmp_path)}):
        with llamafile_format.open(packed(profile=profile, **options)) as container:
            value = json.loads(container.manifest_bytes)
        validator("manifest").validate(value)
        unknown = value.keys() - schema("manifest")["properties"].keys()
        assert not unknown, "a field that we write is not in the schema"
        for member in value["members"]:
            assert not member.keys() - schema("manifest")["$defs"]["member"]["properties"].keys()


@pytest.mark.parametrize("level", ["quick", "full", "exhaustive"])
def test_reports_that_we_write_are_valid(packed: Callable[..., Path], level: str) -> None:
    value = report_value(llamafile_format.verify(packed(), level=level))
    validator("report").validate(value)
    assert value.keys() == schema("report")["properties"].keys()


def test_reports_about_every_vector_are_valid() -> None:
    check = validator("report")
    finding_fields = schema("report")["$defs"]["finding"]["properties"].keys()
    for vector in container_vectors():
        text = report_json(llamafile_format.verify(vector.payload, level="full", **trust(vector)))
        assert text.isascii(), vector.name
        value = json.loads(text)
        errors = [error.message for error in check.iter_errors(value)]
        assert not errors, (vector.name, errors[:3])
        assert all(finding.keys() == finding_fields for finding in value["findings"]), vector.name


def test_policies_of_the_vectors_are_valid() -> None:
    check = validator("policy")
    for path in sorted((VECTORS / "trust").glob("*.yaml")):
        value = load_yaml(path.read_text(encoding="utf-8"))
        value = json.loads(json.dumps(value, default=str))  # YAML has dates, JSON their text
        errors = [error.message for error in check.iter_errors(value)]
        assert not errors, (path.name, errors[:3])


def test_report_of_a_source_that_fails_is_valid() -> None:
    class Failing(BytesSource):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            if offset < 512:
                raise llamafile_format.SourceError("medium error")
            super().read_into(offset, buffer)

        def read_at(self, offset: int, length: int) -> bytes:
            if offset < 512:
                raise llamafile_format.SourceError("medium error")
            return super().read_at(offset, length)

    good = next(vector for vector in container_vectors() if vector.name == "chunks/good")
    report = llamafile_format.verify(Failing(good.payload, "broken disk"))
    assert not report.complete
    assert report.exit_code() == 4
    validator("report").validate(report_value(report))


# The schema and the reader agree

DIGEST = "0123456789abcdef" * 4


def sample(profile: str = "default") -> Json:
    """A manifest with every field that the schema has; its offsets mean nothing."""
    second = {"sha512": DIGEST * 2} if profile == "archive" else {}
    member = {"alignment": 1, "chunk_root": DIGEST, "crc32": "00000000", "media_type": "text/plain", "offset": 60}
    member |= {"path": "a.txt", "role": "document", "sha256": DIGEST, "size": 0, **second}
    asset = {"path": "a.so", "role": "engine-asset", "sha256": DIGEST, "size": 1, **second}
    directory = {"offset": 1, "size": 2, "count": 2, "assets": [asset], "dropped": [{"path": "b", "reason": "taken"}]}
    prefix = {"kind": "elf", "size": 65536, "sha256": DIGEST, "engine_size": 4096, "engine_sha256": DIGEST}
    return {
        "format": "llamafile",
        "version": "1.0",
        "profile": profile,
        "created": "2026-11-20T00:00:00Z",
        "name": "A",
        "license": "CC0-1.0",
        "source": "here",
        "default": "a.gguf",
        "critical": ["name"],
        "history": [{"action": "repack", "manifest_sha256": DIGEST, "changes": [{"what": "prefix"}]}],
        "prefix": {**prefix, "directory": directory, "opaque": "no", **second},
        "members": [member, {**member, "path": "META-LLAMAFILE/chunks.txt", "role": "chunks"}],
    }


def reader_accepts(value: Any) -> bool:
    """True if the reader makes a manifest of ``value``."""
    return read_manifest(encode(value))[0] is not None


def schema_accepts(value: Any) -> bool:
    return bool(validator("manifest").is_valid(value))


def objects(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """The places of all objects in ``value``."""
    if isinstance(value, dict):
        yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(item, (*at, key))


def reach(value: Any, at: Path_) -> Any:
    for key in at:
        value = value[key]
    return value


def fields(value: Json) -> list[tuple[Path_, str]]:
    return [(at, key) for at in objects(value) for key in reach(value, at)]


def label(case: tuple[Path_, str]) -> str:
    return ".".join(str(part) for part in (*case[0], case[1]))


HISTORY = "history"
FIELDS = [case for case in fields(sample("archive")) if HISTORY not in case[0]]
REQUIRED = {
    "": schema("manifest")["required"],
    "prefix": schema("manifest")["$defs"]["prefix"]["required"],
    "directory": schema("manifest")["$defs"]["directory"]["required"],
    "members": schema("manifest")["$defs"]["member"]["required"],
    "assets": schema("manifest")["$defs"]["directory"]["properties"]["assets"]["items"]["required"],
    "dropped": schema("manifest")["$defs"]["directory"]["properties"]["dropped"]["items"]["required"],
}


def test_sample_is_accepted_by_both() -> None:
    for profile in ("default", "archive"):
        assert schema_accepts(sample(profile))
        assert reader_accepts(sample(profile))


@pytest.mark.parametrize("case", FIELDS, ids=label)
def test_missing_field(case: tuple[Path_, str]) -> None:
    """Removing a field: both accept, or both refuse; a required one is refused."""
    at, key = case
    value = sample("archive")
    del reach(value, at)[key]
    assert schema_accepts(value) == reader_accepts(value)
    owner = next((str(part) for part in reversed(at) if isinstance(part, str)), "")
    if key in REQUIRED[owner]:
        assert not schema_accepts(value)


def test_every_required_field_was_removed() -> None:
    owners = {next((str(part) for part in reversed(at) if isinstance(part, str)), ""): at for at, _ in FIELDS}
    assert {owner: set(keys) for owner, keys in REQUIRED.items()}.keys() == owners.keys()
    for owner, keys in REQUIRED.items():
        assert set(keys) <= set(reach(sample("archive"), owners[owner]))


@pytest.mark.parametrize("case", [*FIELDS, (("history",), 0)], ids=label)
def test_other_type(case: tuple[Path_, str]) -> None:
    """A value of another type: the schema and the reader refuse the same."""
    at, key = case
    old = reach(sample("archive"), at)[key]
    for wrong in (True, 7, "x\n", [1], {"a": 1}):
        value = sample("archive")
        reach(value, at)[key] = copy.deepcopy(wrong)
        if type(old) is not type(wrong):
            assert schema_accepts(value) == reader_accepts(value), wrong


def test_unknown_fields_are_accepted_by_both() -> None:
    for at in objects(sample()):
        value = sample()
        reach(value, at)["x-unknown"] = {"deep": [1, "two", False]}
        assert schema_accepts(value), at
        assert reader_accepts(value), at


VALUES: list[tuple[Path_, Any]] = [
    (("version",), "1.9999"),
    (("version",), "1.10000"),
    (("version",), "1.00"),
    (("version",), "01.0"),
    (("version",), "2.0"),
    (("version",), "1"),
    (("format",), "Llamafile"),
    (("profile",), "paranoid"),
    (("created",), ""),
    (("created",), "2026-11-20"),
    (("created",), "2026-13-20T00:00:00Z"),
    (("created",), "2026-11-20T24:00:00Z"),
    (("created",), "2026-11-20T00:00:00+00:00"),
    (("created",), "2026-11-20T00:00:00Z\n"),
    (("name",), ""),
    (("name",), "\U0001f999" * 4096),
    (("name",), "\U0001f999" * 4097),
    (("critical",), []),
    (("critical",), ["members.x"]),
    (("critical",), [1]),
    (("history",), []),
    (("prefix", "size"), 65537),
    (("prefix", "sha256"), DIGEST.upper()),
    (("prefix", "sha256"), DIGEST[:-1]),
    (("prefix", "sha256"), DIGEST + "\n"),
    (("prefix", "sha256"), ""),
    (("prefix", "kind"), "something new"),
    (("members",), []),
    (("members", 0, "alignment"), 0),
    (("members", 0, "alignment"), 3),
    (("members", 0, "alignment"), 1 << 24),
    (("members", 0, "alignment"), 1 << 25),
    (("members", 0, "crc32"), "0000000"),
    (("members", 0, "crc32"), "0000000A"),
    (("members", 0, "sha512"), DIGEST * 2),
    (("members", 0, "sha512"), ""),
    (("members", 0, "size"), (1 << 63) - 1),
    (("members", 0, "role"), "x-mine"),
    (("members", 0, "merged_from"), [{"path": "a-00001-of-00002.gguf", "sha256": DIGEST, "size": 1}]),
    (("prefix", "directory", "assets", 0, "role"), "weights"),
    (("prefix", "directory", "assets"), []),
    (("prefix", "directory", "dropped"), []),
]


@pytest.mark.parametrize(("at", "changed"), VALUES, ids=lambda item: repr(item)[:48])
def test_values_at_the_edge(at: Path_, changed: Any) -> None:
    value = sample()
    reach(value, at[:-1])[at[-1]] = changed
    assert schema_accepts(value) == reader_accepts(value)


def test_manifests_of_vectors() -> None:
    """What the reader makes a manifest of, the schema accepts, and the reverse, for the manifest of every vector."""
    seen = 0
    for vector in container_vectors():
        container = Container(BytesSource(vector.payload))
        if not container.manifest_bytes or any(
            f.rule in ("LF2014", "LF3001", "LF3002") for f in container.manifest_findings
        ):
            continue
        value = json.loads(container.manifest_bytes)
        assert schema_accepts(value) == (container.manifest is not None), vector.name
        seen += 1
    assert seen > 50


# Recipes


def recipe(path: Path) -> Any:
    """A recipe as JSON sees it: YAML makes dates of texts that look like dates."""
    value = load_yaml(path.read_bytes())
    return {key: item.isoformat() if isinstance(item, dt.date) else item for key, item in value.items()}


def test_recipe_fields_are_those_that_the_packer_reads() -> None:
    value = schema("recipe")
    assert value["properties"].keys() == _RECIPE_FIELDS
    assert value["properties"]["format"]["const"] == RECIPE_FORMAT


def test_recipes_of_the_examples() -> None:
    paths = sorted((ROOT / "examples").glob("**/llamafile.yaml"))
    assert paths
    for path in paths:
        validator("recipe").validate(recipe(path))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "llamafile-recipe/2"},
        {"licence": "CC0-1.0"},
        {"weights": "model.gguf"},
        {"include": [{"member": "a"}]},
        {"include": [{"path": "a", "mode": "0755"}]},
        {"align": 3},
        {"profile": "paranoid"},
        {"flavour": "sweet"},
        {"runtime": 3},
        {"merge_splits": "yes"},
    ],
    ids=str,
)
def test_recipes_that_are_refused(change: Json, tmp_path: Path) -> None:
    """The schema refuses them, and so does the packer."""
    value = {"format": RECIPE_FORMAT, "weights": ["tiny.gguf"], **change}
    assert not validator("recipe").is_valid(value)
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    (tmp_path / "a").write_bytes(b"a")
    path = tmp_path / "llamafile.yaml"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(llamafile_format.LlamafileError):
        llamafile_format.pack(recipe=path, out=tmp_path / "out.llamafile")
