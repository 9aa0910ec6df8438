"""Libraries that others built: told, fetched by digest, never taken from anywhere else (spec/1, 14.9)."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from llamafile_format.engines.host import host_target
from llamafile_format.engines.libraries import library_file, list_of, listed
from llamafile_format.engines.pin import Input, Kind, Library, Pin
from llamafile_format.engines.pin_reader import load_pin, read_pin
from llamafile_format.engines.store import find_pin, is_here, read_build
from llamafile_format.errors import FormatError, LlamafileError, SourceError
from tests.conftest import ROOT, CliRunner

FOLDER = ROOT / "runtimes" / "onnxruntime" / "1.32.0+1"
TEXT = (FOLDER / "runtime.yaml").read_text("utf-8")
BYTES = b"a library\n" * 1000


@pytest.fixture
def pin() -> Pin:
    return load_pin(FOLDER)


@pytest.fixture
def tiny(pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Pin, Path]:
    """The pin with a package of a few bytes, and where that lies."""
    monkeypatch.setenv("LFF_CACHE", str(tmp_path / "cache"))
    package = tmp_path / "cache" / "llamafile-format" / "inputs" / "tiny.whl"
    package.parent.mkdir(parents=True)
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("tiny/lib.so", BYTES)
    data = package.read_bytes()
    source = Input("wheel", "tiny", "1", "tiny.whl", hashlib.sha256(data).hexdigest(), len(data))
    library = Library("linux-x86_64", "lib.so", "wheel", "tiny/lib.so", hashlib.sha256(BYTES).hexdigest(), len(BYTES))
    return replace(pin, inputs=(source,), libraries=(library,)), package


def test_the_pin_says_what_it_is(pin: Pin) -> None:
    assert pin.kind is Kind.NATIVE_LIBRARY
    assert pin.formats == ("application/x-onnx",)
    assert not pin.upstream.tree
    assert {library.target for library in pin.libraries} == {target.name for target in pin.targets}


def test_every_build_lists_what_its_pin_names(pin: Pin) -> None:
    for build in pin.builds:
        assert is_here(pin, build)
        assert listed(read_build(pin, build)) == list_of(pin, build.target)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: native-library\n", ""),
        ("kind: native-library\n", "kind: wheels\n"),
        ("  input: wheel-linux-x86_64\n", "  input: wheel-elsewhere\n"),
        ("- target: linux-x86_64\n  name: lib", "- target: linux-sparc\n  name: lib"),
        ("  commit: fab30a4\n", "  commit: fab30a4\n  tree: swh:1:dir:" + "0" * 40 + "\n"),
    ],
)
def test_a_pin_that_contradicts_itself_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(FormatError):
        read_pin(TEXT.replace(old, new, 1), FOLDER / "runtime.yaml")


def test_a_library_comes_out_of_its_package(tiny: tuple[Pin, Path]) -> None:
    pin, _ = tiny
    path = library_file(pin, pin.libraries[0])
    assert path.read_bytes() == BYTES
    assert (path.parent.name, path.name) == (pin.libraries[0].sha256, "lib.so")


def test_a_package_that_is_not_here_is_named_with_the_way_to_it(tiny: tuple[Pin, Path]) -> None:
    pin, package = tiny
    package.unlink()
    with pytest.raises(SourceError, match=r"tiny\.whl") as caught:
        library_file(pin, pin.libraries[0])
    assert f"runtimes fetch {pin.key}" in (caught.value.hint or "")


def test_neither_another_package_nor_another_library_is_taken(tiny: tuple[Pin, Path]) -> None:
    pin, package = tiny
    other = replace(pin.libraries[0], sha256="0" * 64)
    with pytest.raises(LlamafileError):
        library_file(pin, other)
    package.write_bytes(package.read_bytes()[:-1] + b"!")
    with pytest.raises(FormatError, match="is not the pinned"):
        library_file(pin, pin.libraries[0])


def test_a_list_without_an_end_is_none() -> None:
    assert listed(b"x" * 99 + b"llamafile-libraries/1 linux-x86_64\nabc 1 lib.so\n\0") == (
        "linux-x86_64",
        "abc 1 lib.so",
    )
    assert listed(b"llamafile-libraries/1 linux-x86_64\n" + b"x" * (1 << 17)) == ()
    assert listed(b"nothing") == ()


def test_packing_without_the_wheel_says_how_to_get_it(run_cli: CliRunner, tmp_path: Path) -> None:
    if not find_pin("onnxruntime").builds:
        pytest.skip("the pin has no builds")
    guide = ROOT / "examples" / "onnx"
    words = (
        "pack",
        guide / "guide.onnx",
        "--include",
        guide / "guide.onnx.data",
        "--runtime",
        "onnxruntime:linux-x86_64",
    )
    done = run_cli(*words, "-o", tmp_path / "a.llamafile", env={"LFF_CACHE": str(tmp_path / "empty")})
    assert done.returncode == 4
    assert "runtimes fetch onnxruntime@1.32.0+1" in done.stderr
    assert not (tmp_path / "a.llamafile").exists()


def test_the_commands_tell_the_class(run_cli: CliRunner, tmp_path: Path) -> None:
    empty = {"LFF_CACHE": str(tmp_path / "empty")}
    told = json.loads(run_cli("runtimes", "show", "onnxruntime", "--json", env=empty).stdout)
    assert (told["kind"], told["formats"]) == ("native-library", ["application/x-onnx"])
    assert [library["here"] for library in told["libraries"]] == [False] * 4
    assert "prebuilt by others, not rebuilt" in run_cli("runtimes", "show", "onnxruntime", env=empty).stdout
    assert "runtimes fetch" in run_cli("runtimes", "list", env=empty).stdout
    assert run_cli("runtimes", "fetch", "llama.cpp", env=empty).returncode == 2
    assert run_cli("runtimes", "fetch", "onnxruntime", "--target", "linux-sparc", env=empty).returncode == 2
    assert run_cli("runtimes", "fetch", "onnxruntime", "--from", tmp_path, env=empty).returncode == 2


def test_the_example_is_what_its_script_makes(tmp_path: Path) -> None:
    from examples.onnx.make_guide import guide

    graph, data = guide()
    assert (ROOT / "examples" / "onnx" / "guide.onnx").read_bytes() == graph
    assert (ROOT / "examples" / "onnx" / "guide.onnx.data").read_bytes() == data
    assert len(graph) + len(data) < 1_000_000


@pytest.mark.skipif(host_target() != "linux-x86_64", reason="looks for the build of linux-x86_64")
def test_an_engine_of_the_installation_is_not_started_on_what_it_cannot_use(run_cli: CliRunner, tmp_path: Path) -> None:
    """Its library would have to be in the file; and GGUF is nothing that it reads, in a container or by itself."""
    guide, exhibit = ROOT / "examples" / "onnx", ROOT / "examples" / "exhibit" / "exhibit-f32.gguf"
    parts = ("--include", guide / "guide.onnx.data", "--runtime", "none")
    for words in (
        ("pack", guide / "guide.onnx", *parts, "-o", "a"),
        ("pack", exhibit, "--prefix", "none", "-o", "b"),
    ):
        assert run_cli(*words).returncode == 0
    for file, rule, hint in (
        ("a", "14.9.3", "llamafile-format repack a --runtime onnxruntime -o NEW"),
        ("b", "LF3303", "name a runtime that reads it"),
        (exhibit, "LF3303", "name a runtime that reads it"),
    ):
        done = run_cli("complete", file, "--runtime", "onnxruntime", "-p", "x")
        assert (done.returncode, done.stdout) == (1, "")
        assert rule in done.stderr
        assert hint in done.stderr
