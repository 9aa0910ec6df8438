"""Identifiers of Software Heritage, compared with git, whose object names they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llamafile_format.engines.swhid import of_content, of_folder, of_path

EMPTY_TREE = "swh:1:dir:4b825dc642cb6eb9a060e54bf8d69288fbee4904"
EMPTY_BLOB = "swh:1:cnt:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Names that sort differently as files and as folders, a program, a link, bytes that are no text."""
    folder = tmp_path / "tree"
    for name, data in {"a": b"1", "a.b": b"2", "a-b/x": b"3", "a0": b"4", "b/c/d": b"\xff\n", "ü": b""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "a.b").chmod(0o755)
    (folder / "link").symlink_to("b/c")
    return folder


def test_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert of_content(tmp_path / "file") == of_path(tmp_path / "file") == EMPTY_BLOB
    (tmp_path / "file").unlink()
    assert of_folder(tmp_path) == of_path(tmp_path) == EMPTY_TREE


def test_entries_can_be_left_out(tree: Path) -> None:
    whole = of_folder(tree)
    (tree / ".git").write_text("gitdir: elsewhere\n")
    assert of_folder(tree) != whole
    assert of_folder(tree, leave_out=frozenset({".git"})) == whole
    (tree / "b" / ".git").write_text("")  # only at the top
    assert of_folder(tree, leave_out=frozenset({".git"})) != whole


def test_programs_and_links_count(tree: Path) -> None:
    whole = of_folder(tree)
    (tree / "a").chmod(0o755)
    assert of_folder(tree) != whole
    (tree / "a").chmod(0o600)
    assert of_folder(tree) == whole
    (tree / "link").unlink()
    (tree / "link").symlink_to("b")
    assert of_folder(tree) != whole


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_gives_the_same_names(tree: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "GIT_DIR": str(tmp_path / "git"), "GIT_WORK_TREE": str(tree)}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def git(*arguments: str) -> str:
        found = subprocess.run(
            ["git", *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=True
        )
        return found.stdout.strip()

    git("init", "-q")
    git("add", "-A")
    assert of_folder(tree) == f"swh:1:dir:{git('write-tree')}"
    assert of_content(tree / "b/c/d") == f"swh:1:cnt:{git('hash-object', 'b/c/d')}"
