"""The README tells the truth: the demo prints what it shows, its commands and files exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ToolFinder
from tests.docs_pages import script_of
from tests.runtime_server import native_build

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DEMO = (ROOT / "docs" / "demo.md").read_text("utf-8")
LIMITS = (ROOT / "docs" / "limits.md").read_text("utf-8")


def demo_output(folder: Path) -> str:
    """What ``make demo`` prints, with paths as they are when it runs in ``demo/`` of the repository."""
    command = [sys.executable, str(ROOT / "examples/demo.py"), str(folder / "demo")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    shown = re.sub(r"(\.\./)+[^ ]*?examples/exhibit/", "../examples/exhibit/", shown)
    return shown.replace(str(folder / "demo"), "demo").strip()


def steady(shown: str) -> str:
    """``shown`` without what differs from run to run: the new key, the length of its signature, the time, what a
    slow machine has had the time to remember; and what differs with a new version of the page, which is in one file."""
    for key in set(re.findall(r"^key id +([0-9a-f]{64})", shown, re.MULTILINE)):
        shown = shown.replace(key, "KEY").replace(key[:12], "KEY")
    shown = re.sub(r"^(\S+ +)\d+(?= bytes .*\nsigned )", r"\1SIZE", shown, flags=re.MULTILINE)
    shown = re.sub(
        r"(?<=last verified full: )(not remembered[^)]*|\d{4}-\d\d-\d\d)", "WHEN", shown
    )  # fresh files are not remembered
    shown = re.sub(r"^exhibit-page\.llamafile  .*$", "exhibit-page.llamafile  NEW", shown, flags=re.MULTILINE)
    shown = re.sub(r"^[0-9a-f]{64}(?=  out/llamafile-viewer\.html$)", "NEW", shown, flags=re.MULTILINE)
    return re.sub(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", shown)


def test_demo_prints_what_its_page_shows(tmp_path: Path, tool: ToolFinder) -> None:
    tool("chromium"), tool("chromedriver")
    block = DEMO.split("<!-- demo output", 1)[1].split("```text\n", 1)[1].split("\n```", 1)[0]
    assert steady(demo_output(tmp_path)) == steady(block)


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
    for name in ("archives", "hub", "researchers", "engineers", "limits", "figures", "demo", "architecture"):
        assert f"docs/{name}.md" in README


def _home(folder: Path) -> Path:
    """A folder as a fresh clone looks to what the pages type: examples and specification, nothing else."""
    clone = folder / "clone"
    clone.mkdir()
    shutil.copytree(ROOT / "examples", clone / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return clone


def _type(script: str, folder: Path) -> None:
    """Type ``script`` in a clone below ``folder``, with the command on the path and a home of its own."""
    bin_ = Path(sys.executable).parent
    (folder / "llamafile").symlink_to(sys.prefix)  # the environment that README makes
    env = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LFF_CACHE": str(folder / "cache"),
    }
    env |= {"XDG_CONFIG_HOME": str(folder / "config"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=_home(folder),
        capture_output=True,
        text=True,
        env=env,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["archive", "archives", "hub", "researchers", "engineers"])
def test_a_page_works_as_printed(name: str, tmp_path: Path, tool: ToolFinder) -> None:
    """Every block of commands, in the order printed, in one shell, with nothing but what a clone holds."""
    native_build()
    tool("openssl")
    _type(script_of((ROOT / "docs" / f"{name}.md").read_text("utf-8")), tmp_path)


@pytest.mark.slow
def test_the_four_commands_of_the_readme(tmp_path: Path) -> None:
    native_build()
    _type(script_of(README.split("## Four commands", 1)[1].split("\n## ", 1)[0]), tmp_path)


@pytest.mark.usefixtures("tiny_runtimes")
def test_python_block_runs(tmp_path: Path) -> None:
    from llamafile_format.signing.keys.key_files import generate, write_keys
    from tests.laws.containers import tiny_gguf

    (tmp_path / "model.gguf").write_bytes(tiny_gguf())
    write_keys(tmp_path / "archive.key", generate("p384"), passphrase=None)
    page = (ROOT / "docs" / "engineers.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
    assert (tmp_path / "library.llamafile").exists()


def test_limits_are_told() -> None:
    for word in ("Signatures", "sandbox", "APE", "Mac", "undetermined", "DROID", "-tzip"):
        assert word in LIMITS
