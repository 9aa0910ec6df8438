"""The build driver: inputs checked, tools that see nothing of the machine, work that goes on where it stopped."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from llamafile_format.cli.main import cli
from llamafile_format.cli.runtimes import _named
from llamafile_format.cli.runtimes_here import verify_here
from llamafile_format.cli.terminal import steps
from llamafile_format.engines import build as driver
from llamafile_format.engines import work
from llamafile_format.engines.build import build
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Flavour, Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.recording import record_build
from llamafile_format.engines.vault import _readme, _write_by_hand, check_vault, fill_vault
from llamafile_format.engines.work import BuildFailed, Workshop
from llamafile_format.errors import FormatError, LlamafileError, UsageError
from tests.new_engine import RUNTIMES, pin_of
from tests.unit.runtime_workshop import PROGRAM, make_pin

pytestmark = pytest.mark.skipif(host_target() != "linux-x86_64", reason="pins are built on linux-x86_64")
TARGET = "linux-x86_64"


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    return make_pin(tmp_path)


def shop(folder: Path, name: str = "work", **more: object) -> Workshop:
    return Workshop(folder / name, folder / "inputs", folder / "vault", **more)  # type: ignore[arg-type]


def test_a_program_comes_out(pin: Pin, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    built = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path, step=lambda *step: heard.append(step)))
    assert built.path.read_text("utf-8") == PROGRAM
    assert built.size == len(PROGRAM)
    assert built.as_pinned
    assert [step for step in heard if step[0].startswith("building")] == [
        (f"building {TARGET} native", 1, 2),
        (f"building {TARGET} native", 2, 2),
    ]
    assert "[2/2] Linking" in built.log.read_text()


def test_only_the_needed_parts_are_unpacked(pin: Pin, tmp_path: Path) -> None:
    build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    assert (tmp_path / "work/engine/engine-1.0/src/a.c").is_file()
    assert not (tmp_path / "work/engine/engine-1.0/docs").exists()
    assert os.access(tmp_path / "work/tools/t/cmake", os.X_OK)


def test_tools_see_nothing_of_the_machine(pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    monkeypatch.setenv("CC", "/usr/bin/gcc")
    built = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    seen = dict(line.split("=", 1) for line in (built.path.parent / "environment").read_text().splitlines())
    assert set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"} == set(work.environment(tmp_path / "work"))
    assert seen["GIT_DIR"] == "/nonexistent"
    assert seen["ZIG_GLOBAL_CACHE_DIR"].startswith(str(tmp_path / "work"))
    assert seen["HOME"].startswith(str(tmp_path / "work"))


def test_the_recipe_is_filled_in(pin: Pin, tmp_path: Path) -> None:
    built = build(pin, TARGET, Flavour.REFERENCE, shop(tmp_path))
    arguments = (built.path.parent / "arguments").read_text().splitlines()
    assert f"-DSOURCE={tmp_path}/work/engine/engine-1.0" in arguments
    assert f"-DKIND=reference for {TARGET}" in arguments
    toolchain = built.path.parent.parent / "toolchain"
    assert (toolchain / "cc").read_text() == (
        f"#!/bin/sh\nexec {tmp_path}/work/tools/t/zig cc -target x86_64-linux-musl "
        f'-ffile-prefix-map={tmp_path}/work=/work -mcpu=x -O2 "$@"\n'
    )
    text = (toolchain / "toolchain.cmake").read_text()
    assert 'set(CMAKE_SYSTEM_PROCESSOR "generic")' in text
    assert f'set(CMAKE_X "{toolchain}/ar")' in text
    assert 'set(CMAKE_EXE_LINKER_FLAGS_INIT "-s")' in text


def test_work_goes_on_where_it_stopped(pin: Pin, tmp_path: Path) -> None:
    first = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    unpacked = (tmp_path / "work/tools/t/cmake").stat().st_ino
    again = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    assert again.sha256 == first.sha256
    assert (tmp_path / "work/tools/t/cmake").stat().st_ino == unpacked
    assert (again.path.parent / "runs").read_text() == "run\nrun\n"
    fresh = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path), fresh=True)
    assert (fresh.path.parent / "runs").read_text() == "run\n"


def test_half_unpacked_inputs_are_unpacked_again(pin: Pin, tmp_path: Path) -> None:
    build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    (tmp_path / "work/tools.unpacked").unlink()
    (tmp_path / "work/tools/t/ninja").unlink()
    (tmp_path / "work/tools.partial").mkdir()
    assert build(pin, TARGET, Flavour.NATIVE, shop(tmp_path)).size == len(PROGRAM)


def test_another_recipe_starts_the_build_folder_anew(pin: Pin, tmp_path: Path) -> None:
    build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    other = make_pin(tmp_path, flavours={"native": {"flags": ["-O3"]}, "reference": {}})
    built = build(other, TARGET, Flavour.NATIVE, shop(tmp_path))
    assert (built.path.parent / "runs").read_text() == "run\n"


def test_our_sources_are_copied_and_compared(pin: Pin, tmp_path: Path) -> None:
    source = pin.folder.parent / "source"
    build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    untouched = (tmp_path / "work/project/text").stat().st_mtime_ns
    (source / "more").mkdir()
    (source / "more" / "file").write_text("x")
    assert not build(pin, TARGET, Flavour.NATIVE, shop(tmp_path)).as_pinned
    assert (tmp_path / "work/project/text").stat().st_mtime_ns == untouched
    (source / "more" / "file").unlink()
    (source / "more").rmdir()
    (source / "text").write_text(f"{PROGRAM}another\n", "utf-8")
    built = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    assert built.path.read_text("utf-8") == f"{PROGRAM}another\n"
    assert not (tmp_path / "work/project/more").exists()


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\n", PROGRAM.replace(">", "\x01", 1)], ids=["a script", "another processor"]
)
def test_a_program_that_is_not_what_the_pin_says_is_no_build(tmp_path: Path, text: str) -> None:
    with pytest.raises(BuildFailed, match=r"not what its pin says: (this is no program|it is for 1, not x86_64)"):
        build(make_pin(tmp_path, text), TARGET, Flavour.NATIVE, shop(tmp_path))


def test_a_failure_has_the_last_words_of_the_tool(tmp_path: Path) -> None:
    pin = make_pin(tmp_path, "fail\n")
    with pytest.raises(BuildFailed, match=r"exit code 3:(?s:.)*error: no such thing") as caught:
        build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    assert "log.txt" in caught.value.hint


def test_inputs_with_another_digest_are_refused(pin: Pin, tmp_path: Path) -> None:
    path = tmp_path / "vault/engine-1.0.tar.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(FormatError, match="is not the pinned"):
        build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    path.unlink()
    with pytest.raises(UsageError, match=r"does not have engine-1\.0\.tar\.gz"):
        build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))


def test_what_cannot_be_built_is_said(pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not built as native for plan9-mips") as caught:
        build(pin, "plan9-mips", Flavour.NATIVE, shop(tmp_path))
    assert TARGET in caught.value.hint
    with pytest.raises(UsageError, match="not simple"):
        build(pin, TARGET, Flavour.NATIVE, shop(tmp_path, "a folder"))
    monkeypatch.setattr(work, "host_target", lambda: "macos-aarch64")
    with pytest.raises(UsageError, match="this machine is macos-aarch64"):
        build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))


def test_an_archive_cannot_write_outside(pin: Pin, tmp_path: Path) -> None:
    from llamafile_format.engines.pin import Input
    from llamafile_format.engines.sources import unpack
    from tests.unit.runtime_workshop import wheel

    archive = tmp_path / "bad-1.whl"
    archive.write_bytes(wheel({"../../evil": "x"}))
    with pytest.raises(FormatError, match="outside of itself"):
        unpack(Input("bad", "bad", "1", archive.name, "0" * 64, 1), archive, tmp_path / "w/bad", lambda *_: None)
    assert not (tmp_path / "evil").exists()


# The command


def call(pin: Pin, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setenv("LFF_RUNTIMES", str(pin.folder.parents[1]))
    root = pin.folder.parents[2]
    monkeypatch.setenv("LFF_CACHE", str(root / "cache"))
    more = [] if arguments[0] in ("list", "show") else ["--from", str(root / "vault")]
    result = CliRunner().invoke(cli, ["runtimes", *arguments, *more], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.output


def test_build_record_verify(pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamafile_format.engines.recording.check_upstream", lambda *_: None)
    monkeypatch.setattr("llamafile_format.engines.knowledge.architectures", lambda _: ["llama", "no"])
    monkeypatch.setattr("llamafile_format.engines.knowledge.tensor_types", lambda _: [0, 1])
    code, _ = call(pin, monkeypatch, "build", "engine", "--flavour", "both", "-o", str(tmp_path / "out"), "--record")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"native-{TARGET}", f"reference-{TARGET}"]
    recorded = load_pin(pin.folder)
    assert [(one.flavour, one.target, one.size) for one in recorded.builds] == [
        (Flavour.NATIVE, TARGET, len(PROGRAM)),
        (Flavour.REFERENCE, TARGET, len(PROGRAM)),
    ]
    assert recorded.architectures == {"llama", "no"}
    from llamafile_format.engines import store

    store._pins_in.cache_clear()
    code, text = call(recorded, monkeypatch, "verify", "engine", "--flavour", "both")
    assert (code, text.count("equal")) == (0, 2)
    (pin.folder.parent / "source/text").write_text(f"{PROGRAM}changed\n", "utf-8")
    code, text = call(recorded, monkeypatch, "verify", "engine@1.0")
    assert code == 1
    assert recorded.builds[0].sha256 in text
    assert "DIFFERENT" in text
    assert call(recorded, monkeypatch, "list")[1] == f"engine@1.0\n  native     {TARGET}\n  reference  {TARGET}\n"
    assert recorded.builds[0].sha256 in call(recorded, monkeypatch, "show", "engine", "--json")[1]


def test_unknown_runtimes_list_what_there_is(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LlamafileError, match="no pinned runtime engine@2") as caught:
        call(pin, monkeypatch, "show", "engine@2")
    assert "engine@1.0" in caught.value.hint


def test_a_build_is_verified_only_if_the_pin_names_it(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="names no native build"):
        call(pin, monkeypatch, "verify", "engine")
    with pytest.raises(UsageError, match="names no native build"):
        call(pin, monkeypatch, "verify", "engine", "--target", "all")


def test_where_nothing_is_here_nothing_was_verified(
    pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = record_build(pin, build(pin, TARGET, Flavour.NATIVE, shop(tmp_path)))
    monkeypatch.setattr("llamafile_format.cli.runtimes_here.is_here", lambda *_: False)
    assert verify_here(pin, (), list(Flavour)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "nothing was compared: nothing of it is here"


def test_of_all_targets_those_are_built_again_that_the_pin_names(capsys: pytest.CaptureFixture[str]) -> None:
    pin = load_pin(RUNTIMES / "onnxruntime/1.32.0")
    wanted = [("linux-x86_64", Flavour.NATIVE), ("linux-riscv64", Flavour.NATIVE)]
    assert _named(pin, wanted, ("all",)) == wanted[:1]
    assert capsys.readouterr().out.split()[:2] == ["native", "linux-riscv64"]
    assert _named(pin, wanted, ("linux-riscv64",)) == wanted


# The vault


def test_a_vault_builds_again(pin: Pin, tmp_path: Path) -> None:
    first = build(pin, TARGET, Flavour.NATIVE, shop(tmp_path))
    folder = tmp_path / "cold"
    fill_vault(pin, folder, shop(tmp_path))
    assert check_vault(folder, lambda *_: None) == []
    kept = load_pin(folder / "runtimes/engine/1.0")
    again = build(kept, TARGET, Flavour.NATIVE, Workshop(tmp_path / "elsewhere", tmp_path / "none", folder))
    assert (again.sha256, again.as_pinned) == (first.sha256, True)
    text = (folder / f"by-hand/native-{TARGET}/build.sh").read_text()
    assert "/work/tools/t/cmake -G Ninja -S /work/project" in text
    assert "/work/project" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("x")
    assert check_vault(folder, lambda *_: None) == ["README.md"]


def test_what_python_leaves_beside_sources_is_no_source(pin: Pin, tmp_path: Path) -> None:
    """Sources that were run are the same sources: to a build, and in a vault."""
    for home in (pin.folder, pin.folder.parent / "source"):
        (home / "__pycache__").mkdir()
        (home / "__pycache__" / "text.cpython-311.pyc").write_bytes(b"of this machine")
    assert build(pin, TARGET, Flavour.NATIVE, shop(tmp_path)).as_pinned
    fill_vault(pin, tmp_path / "cold", shop(tmp_path))
    assert "pyc" not in (tmp_path / "cold" / "SHA256SUMS").read_text()


@pytest.mark.parametrize(("target", "flavour"), [("linux-x86_64", Flavour.GPU), ("windows-x86_64", Flavour.NATIVE)])
def test_a_vault_says_where_shaders_go(target: str, flavour: Flavour, tmp_path: Path) -> None:
    newest = pin_of(RUNTIMES)
    wanted = newest.target(target)
    assert wanted is not None
    _write_by_hand(newest, wanted, flavour, tmp_path)
    text = (tmp_path / "build.sh").read_text()
    assert "-DLFF_SHADERS=/work/shaders" in text
    assert "{" not in text
    assert "/work/shaders" in _readme(newest)


def test_a_vault_says_what_nobody_builds_again() -> None:
    pin = load_pin(RUNTIMES / "onnxruntime/1.32.0")
    text = _readme(pin)
    for library in pin.libraries:
        assert f"{library.path}  {library.sha256}" in text
        assert library.member in text
    assert "--flavour native" in text
    assert "npm" not in text
    runner = _readme(load_pin(RUNTIMES / "mlx/0.32.4"))
    assert "source/runner.py` itself" in runner
    assert ("by-hand" in runner, ".whl, " in runner, "by-hand" in text) == (False, False, True)
    assert ("npm" in _readme(pin_of(RUNTIMES))) is (pin_of(RUNTIMES).page is not None)


def test_the_count_of_ninja_is_understood() -> None:
    match = driver._COUNT.match("[12/345] Building CXX object x.o\n")
    assert match is not None
    assert match.groups() == ("12", "345")


# Progress


class Terminal(io.StringIO):
    """A place to write that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with steps() as step:
        step("configuring", 0, 0)
        step("building", 5, 10)
        step("building", 6, 10)  # too soon to draw again
        step("building", 10, 10)
    drawn = [line.rstrip() for line in screen.getvalue().split("\r\x1b[2K")]
    assert drawn[1] == "configuring"
    assert drawn[2].startswith("building")
    assert [line.split()[-1] for line in drawn[2:4]] == ["5/10", "10/10"]
    assert drawn[-1] == ""  # and nothing of it is left
    assert max(map(len, drawn)) < 80


def test_a_pipe_is_shown_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with steps() as step:
        step("building", 5, 10)
    assert screen.getvalue() == ""
