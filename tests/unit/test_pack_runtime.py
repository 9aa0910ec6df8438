"""``pack`` and ``repack`` with runtimes: what is carried, the launcher, what does not fit, Windows past 4 GiB."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import llamafile_format as lf
from llamafile_format.checks.prefix import WINDOWS_MAX
from llamafile_format.manifest.model import Manifest
from llamafile_format.packing import windows
from llamafile_format.prefix.bootstrap import POLYGLOT
from llamafile_format.prefix.launcher import LAUNCHER_SIZE, read_index
from llamafile_format.running.run import Selection, prepare
from spec.vectors.generate.contents import ONNX
from tests.conftest import CliRunner
from tests.gguf_workbench import EXHIBIT
from tests.laws.sparse import sparse_container
from tests.repack_samples import engine, gguf, legacy, sound, write
from tests.runtime_samples import NATIVE, PAGE, REFERENCE, program, use, write_pin
from tests.split_samples import split

FOLDER = "runtimes/llama.cpp/0.3.36/"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model; tiny runtimes are installed."""
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    write(tmp_path / "model.gguf", gguf("m", 100_000))
    return tmp_path


def packed(folder: Path, name: str = "a.llamafile", **options: Any) -> Path:
    lf.pack([folder / "model.gguf"], folder / name, **options)
    return folder / name


def manifest_of(path: Path) -> Manifest:
    with lf.open(path) as container:
        assert container.manifest is not None
        return container.manifest


def carried(path: Path) -> dict[str, str]:
    """Paths below the folder of the runtime, and their roles."""
    members = manifest_of(path).members
    return {member.path.removeprefix(FOLDER): member.role for member in members if member.path.startswith(FOLDER)}


COMPANIONS = {"webui.tar": "asset", "LICENCES.txt": "license", "runtime.yaml": "document"}


def test_without_a_word_the_file_runs_everywhere(folder: Path) -> None:
    path = packed(folder)
    assert carried(path) == {**{f"native/{target}": "runtime" for target in NATIVE}, **COMPANIONS}
    with sound(path) as container:
        manifest = container.manifest
        assert manifest is not None
        assert manifest.prefix.kind == "launcher"
        assert (manifest.prefix.size, manifest.prefix.engine_size) == (LAUNCHER_SIZE, LAUNCHER_SIZE)
        assert container.read(FOLDER + "webui.tar") == PAGE
        assert container.read(FOLDER + "runtime.yaml") == (folder / "pins/llama.cpp/0.3.36/runtime.yaml").read_bytes()
        index = read_index(container.source.read_at(0, 4096))
        assert index is not None
        assert {build.target for build in index.builds} == set(NATIVE)
        for build in index.builds:
            data = container.source.read_at(build.offset, build.size)
            assert data == program("native", build.target)
            assert build.sha256 == hashlib.sha256(data).hexdigest()
            assert build.offset % 65536 == 0
        model = manifest.member("model.gguf")
        assert model is not None
        assert index.weights == (model.offset, model.size)
    assert path.stat().st_mode & 0o111


def test_both_flavours_and_chosen_targets(folder: Path) -> None:
    both = packed(folder, flavour="both")
    names = {f"native/{target}" for target in NATIVE} | {f"reference/{target}" for target in REFERENCE}
    assert carried(both).keys() == names | COMPANIONS.keys()
    some = packed(folder, "b", runtime="llama.cpp@0.3.36:linux-x86_64,windows-x86_64")
    assert carried(some).keys() == {"native/linux-x86_64", "native/windows-x86_64"} | COMPANIONS.keys()
    reference = packed(folder, "c", runtime="llama.cpp", flavour="reference")
    assert "webui.tar" not in carried(reference)
    mixed = packed(folder, "d", runtime="llama.cpp:wasm32-wasi,linux-aarch64", flavour="both")
    assert {name for name in carried(mixed) if "/" in name} == {"native/linux-aarch64", "reference/wasm32-wasi"}


def test_what_is_said_decides_what_is_not(folder: Path) -> None:
    write(folder / "engine", engine("e", 70_000))
    for options, kind, runtime in (
        ({"prefix": "none"}, "none", False),
        ({"prefix": folder / "engine"}, "script", False),
        ({"runtime": "none"}, "none", False),
        ({"prefix": "launcher"}, "launcher", True),
        ({"prefix": "none", "runtime": "llama.cpp"}, "none", True),
        ({"prefix": folder / "engine", "runtime": "llama.cpp"}, "script", True),
    ):
        path = packed(folder, force=True, **options)
        assert manifest_of(path).prefix.kind == kind
        assert bool(carried(path)) is runtime


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"runtime": "bitnet.cpp"}, "llama.cpp@0.3.36"),
        ({"runtime": "llama.cpp@9.9"}, "llama.cpp@0.3.36"),
        ({"runtime": "llama.cpp:plan9-mips"}, "linux-aarch64"),
        ({"runtime": "llama.cpp:wasm32-wasi"}, "wasm32-wasi"),
        ({"flavour": "sweet"}, "reference"),
        ({"flavour": "both", "prefix": "none"}, "--runtime"),
        ({"prefix": "launcher", "runtime": "none"}, "--runtime"),
    ],
    ids=str,
)
def test_contradictions_are_refused_with_what_there_is(folder: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(lf.UsageError) as refused:
        packed(folder, **options)
    assert word in f"{refused.value} {refused.value.hint}"
    assert not (folder / "a.llamafile").exists()


def test_a_recipe_says_the_same(folder: Path) -> None:
    recipe = {"format": "llamafile-recipe/1", "weights": ["model.gguf"], "runtime": "llama.cpp:linux-x86_64"}
    write(folder / "r.yaml", yaml.safe_dump({**recipe, "flavour": "both"}).encode())
    lf.pack(recipe=folder / "r.yaml", out=folder / "a")
    assert {name for name in carried(folder / "a") if "/" in name} == {"native/linux-x86_64", "reference/linux-x86_64"}
    lf.pack(recipe=folder / "r.yaml", out=folder / "b", prefix="none")
    assert carried(folder / "b") == {}
    assert manifest_of(folder / "b").prefix.kind == "none"


def test_packing_is_deterministic_and_a_small_alignment_spares_the_builds(folder: Path) -> None:
    first = packed(folder, align=32, flavour="both").read_bytes()
    assert packed(folder, "b", align=32, flavour="both").read_bytes() == first
    members = manifest_of(folder / "b").members
    assert {member.alignment for member in members if member.role == "runtime"} == {65536}
    assert next(member.alignment for member in members if member.role == "weights") == 32
    sound(folder / "b").close()


def test_a_build_that_is_not_the_pinned_one_is_not_packed(folder: Path) -> None:
    path = folder / "pins/llama.cpp/0.3.36/builds/native/linux-aarch64.zst"
    path.write_bytes((folder / "pins/llama.cpp/0.3.36/builds/reference/wasm32-wasi.zst").read_bytes())
    with pytest.raises(lf.LlamafileError):
        packed(folder)
    assert not (folder / "a.llamafile").exists()


# Models that the runtime does not know


def test_an_unknown_architecture_is_refused_or_recorded(folder: Path) -> None:
    write(folder / "model.gguf", gguf("odd", architecture="nobody-knows"))
    with pytest.raises(lf.FormatError, match="nobody-knows") as refused:
        packed(folder)
    assert refused.value.clause == "LF3301"
    assert "--runtime none" in refused.value.hint
    path = packed(folder, force=True)
    (step,) = manifest_of(path).history
    assert step["action"] == "pack"
    assert step["forced"][0]["rule"] == "LF3301"
    report = lf.verify(path)
    assert "LF3301" in [finding.rule for finding in report.findings]
    packed(folder, "bare", prefix="none")
    with pytest.raises(lf.FormatError, match="nobody-knows"):
        lf.repack(folder / "bare", folder / "b", prefix="launcher")
    lf.repack(folder / "bare", folder / "b", prefix="launcher", force=True)
    assert manifest_of(folder / "b").history[0]["forced"][0]["rule"] == "LF3301"
    assert not lf.repack(folder / "b", folder / "c", prefix="launcher").changed
    other = {"name": "what is not valid stays so, and must be asked for again"}
    with pytest.raises(lf.FormatError, match="nobody-knows"):
        lf.repack(folder / "b", folder / "d", **other)
    lf.repack(folder / "b", folder / "d", force=True, **other)


def test_an_unknown_tensor_type_is_refused(folder: Path) -> None:
    write_pin(folder / "pins", tensor_types=[1, 8])
    with pytest.raises(lf.FormatError) as refused:
        packed(folder)
    assert refused.value.clause == "LF3302"


def test_a_model_in_another_format_is_refused(folder: Path) -> None:
    write(folder / "model.onnx", ONNX)
    include = [lf.Include(folder / "model.onnx", role="weights")]
    with pytest.raises(lf.FormatError) as refused:
        lf.pack([], folder / "a", include=include)
    assert refused.value.clause == "LF3303"
    lf.pack([folder / "model.gguf"], folder / "a", include=include, default="model.gguf")


def test_force_alone_records_nothing(folder: Path) -> None:
    assert manifest_of(packed(folder, force=True)).history == ()


def test_shards_keep_the_names_by_which_the_runtime_finds_them(folder: Path) -> None:
    shards = split(EXHIBIT, folder, 2)
    lf.pack(shards, folder / "a")
    sound(folder / "a").close()
    renamed = [lf.Include(shards[0]), lf.Include(shards[1], "second.gguf")]
    with pytest.raises(lf.FormatError) as refused:
        lf.pack([], folder / "b", include=renamed, default=shards[0].name)
    assert refused.value.clause == "LF3306"
    with pytest.raises(lf.FormatError):
        lf.repack(folder / "a", folder / "b", rename={shards[1].name: "second.gguf"})


# Repacking


def test_a_legacy_llamafile_gets_the_launcher(folder: Path) -> None:
    members = [("model.gguf", gguf("m")), (".args", b"-m\nmodel.gguf\n--temp\n0\n...\n")]
    write(folder / "old", legacy(engine("old", 70_000, [("help.txt", b"help")], "0.8.0"), members))
    result = lf.repack(folder / "old", folder / "new", prefix="launcher", runtime="llama.cpp", flavour="both")
    assert any("added 8 members" in change for change in result.changes)
    with sound(folder / "new") as container:
        assert container.manifest is not None
        assert container.manifest.prefix.kind == "launcher"
        assert container.read(".args").split() == [b"-m", b"/zip/model.gguf", b"--temp", b"0", b"..."]
        assert b"./FILE --inspect" in container.read("META-LLAMAFILE/README.txt")


def test_runtimes_are_exchanged_and_taken_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(folder)
    newer = {("native", "linux-x86_64"): program("newer", "linux-x86_64")}
    write_pin(folder / "more", "0.10.0", newer)
    use(folder / "more", monkeypatch)
    lf.repack(path, folder / "b", runtime="llama.cpp@0.10.0")
    there = [member.path for member in manifest_of(folder / "b").members if member.path.startswith("runtimes/")]
    assert sorted(there) == [
        f"runtimes/llama.cpp/0.10.0/{name}" for name in sorted([*COMPANIONS, "native/linux-x86_64"])
    ]
    lf.repack(folder / "b", folder / "c", prefix="none")
    assert manifest_of(folder / "c").with_role("runtime")
    lf.repack(folder / "c", folder / "d", runtime="none")
    lf.repack(folder / "b", folder / "e", prefix="none", runtime="none")
    assert manifest_of(folder / "d").members[:-1] == manifest_of(folder / "e").members[:-1]
    assert not [member for member in manifest_of(folder / "d").members if member.path.startswith("runtimes/")]
    with pytest.raises(lf.UsageError, match="launcher could start"):
        lf.repack(folder / "b", folder / "f", runtime="none")
    with pytest.raises(lf.UsageError, match="belongs to the runtime"):
        lf.repack(folder / "d", folder / "f", runtime="llama.cpp", remove=["runtimes/llama.cpp/0.10.0/webui.tar"])


def test_the_launcher_follows_the_members(folder: Path) -> None:
    path = packed(folder)
    write(folder / "paper.txt", b"x" * 200_000)
    lf.repack(path, folder / "b", include=[lf.Include(folder / "paper.txt")])
    lf.repack(path, folder / "c", rename={"model.gguf": "other.gguf"}, profile="archive")
    for name in ("b", "c"):
        with sound(folder / name) as container:
            manifest = container.manifest
            assert manifest is not None
            assert not any(change.get("what") == "prefix" for change in manifest.history[0]["changes"])
            index = read_index(container.source.read_at(0, 4096))
            model = manifest.member(manifest.default)
            assert index is not None
            assert model is not None
            assert index.weights == (model.offset, model.size)
            assert {build.offset for build in index.builds} == {m.offset for m in manifest.with_role("runtime")}


def test_a_false_launcher_is_not_carried_on(folder: Path) -> None:
    """An index that points elsewhere would be given the digests of a sound file."""
    from spec.vectors.generate import forge
    from tests.runtime_samples import SHOW

    build = forge.Part(FOLDER + "native/linux-x86_64", SHOW, "runtime", "application/octet-stream", 65536, 0o100755)
    with sound(packed(folder)) as container:
        launcher = container.source.read_at(0, LAUNCHER_SIZE)
    data = forge.container(forge.Spec(forge.parts(build), prefix=launcher, kind="launcher"))
    with pytest.raises(lf.FormatError, match="not the one that its members imply"):
        lf.repack(write(folder / "false", data), folder / "b", name="x")


def test_a_launcher_has_no_legacy_form(folder: Path) -> None:
    with pytest.raises(lf.UsageError, match="containers only"):
        lf.repack(packed(folder), folder / "b", to="legacy")
    lf.repack(folder / "a.llamafile", folder / "b", to="legacy", prefix="none")
    lf.repack(folder / "b", folder / "c", prefix="launcher")
    assert carried(folder / "c") == carried(folder / "a.llamafile")


def test_the_launcher_of_another_file_is_no_engine(folder: Path) -> None:
    with pytest.raises(lf.UsageError, match="its own file only"):
        packed(folder, "b", prefix=packed(folder))


def test_loose_weights_leave_a_launcher_that_fits(folder: Path) -> None:
    """Only if the user insists: what a launcher starts is given a model inside the file, or it is not valid."""
    (folder / "out").mkdir()
    with pytest.raises(lf.UsageError, match="LF6122"):
        lf.repack(packed(folder), folder / "out" / "b", split_weights=True)
    assert list((folder / "out").iterdir()) == []
    lf.repack(folder / "a.llamafile", folder / "out" / "b", split_weights=True, force=True)
    assert (folder / "out" / "model.gguf").read_bytes() == (folder / "model.gguf").read_bytes()
    report = lf.verify(folder / "out" / "b", level="exhaustive")
    errors = {item.rule for item in report.findings if lf.rule(item.rule).severity is lf.Severity.ERROR}
    assert errors == {"LF6122"}
    with lf.open(folder / "out" / "b") as container:
        index = read_index(container.source.read_at(0, 4096))
        assert index is not None
        assert index.weights is None


# Windows past 4 GiB


def test_past_four_gib_a_small_exe_opens_the_file(folder: Path, run_cli: CliRunner) -> None:
    """The weights are a hole of the file system, and digests are reused: nothing of that size is read or written."""
    sparse_container(folder / "data", WINDOWS_MAX + (1 << 20))
    big = folder / "big.llamafile"
    options = ["--prefix", "launcher", "--runtime", "llama.cpp"]
    result = run_cli("repack", folder / "data", *options, "-o", big)
    assert result.returncode == 0, result.stderr
    assert "4 GiB" in result.stdout
    assert str(folder / "big.exe") in result.stdout
    with sound(folder / "big.exe") as small, lf.open(big) as opened:
        assert small.size < 1 << 21
        assert small.manifest is not None
        assert opened.manifest is not None
        assert [name for name in carried(folder / "big.exe") if "/" in name] == ["native/windows-x86_64"]
        bound, model = small.manifest.prefix.sibling, opened.manifest.member("model.gguf")
        assert bound is not None
        assert model is not None
        assert opened.source.read_at(bound.offset, bound.size) == opened.manifest_bytes
        assert bound.sha256 == hashlib.sha256(opened.manifest_bytes).hexdigest()
        assert bound.weights == (model.offset, model.size)
        index = read_index(small.source.read_at(0, 4096))
        assert index is not None
        assert index.sibling is not None
        assert (index.sibling.offset, index.sibling.sha256) == (bound.offset, bound.sha256)
    big.unlink()
    refused = run_cli("repack", folder / "data", *options, "-o", big)
    assert "big.exe exists" in refused.stderr
    assert not big.exists()
    refused = run_cli("repack", folder / "data", *options, "-o", folder / "huge.exe")
    assert refused.returncode == 2
    assert "huge.exe" in refused.stderr
    assert not (folder / "huge.exe").exists()


@pytest.fixture
def low(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, in a world where Windows stops at 64 KiB."""
    monkeypatch.setattr(windows, "WINDOWS_MAX", 65536)
    return folder


def test_the_exe_is_written_anew_with_its_sibling(low: Path) -> None:
    result = lf.pack([low / "model.gguf"], low / "m.llamafile")
    assert result.extra == (low / "m.exe",)
    assert any("m.exe" in note for note in result.notes)
    before = (low / "m.exe").read_bytes()
    sound(low / "m.exe").close()
    with pytest.raises(lf.UsageError, match=r"m\.exe exists"):
        lf.pack([low / "model.gguf"], low / "m.llamafile")
    result = lf.repack(low / "m.llamafile", in_place=True, name="Other")
    assert result.extra == (low / "m.exe",)
    assert (low / "m.exe").read_bytes() != before
    start = prepare(low / "m.exe", wanted=Selection(target="windows-x86_64"))
    assert Path(start.environment["LFF_CONTAINER"]).samefile(low / "m.llamafile")
    lf.repack(low / "m.llamafile", low / "n.llamafile", name="Third")
    (low / "n.llamafile").replace(low / "m.llamafile")
    with pytest.raises(lf.FormatError, match="not the file"):
        prepare(low / "m.exe", wanted=Selection(target="windows-x86_64"))


def opens_what_begins_alike(low: Path, path: Path) -> None:
    """Make of ``m.llamafile`` a small program ``path`` that binds the first bytes of every launcher, so its own too."""
    manifest = sound(low / "m.exe").manifest
    assert manifest is not None
    assert manifest.prefix.sibling is not None
    bound = replace(manifest.prefix.sibling, offset=0, size=len(POLYGLOT), sha256=hashlib.sha256(POLYGLOT).hexdigest())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "Sibling", lambda *_: bound)
        windows._write(low / "m.llamafile", path, overwrite=True)
    sound(path).close()


def test_what_opens_itself_is_not_started(low: Path) -> None:
    lf.pack([low / "model.gguf"], low / "m.llamafile")
    opens_what_begins_alike(low, low / "x.llamafile")
    with pytest.raises(lf.FormatError, match=r"is that file.*14\.4\.3"):
        prepare(low / "x.llamafile", wanted=Selection(target="windows-x86_64"))
    (low / "y.exe").hardlink_to(low / "x.llamafile")
    (low / "y.llamafile").symlink_to("x.llamafile")
    with pytest.raises(lf.FormatError, match=r"is that file.*14\.4\.3"):
        prepare(low / "y.exe", wanted=Selection(target="windows-x86_64"))


def test_from_one_file_to_a_second_and_no_further(low: Path) -> None:
    lf.pack([low / "model.gguf"], low / "m.llamafile")
    opens_what_begins_alike(low, low / "x.exe")
    (low / "m.llamafile").rename(low / "x.llamafile")
    assert prepare(low / "x.exe", wanted=Selection(target="windows-x86_64")).embedded
    shutil.copy(low / "x.exe", low / "x.llamafile")
    with pytest.raises(lf.FormatError, match=r"in its turn.*14\.4\.3"):
        prepare(low / "x.exe", wanted=Selection(target="windows-x86_64"))


def test_without_windows_or_under_another_name_there_is_no_exe(low: Path) -> None:
    assert lf.pack([low / "model.gguf"], low / "a.llamafile", runtime="llama.cpp:linux-x86_64").extra == ()
    result = lf.pack([low / "model.gguf"], low / "b")
    assert result.extra == ()
    assert "NAME.llamafile" in result.notes[0]
    assert lf.pack([low / "model.gguf"], low / "c.llamafile", prefix="none").extra == ()
