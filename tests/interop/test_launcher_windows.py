"""The Windows launcher under wine, with wine's own ``cmd.exe`` as the runtime (spec/1, 14.2.6, 14.2.8 and 14.4)."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from llamafile_format.prefix.launcher import LAUNCHER_SIZE, LauncherBuild, Sibling, build_launcher
from tests.launcher_samples import UNIT, cached, launchable

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TARGET = ("windows-x86_64", "native")
SAID = "%LFF_CONTAINER%,%LFF_WEIGHTS_OFFSET%,%LFF_WEIGHTS_SIZE%"
Wine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> Iterator[Path]:
    """A Windows of the module's own."""
    folder = tmp_path_factory.mktemp("wine")
    environment = {**os.environ, "WINEPREFIX": str(folder), "WINEDEBUG": "-all"}
    wine = tool("wine64")
    made = subprocess.run([wine, "wineboot", "--init"], env=environment, capture_output=True, timeout=300, check=False)
    if made.returncode:
        pytest.skip("wine does not start here")
    ask_server(wine, folder, "-p")  # one that stays: a test that meets a server as it leaves waits for good
    yield folder
    ask_server(wine, folder, "-k")


def ask_server(wine: Path, folder: Path, option: str) -> None:
    """Tell the server of the Windows in ``folder`` to stay (``-p``) or to end with all that it runs (``-k``)."""
    server = next((path for name in ("wineserver64", "wineserver") if (path := wine.parent / name).exists()), None)
    if server is not None:
        environment = {**os.environ, "WINEPREFIX": str(folder), "WINEDEBUG": "-all"}
        # Not through pipes: a server that stays would keep them open.
        subprocess.run(
            [server, option],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


@pytest.fixture
def wine(prefix: Path, tool: Callable[[str], Path], tmp_path: Path) -> Wine:
    """Start a Windows program; its cache is ``tmp_path/cache``.

    Wine's own crash leaves its server waiting, and every later program with it. So a program that says nothing for a
    minute is started once more under a new server; one that hangs by itself hangs again, and fails.
    """
    program = tool("wine64")

    def start(file: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        try:
            return once(file, *arguments, **env)
        except subprocess.TimeoutExpired:
            ask_server(program, prefix, "-k")
            return once(file, *arguments, **env)

    def once(file: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        values = {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "LFF_CACHE": windows_path(tmp_path / "cache"), **env}
        with TemporaryFile("w+", errors="replace") as out, TemporaryFile("w+", errors="replace") as err:
            done = subprocess.run(
                [program, file, *arguments],
                env={**os.environ, **values},
                stdout=out,  # a pipe would be held open by the services of Windows that the first program starts
                stderr=err,
                timeout=60,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())

    return start


@pytest.fixture(scope="module")
def cmd() -> bytes:
    """A program for Windows that says what it is asked."""
    found = sorted(Path("/usr/lib").glob("*/wine/x86_64-windows/cmd.exe"))
    if not found:
        pytest.skip("wine has no cmd.exe here")
    return found[0].read_bytes()


def windows_path(path: Path) -> str:
    """``path`` as wine's drive Z shows it."""
    return "Z:" + str(path).replace("/", "\\")


def test_starts_and_keeps_the_build(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    for name in ("a.exe", "two words é.exe", "a.llamafile"):
        file = launchable(tmp_path / name, {TARGET: cmd})
        offset = LAUNCHER_SIZE + -(-len(cmd) // UNIT) * UNIT
        for _ in ("first", "cached"):
            done = wine(file, "/c", f"echo {SAID}")
            container, *numbers = done.stdout.strip().split(",")
            assert numbers == [str(offset), "7"], done.stderr
            if name.isascii():  # the console's code page decides how others look
                assert container == windows_path(file)
    assert cached(tmp_path / "cache", cmd, "runtime.exe").read_bytes() == cmd
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1


def test_arguments_and_exit_code(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd}, weights=False)
    done = wine(file, "/c", "echo one two three& exit 42")
    assert (done.returncode, done.stdout.strip()) == (42, "one two three")
    done = wine(file, "/c", "if defined LFF_WEIGHTS_OFFSET (echo there) else (echo none)", LFF_WEIGHTS_OFFSET="5")
    assert done.stdout.strip() == "none"


def test_damaged_build_is_refused(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    data = bytearray(file.read_bytes())
    data[LAUNCHER_SIZE + 5000] ^= 1
    file.write_bytes(data)
    done = wine(file, "/c", "echo", "never")
    assert done.returncode == 126
    assert done.stderr.strip() == "a.exe: the build in this file is damaged (wrong SHA-256)"
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_tampered_copy(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    kept = cached(tmp_path / "cache", cmd, "runtime.exe")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(cmd + b"x")
    assert wine(file, "/c", "echo ok").stdout.strip() == "ok"
    assert kept.read_bytes() == cmd
    kept.write_bytes(bytes(len(cmd)))
    assert wine(file, "/c", "echo ok", LFF_VERIFY="1").stdout.strip() == "ok"
    assert kept.read_bytes() == cmd


def test_no_build(wine: Wine, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {("linux-x86_64", "native"): b"x"})
    done = wine(file)
    assert done.returncode == 127
    assert done.stderr.strip() == "a.exe: no build for windows-x86_64 in this file; it has: linux-x86_64/native"


def test_flavours(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: b"not a program", ("windows-x86_64", "reference"): cmd})
    assert wine(file, "/c", "echo ok", LFF_FLAVOUR="reference").stdout.strip() == "ok"
    assert wine(file, "/c", "echo ok", LFF_FLAVOUR="other").returncode == 127
    done = wine(file, "/c", "echo ok")
    assert done.returncode == 126
    assert "a.exe: cannot start " in done.stderr


def test_an_arm64_machine_gets_its_own_build(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    """No such machine is at hand. So in a copy of the launcher the number of ARM64 is that of wine's own processor."""
    arm = ("windows-aarch64", "native")
    for name, programs, answer in (
        ("own.exe", {TARGET: b"not a program", arm: cmd}, 0),
        ("other.exe", {TARGET: cmd}, 0),
        ("none.exe", {("linux-x86_64", "native"): b"x"}, 127),
    ):
        file = launchable(tmp_path / name, programs)
        plain = bytearray(file.read_bytes())
        code = bytes(plain[0x3000:0xFE00])
        assert code.count(b"\x64\xaa") == 1
        at = 0x3000 + code.index(b"\x64\xaa")
        plain[at : at + 2] = b"\x64\x86"
        file.write_bytes(plain)
        done = wine(file, "/c", "echo ok")
        assert done.returncode == answer, done.stderr
        assert done.stdout.strip() == ("ok" if not answer else "")
    assert "no build for windows-aarch64 in this file" in done.stderr


def test_variables_of_others_are_not_passed_on(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    tell = "if defined LFF_CONTAINER_FD (echo there) else (if defined LFF_WEBUI (echo there) else (echo none))"
    assert wine(file, "/c", tell, LFF_CONTAINER_FD="3:1:2", LFF_WEBUI="x").stdout.strip() == "none"


def test_a_cut_file_says_so(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    file.write_bytes(file.read_bytes()[:-1])
    done = wine(file, "/c", "echo never")
    assert (done.returncode, done.stderr.strip()) == (126, "a.exe: this file is cut off")


def test_what_was_left_behind_is_removed(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    host = wine(file, "/c", "hostname").stdout.strip() or platform.node()
    leaf = cached(tmp_path / "cache", cmd, "runtime.exe").parent
    for name in (f"runtime.exe.{host}.999996", "runtime.exe.elsewhere.999996", f"runtime.exe.{host}.x"):
        (leaf / name).write_bytes(b"half")
    assert wine(file, "/c", "echo ok").stdout.strip() == "ok"
    found = sorted(path.name for path in leaf.iterdir())
    assert found == sorted(["runtime.exe", "runtime.exe.elsewhere.999996", f"runtime.exe.{host}.x"])


def test_first_starts_at_once(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a.exe", {TARGET: cmd})
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: wine(file, "/c", f"echo {number}"), range(8)))
    assert [each.stdout.strip() for each in done] == [str(number) for number in range(8)]
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [
        cached(tmp_path / "cache", cmd, "runtime.exe")
    ]


def _beside(folder: Path, cmd: bytes, manifest: bytes) -> tuple[Path, Path]:
    """``large.exe`` beside ``large.llamafile``, bound by the place and digest of what stands for a manifest."""
    large = folder / "large.llamafile"
    large.write_bytes(bytes(70_000) + manifest + bytes(100))
    sibling = Sibling(70_000, len(manifest), hashlib.sha256(manifest).hexdigest())
    build = LauncherBuild(*TARGET, LAUNCHER_SIZE, len(cmd), hashlib.sha256(cmd).hexdigest())
    small = folder / "large.exe"
    small.write_bytes(build_launcher([build], (1234, 5678), sibling=sibling) + cmd)
    return small, large


def test_small_program_beside_a_large_container(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    small, large = _beside(tmp_path, cmd, b"a manifest")
    done = wine(small, "/c", f"echo {SAID}")
    assert done.stdout.strip() == f"{windows_path(large)},1234,5678", done.stderr
    with large.open("ab") as stream:
        stream.write(b"a signature more")
    assert wine(small, "/c", "echo ok").stdout.strip() == "ok"


def test_another_container_is_refused(wine: Wine, cmd: bytes, tmp_path: Path) -> None:
    small, large = _beside(tmp_path, cmd, b"a manifest")
    large.write_bytes(bytes(70_000) + b"other text" + bytes(100))
    done = wine(small, "/c", "echo ok")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.strip() == f"large.exe: this program does not belong to {windows_path(large)}"
    large.write_bytes(b"short")
    assert wine(small, "/c", "echo ok").returncode == 126
    large.unlink()
    done = wine(small, "/c", "echo ok")
    assert done.returncode == 126
    assert "belongs beside this program, and cannot be opened" in done.stderr
