"""The native launchers in files that ``convert`` made: started without a shell, and for ARM64 under QEMU."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.prefix.bootstrap import Form, slot
from tests.launcher_samples import UNIT, cached, launchable, run, runtime, shown

pytestmark = pytest.mark.interop

FORMS = {"x86_64": Form.ELF_X86_64, "aarch64": Form.ELF_AARCH64}


def converted(file: Path, form: Form) -> Path:
    """``file`` with the header of ``form``."""
    with file.open("r+b") as stream:
        header = slot(stream.read(UNIT), form)
        stream.seek(0)
        stream.write(header)
    return file


@pytest.fixture
def native(tmp_path: Path) -> Path:
    """A converted file that this machine starts."""
    form = FORMS.get(platform.machine())
    if platform.system() != "Linux" or form is None:
        pytest.skip("no native launcher for this machine")
    return converted(launchable(tmp_path / "two words.llamafile"), form)


def test_started_without_a_shell(native: Path, tmp_path: Path) -> None:
    environment = {"LFF_CACHE": str(tmp_path / "cache")}
    done = run([native, "a", "b c", ""], env=environment)
    assert (done.stdout, done.stderr) == (shown("a", "b c", "", container=native), "")
    assert run([native], env={**environment, "SHOW_EXIT": "42"}).returncode == 42
    process = os.posix_spawn(native, [str(native), "x"], {**os.environ, **environment, "SHOW_EXIT": "7"})
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    (tmp_path / "link").symlink_to(native)
    assert run([tmp_path / "link", "x"], env=environment).stdout == shown("x", container=native)


def test_under_another_name(native: Path, tmp_path: Path) -> None:
    """argv[0] leads nowhere, and there is no environment but the cache."""
    script = "import os, sys; os.execve(sys.argv[1], ['-odd', 'x'], {'LFF_CACHE': sys.argv[2]})"
    done = run(["python3", "-c", script, native, tmp_path / "cache"])
    assert done.stdout == shown("x", container=native), done.stderr


def test_an_index_that_makes_no_sense_is_refused(native: Path, tmp_path: Path) -> None:
    for at, value in (
        (0x400, b"X"),
        (0x408, b"\1"),
        (0x410, b"\x25"),
        (0x414, b"\1"),
        (0x4C0 + 19, b"x"),
        (0x4DF, b"x"),
    ):
        broken = tmp_path / "broken"
        data = native.read_bytes()
        broken.write_bytes(data[:at] + value + data[at + 1 :])
        broken.chmod(0o755)
        done = run([broken], env={"LFF_CACHE": str(tmp_path / "cache")})
        assert (done.returncode, done.stderr) == (126, "broken: the index of the launcher in this file is damaged\n")


def test_arm64_under_qemu(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """QEMU runs the launcher, which keeps the build for ARM64; starting that is the kernel's work, if it knows how."""
    build = launchable(
        tmp_path / "a",
        {("linux-aarch64", "native"): runtime(), ("linux-x86_64", "native"): b"another"},
    )
    file, cache = converted(build, Form.ELF_AARCH64), tmp_path / "cache"
    done = run([tool("qemu-aarch64-static"), file, "x"], env={"LFF_CACHE": str(cache)})
    assert cached(cache, runtime()).read_bytes() == runtime()
    if done.returncode != 126:
        assert done.stdout.startswith(f"native|{file}|")
    data = bytearray(file.read_bytes())
    data[0x40000 + 1000] ^= 1
    file.write_bytes(data)
    cached(cache, runtime()).unlink()
    done = run([tool("qemu-aarch64-static"), file], env={"LFF_CACHE": str(cache)})
    assert (done.returncode, done.stderr) == (
        126,
        "a: the build for linux-aarch64 in this file is damaged (wrong SHA-256)\n",
    )


@pytest.mark.slow
def test_programs_come_out_the_same_again(tmp_path: Path, repository: Path) -> None:
    """Build every program of every launcher version with the pinned toolchain and compare digests.

    LFF_ZIG_PYTHON names a Python that has the toolchain; otherwise it is installed into an environment of the test's.
    """
    python = os.environ.get("LFF_ZIG_PYTHON", sys.executable)
    probe = "import importlib.metadata as m; print(m.version('ziglang'))"
    found = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    if found.returncode:
        venv = tmp_path / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=300)
        python = str(venv / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        site = sysconfig.get_path("purelib")
        got = subprocess.run([*pip, "ziglang==0.17.0"], capture_output=True, text=True, check=False, timeout=600)
        if got.returncode:
            pytest.skip("the ziglang package cannot be had here")
        (next(venv.glob("lib/python*/site-packages")) / "ours.pth").write_text(site + "\n")
    for folder in sorted(path for path in (repository / "runtimes" / "launcher").iterdir() if path.name.isdigit()):
        done = subprocess.run(
            [
                python,
                repository / "runtimes" / "launcher" / "build.py",
                folder.name,
                "--out",
                tmp_path / folder.name,
                "--cache",
                tmp_path / "cache",  # the libraries are made once for all versions
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=3000,
        )
        assert done.returncode == 0, done.stdout + done.stderr
