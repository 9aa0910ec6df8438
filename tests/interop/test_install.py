"""Installing as it is printed: a virtual environment, pipx or uv; the command is on PATH, the man page is found."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that has pipx and uv from the package index."""
    home = tmp_path_factory.mktemp("installers")
    venv.create(home, with_pip=True)
    got = _run([home / "bin/python", "-m", "pip", "install", "--quiet", "pipx", "uv"], {})
    if got.returncode:
        pytest.skip(f"no pipx and uv from the package index here: {got.stderr.strip()[-200:]}")
    return home / "bin"


def _run(command: list[object], extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=clean | extra, timeout=500
    )


def _index(python: Path) -> dict[str, str]:
    """uv has no settings of pip's: it is told the index that pip is set up with."""
    shown = _run([python, "-m", "pip", "config", "get", "global.index-url"], {})
    return {"UV_DEFAULT_INDEX": shown.stdout.strip()} if shown.returncode == 0 and shown.stdout.strip() else {}


def _works(folder: Path) -> None:
    """The command is found by its name, in a folder that is on PATH, and has all that it needs."""
    environment = {"PATH": f"{folder}{os.pathsep}{os.defpath}"}
    shown = _run(["sh", "-c", "llamafile-format --version && llamafile-format rule 1.1"], environment)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("llamafile-format ")
    assert "spec/1" in shown.stdout


def test_a_virtual_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=True)
    got = _run([tmp_path / "v/bin/pip", "install", "--quiet", wheel], {})
    if "No matching distribution" in got.stderr:
        pytest.skip("no package index here")
    assert got.returncode == 0, got.stderr[-2000:]
    _works(tmp_path / "v/bin")
    assert (tmp_path / "v/share/man/man1/llamafile-format.1").exists()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/llamafile-format").symlink_to(tmp_path / "v/bin/llamafile-format")
    _works(tmp_path / "bin")


def test_pipx(wheel: Path, installer: Path, tmp_path: Path) -> None:
    places = {
        "PIPX_HOME": str(tmp_path / "home"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    got = _run([installer / "pipx", "install", wheel], places)
    assert got.returncode == 0, got.stderr[-2000:]
    _works(tmp_path / "bin")
    assert (tmp_path / "man/man1/llamafile-format-verify.1").exists()


def test_uv(wheel: Path, installer: Path, tmp_path: Path) -> None:
    places = {
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON": sys.executable,
        **_index(installer / "python"),
    }
    got = _run([installer / "uv", "tool", "install", "--quiet", wheel], places)
    assert got.returncode == 0, got.stderr[-2000:]
    _works(tmp_path / "bin")
