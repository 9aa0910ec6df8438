"""The wheel, not the checkout: built, installed elsewhere, and taken through the demo's steps from there."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh virtual environment that holds the wheel and sees this one's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "llamafile_format/_spec/rules.yaml" in names
    assert "llamafile_format/py.typed" in names
    assert len([name for name in names if name.startswith("llamafile_format/_spec/1/")]) >= 16
    shared = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert {"share/man/man1/llamafile-format.1", "share/bash-completion/completions/llamafile-format"} <= shared
    assert {
        "share/zsh/site-functions/_llamafile-format",
        "share/fish/vendor_completions.d/llamafile-format.fish",
    } <= shared
    assert "llamafile_format/_runtimes/llama.cpp/0.3.36/runtime.yaml" in names
    assert not [name for name in names if name.startswith(("tests/", "spec/", "runtimes/"))]
    home = folder / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([str(part) for part in install], check=True, capture_output=True)
    # Dependencies come from the environment that runs the tests: only the package itself is under test here.
    site = next((home / "lib").glob("python*/site-packages"))
    here = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(here) + "\n", "utf-8")
    return python


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def test_it_is_the_wheel_that_runs(installed: Path, tmp_path: Path) -> None:
    program = "import llamafile_format as lf, sys; print(lf.__file__); print(len(lf.rule('LF4001').title))"
    shown = subprocess.run(
        [installed, "-c", program], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
    )
    assert str(installed.parents[1]) in shown.stdout
    assert str(ROOT) not in shown.stdout


def test_demo_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [installed, ROOT / "examples" / "demo.py", tmp_path / "demo"],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "LF4001" in result.stdout
    assert (tmp_path / "demo" / "exhibit.html").stat().st_size > 10_000
    assert "Done." in result.stdout


def test_console_script(installed: Path, tmp_path: Path) -> None:
    script = installed.with_name("llamafile-format")
    for command in ([script, "--version"], [installed, "-m", "llamafile_format", "--version"]):
        shown = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True)
        assert shown.stdout.startswith("llamafile-format ")


def test_the_specification_comes_along(installed: Path, tmp_path: Path) -> None:
    script = installed.with_name("llamafile-format")
    for words in (["rule", "14.3.3"], ["rule", "LF1010", "--clause"]):
        shown = subprocess.run(
            [script, *words], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
        )
        assert "**" in shown.stdout
    page = installed.parents[1] / "share/man/man1/llamafile-format-verify.1"
    assert page.read_text("utf-8").startswith(".TH")


def test_pins_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = installed.with_name("llamafile-format")
    shown = subprocess.run(
        [script, "runtimes", "list"], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("llama.cpp@")
    program = "from llamafile_format.engines.store import find_pin; print(find_pin('llama.cpp').folder)"
    shown = subprocess.run(
        [installed, "-c", program], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
    )
    assert str(installed.parents[1]) in shown.stdout
