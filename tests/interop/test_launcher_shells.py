"""The launcher typed in every shell, started by other programs, and found by every kind of name (spec/1, 14.2.5)."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.prefix.bootstrap import HEADER_SIZE, Form, slot
from tests.launcher_samples import launchable, run, runtime, shown

pytestmark = pytest.mark.interop

TYPED = ["dash", "bash", "bash --posix", "zsh", "ksh93", "yash", "busybox sh", "fish", "tcsh"]
READING = ["dash", "bash", "bash --posix", "dash -eu", "bash -eu", "zsh", "ksh93", "yash", "busybox sh"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("LFF_CACHE", str(folder))
    return folder


def _shell(line: str, tool: Callable[[str], Path]) -> list[str]:
    name, *options = line.split()
    return [str(tool(name)), *options]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shell", TYPED)
def test_typed(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.llamafile")
    for _ in ("first", "cached"):
        done = run([*_shell(shell, tool), "-c", "./a.llamafile one 'two words' '' '$HOME'"], cwd=tmp_path)
        assert done.stdout == shown("one", "two words", "", "$HOME", container=file), done.stderr
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shell", READING)
def test_read_by_a_shell(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.llamafile", executable=False)
    for name in ("./a.llamafile", "a.llamafile", str(file)):
        done = run([*_shell(shell, tool), name, "-x", "two words"], cwd=tmp_path)
        assert (done.stdout, done.stderr) == (shown("-x", "two words", container=file), "")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "yash", "busybox sh", "fish", "tcsh"])
def test_found_on_path(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """All but ksh93, which gives the bare name to the script that it runs itself."""
    file = launchable(tmp_path / "a.llamafile")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run(
        [*_shell(shell, tool), "-c", "a.llamafile x"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=elsewhere,
    )
    assert done.stdout == shown("x", container=file), done.stderr


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    "caller",
    [
        ["env", "FILE", "x"],
        ["nice", "FILE", "x"],
        ["nohup", "FILE", "x"],
        ["timeout", "50", "FILE", "x"],
        ["setsid", "-w", "FILE", "x"],
        ["sh", "-c", "echo x | xargs FILE"],
        ["find", "FILE", "-maxdepth", "0", "-exec", "{}", "x", ";"],
        ["python3", "-c", "import subprocess; subprocess.run('FILE x', shell=True)"],
    ],
    ids=lambda caller: caller[0],
)
def test_started_by(caller: list[str], tmp_path: Path) -> None:
    if shutil.which(caller[0]) is None:
        pytest.skip(f"{caller[0]} is not installed")
    file = launchable(tmp_path / "a.llamafile")
    done = run([part.replace("FILE", str(file)) for part in caller], cwd=tmp_path)
    assert done.stdout == shown("x", container=file), done.stderr


@pytest.mark.usefixtures("cache")
def test_started_by_make(tool: Callable[[str], Path], tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.llamafile")
    (tmp_path / "Makefile").write_text("all:\n\t@./a.llamafile x\n")
    done = run([tool("make"), "-s"], cwd=tmp_path, env={"MAKEFLAGS": None, "MAKELEVEL": None})
    assert done.stdout == shown("x", container=file), done.stderr


NAMES = {
    "spaces": "two words.llamafile",
    "quotes": 'it\'s "so".llamafile',
    "dollar": "$HOME `id` $(id).llamafile",
    "utf-8": "Küche 猫.llamafile",
    "leading dash": "-rf.llamafile",
    "glob": "[a-z]*?.llamafile",
    "backslash": "a\\nb.llamafile",
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh"])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_names(shell: str, name: str, locale: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    if (shell, locale) == ("yash", "C") and not name.isascii():
        pytest.skip("yash knows no bytes above 127 in the C locale")
    folder = tmp_path / name.replace(".llamafile", " folder")
    folder.mkdir()
    file = launchable(folder / name)
    runner = _shell(shell, tool)
    environment = {"LC_ALL": locale}
    typed = run([*runner, "-c", f"./{shlex.quote(name)} x"], cwd=folder, env=environment)
    assert typed.stdout == shown("x", container=file), typed.stderr
    above = run([*runner, "-c", f"{shlex.quote(f'./{folder.name}/{name}')} x"], cwd=tmp_path, env=environment)
    assert above.stdout == shown("x", container=file), above.stderr
    whole = run([*runner, str(file), "x"], cwd="/", env=environment)
    assert whole.stdout == shown("x", container=file), whole.stderr


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh"])
def test_odd_circumstances(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    runner = _shell(shell, tool)
    file = launchable(tmp_path / "a.llamafile")
    (tmp_path / "link").symlink_to(file)
    linked = run([*runner, "-c", "./link x"], cwd=tmp_path)
    assert linked.stdout == shown("x", container=tmp_path / "link"), linked.stderr
    newline = tmp_path / "ends in a line feed\n"
    newline.mkdir()
    other = launchable(newline / "a.llamafile")
    done = run([*runner, "-c", "./a.llamafile x"], cwd=newline)
    assert done.stdout == shown("x", container=other), done.stderr
    for closing in ("<&-", "2>&-"):
        done = run([*runner, "-c", f"./a.llamafile x {closing}"], cwd=tmp_path)
        assert done.stdout == shown("x", container=file), done.stderr
    done = run([*runner, "-c", "./a.llamafile x"], cwd=tmp_path, env={"CDPATH": "/:/usr", "ENV": "/nowhere"})
    assert done.stdout == shown("x", container=file), done.stderr


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh", "convert"])
def test_files_with_launcher_1_start_as_ever(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.llamafile", version=1)
    command = [_native(file)] if shell == "convert" else [*_shell(shell, tool), file]
    for _ in ("first", "cached"):
        done = run([*command, "x"])
        assert (done.stdout, done.stderr) == (shown("x", container=file), "")


def _native(file: Path) -> Path:
    """``file`` with the header of its slot for this machine, if it has one."""
    form = {"x86_64": Form.ELF_X86_64, "aarch64": Form.ELF_AARCH64}.get(platform.machine())
    if form is None:
        pytest.skip("no native launcher for this machine")
    data = file.read_bytes()
    file.write_bytes(slot(data, form) + data[HEADER_SIZE:])
    return file


def test_exit_code_and_environment(cache: Path, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.llamafile")
    done = run(["sh", file], env={"SHOW_EXIT": "42"})
    assert done.returncode == 42
    bare = launchable(tmp_path / "b.llamafile", weights=False)
    done = run(["sh", bare], env={"LFF_WEIGHTS_OFFSET": "1", "LFF_WEIGHTS_SIZE": "2"})
    assert done.stdout == f"native|{bare}|||"
    assert sorted(path.name for path in cache.rglob("*")) == sorted(
        ["llamafile-format", "rt", "runtime", *(path.name for path in (cache / "llamafile-format/rt").iterdir())]
    )


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh"])
def test_a_cut_off_launcher_says_so(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """The bootstrap alone never runs into binary data: it ends with 9 if the second stage did not take over.

    Cut within the second stage nothing of it runs. zsh and ksh93 read all of it first, and say that themselves.
    """
    file, data = tmp_path / "a.llamafile", launchable(tmp_path / "whole").read_bytes()
    for size in (4096, 4196, 5000, 6000, 7000, 8192, 0x2800, 0x3000, 0x30000):
        file.write_bytes(data[:size])
        done = run([*_shell(shell, tool), file], env={"LFF_CACHE": str(tmp_path / "cache")})
        assert done.returncode in (9, 126)
        assert (done.returncode == 9) == (size == 4096 or (shell in ("zsh", "ksh93") and size < 8192))
        assert bool(done.stderr) == (size != 4096)
        assert done.returncode == 9 or "this file is cut off" in done.stderr
        assert not (tmp_path / "cache").exists()


def test_no_clobber(cache: Path, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """An option that bash inherits, by which no file is written twice."""
    file = launchable(tmp_path / "a.llamafile")
    done = run([tool("bash"), file, "x"], env={"SHELLOPTS": "noclobber", "LFF_CACHE": str(cache)})
    assert (done.stdout, done.stderr) == (shown("x", container=file), "")


def test_sizes_are_bytes(cache: Path, tmp_path: Path) -> None:
    """GNU ls shows sizes as its user wishes."""
    file = launchable(tmp_path / "a.llamafile")
    for wish in ("1K", "human-readable"):
        for _ in ("first", "cached"):
            done = run(["sh", file], env={"BLOCK_SIZE": wish, "LS_BLOCK_SIZE": wish})
            assert (done.stdout, done.stderr) == (shown(container=file), "")
    (kept,) = (path for path in cache.rglob("*") if path.is_file())
    inode = kept.stat().st_ino
    assert run(["sh", file], env={"BLOCK_SIZE": "1K"}).returncode == 0
    assert kept.stat().st_ino == inode


@pytest.mark.usefixtures("cache")
def test_flavours(tmp_path: Path) -> None:
    from tests.launcher_samples import HOST

    both = launchable(
        tmp_path / "both", {(HOST, "reference"): runtime("reference"), (HOST, "native"): runtime("native")}
    )
    one = launchable(tmp_path / "one", {(HOST, "reference"): runtime("reference"), ("wasm32-wasi", "reference"): b"w"})

    def started(file: Path, wish: str | None) -> tuple[int, str]:
        done = run(["sh", file], env={"LFF_FLAVOUR": wish})
        return done.returncode, done.stdout.partition("|")[0] or done.stderr.strip()

    assert started(both, None) == (0, "native")
    assert started(both, "native") == (0, "native")
    assert started(both, "reference") == (0, "reference")
    assert started(one, None) == (0, "reference")
    assert started(one, "") == (0, "reference")
    assert started(one, "native") == (
        127,
        f"one: no build for {HOST} (native) in this file; it has: {HOST}/reference wasm32-wasi/reference",
    )
    assert started(both, "*")[0] == 127
    with_gpu = launchable(tmp_path / "gpu", {(HOST, "gpu"): runtime("gpu"), (HOST, "native"): runtime("native")})
    assert started(with_gpu, None) == (0, "native")
    assert started(with_gpu, "gpu") == (127, f"gpu: no build for {HOST} (gpu) in this file; it has: {HOST}/native")
