"""What a newcomer names by mistake: each is told in a line, with the documented code and what to do next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llamafile_format.bounded_yaml import parse_yaml
from llamafile_format.reports.columns import clip_path, width
from tests.laws.containers import small_container


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return small_container(tmp_path)


def run(*words: object, code: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "llamafile_format", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_yaml_that_does_not_parse_is_told_with_its_place() -> None:
    value, reason = parse_yaml(b"a:\n  b: [\n", 100)
    assert value is None
    assert reason.startswith("line 3, column 1: it is not YAML")
    assert "<" not in reason


def test_recover_says_what_is_wrong_with_a_file_that_was_cut_off(packed: Path) -> None:
    assert run("recover", packed, code=0).stderr == ""
    cut = packed.with_name("cut.llamafile")
    cut.write_bytes(packed.read_bytes()[:-200])
    done = run("recover", cut, code=0)
    assert "nothing to do" in done.stdout
    assert "cut off" in done.stderr
    assert "--salvage" in done.stderr


@pytest.mark.parametrize("data", [b"", b"only some text\n" * 40])
def test_recover_of_what_is_no_llamafile(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    done = run("recover", tmp_path / "file", code=3)
    assert "nothing to do" in done.stdout
    assert "and yet" in done.stderr
    assert json.loads(run("recover", tmp_path / "file", "--json", code=3).stdout)["outcome"] == "nothing to do"


def test_a_cut_off_file_is_told_once(packed: Path) -> None:
    cut = packed.with_name("cut.llamafile")
    cut.write_bytes(packed.read_bytes()[:-200])
    text = run("verify", cut, code=4).stdout
    assert text.count("cut off") == 1
    assert "LF1010" in text
    long = packed.with_name("n" * 60 + ".llamafile")
    assert all(len(line) <= 80 for line in run("verify", long, code=4).stdout.splitlines()[1:] if "/" not in line)


def test_a_change_of_what_is_not_there_proposes_no_other_output(packed: Path) -> None:
    done = run("convert", "--to", "polyglot", packed.with_name("absent"), code=4)
    assert "hint" not in done.stderr


def test_a_folder_that_is_a_file_is_told(packed: Path) -> None:
    for words in (["extract", packed], ["recover", packed, "--salvage"]):
        assert "is not a folder" in run(*words, "-C", packed, code=2).stderr


@pytest.mark.usefixtures("tiny_runtimes")
def test_what_was_packed_in_the_place_of_a_model_is_named(packed: Path) -> None:
    out = packed.with_name("out")
    assert "repack" in run("pack", packed, "--prefix", "launcher", "-o", out, code=2).stderr
    cut = packed.with_name("cut.llamafile")
    cut.write_bytes(packed.read_bytes()[:-200])
    assert "LF1010" in run("pack", cut, "-o", out, code=1).stderr
    text = packed.with_name("notes")
    text.write_text("hello\n")
    assert "no model: notes" in run("pack", text, "-o", out, code=2).stderr


@pytest.mark.parametrize(
    ("path", "cells", "shown"),
    [
        ("model.gguf", 10, "model.gguf"),
        ("runtimes/llama.cpp/0.3.36/native/freebsd-x86_64", 25, "…/native/freebsd-x86_64"),
        ("META-LLAMAFILE/README.txt", 20, "…/README.txt"),
        ("a-name-without-any-folder.gguf", 12, "a-nam…r.gguf"),
        ("folder/a-name-that-is-too-long.gguf", 12, "folde…g.gguf"),
    ],
)
def test_paths_are_cut_at_whole_folders(path: str, cells: int, shown: str) -> None:
    assert clip_path(path, cells) == shown
    assert width(shown) <= cells
