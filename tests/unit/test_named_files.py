"""What a newcomer names by mistake: each is told in a line, with the documented code and what to do next."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llamafile_format.bounded_yaml import parse_yaml
from llamafile_format.errors import SourceError
from llamafile_format.reports.columns import clip_path, width
from llamafile_format.source import named, read_named
from tests.laws.containers import small_container, tiny_gguf


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


def test_a_regular_file_is_read_to_one_byte_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_named(path, 10) == b"0123456789"
    assert read_named(path, 4) == b"01234"


def test_a_pipe_is_read_whenever_its_writer_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Timer(0.2, pipe.write_bytes, [b"x" * 100_000])
    writer.start()
    assert read_named(pipe, 1 << 20) == b"x" * 100_000
    writer.join()


def test_what_holds_no_bytes_is_told_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "WAIT", 0.05)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, word in (
        (tmp_path / "pipe", "nobody writes"),
        (tmp_path / "loop", "links"),
        (tmp_path, "directory"),
        (Path("/dev/zero"), "regular"),
        (tmp_path / "absent", "No such file"),
    ):
        with pytest.raises(SourceError, match=word):
            read_named(path, 10)


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "FILE", "--key"],
        ["verify", "FILE", "--policy"],
        ["verify", "FILE", "--signature"],
        ["sign", "FILE", "--key"],
        ["import-oms", "FILE"],
        ["timestamp", "attach", "FILE"],
        ["pack", "MODEL", "--prefix", "none", "-o", "OUT", "--args-file"],
        ["pack", "MODEL", "--prefix", "none", "-o", "OUT", "--include"],
        ["pack", "-o", "OUT", "--recipe"],
    ],
    ids=" ".join,
)
def test_files_beside_the_file_are_code_4_if_they_cannot_be_read(words: list[str], packed: Path) -> None:
    model = packed.with_name("model.gguf")
    model.write_bytes(tiny_gguf())
    real = {"FILE": packed, "MODEL": model, "OUT": packed.with_name("out")}
    given = [real.get(word, word) for word in words]
    for wrong in (packed.with_name("absent"), packed.parent, Path("/dev/zero")):
        done = run(*given, wrong, code=4)
        assert wrong.name in "".join((done.stdout + done.stderr).split())


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
