"""Man pages and completion: what lies in ``share/`` is what the command says of itself, and works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from share.generate import HERE, files

Tool = Callable[[str], Path]


def test_share_is_what_its_program_writes() -> None:
    written = {
        path.relative_to(HERE).as_posix(): path.read_text("utf-8")
        for path in HERE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert written == files(), "run: make share"


def test_every_command_has_a_page() -> None:
    from llamafile_format.cli.main import COMMANDS

    names = set(files())
    assert {f"man/man1/llamafile-format-{name}.1" for name in COMMANDS} <= names
    page = files()["man/man1/llamafile-format-verify.1"]
    for part in (".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH EXIT STATUS", "\\-\\-strict"):
        assert part in page
    for text in files().values():
        assert all(ord(character) < 128 or character in "…×–“”" for character in text)


@pytest.mark.parametrize(
    ("shell", "words", "wanted"),
    [
        ("bash", {"COMP_WORDS": "llamafile-format ver", "COMP_CWORD": "1"}, "plain,verify"),
        ("zsh", {"COMP_WORDS": "llamafile-format ver", "COMP_CWORD": "1"}, "verify"),
        ("fish", {"COMP_WORDS": "llamafile-format ver", "COMP_CWORD": "ver"}, "verify"),
    ],
)
def test_completion_answers(shell: str, words: dict[str, str], wanted: str, tmp_path: Path) -> None:
    """What the scripts ask the command, and what it answers."""
    import os

    script = tmp_path / "llamafile-format"
    script.write_text(f"#!{sys.executable}\nfrom llamafile_format.__main__ import main\nmain()\n")
    script.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "_LLAMAFILE_FORMAT_COMPLETE": f"{shell}_complete", **words}
    shown = subprocess.run([script], capture_output=True, text=True, env=env, check=True)
    assert wanted in shown.stdout


@pytest.mark.interop
@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", "bash-completion/completions/llamafile-format"),
        ("zsh", "zsh/site-functions/_llamafile-format"),
        ("fish", "fish/vendor_completions.d/llamafile-format.fish"),
    ],
)
def test_the_scripts_parse(shell: str, path: str, tool: Tool) -> None:
    subprocess.run([tool(shell), "-n", HERE / path], check=True, capture_output=True)
