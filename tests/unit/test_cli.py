"""The command: exit codes, streams, what errors look like, and that nothing is clobbered or left half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.laws.containers import gguf_head, small_container, tiny_gguf
from tests.repack_samples import unfinished

CLI = [sys.executable, "-m", "llamafile_format"]


def run(*arguments: object, code: int = 0, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command and check its exit code."""
    command = [*CLI, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert result.returncode == code, (command, result.stdout, result.stderr)
    return result


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return small_container(tmp_path)


def test_exit_codes_of_verify(packed: Path, tmp_path: Path) -> None:
    run("verify", packed)
    damaged, other, cut = tmp_path / "damaged", tmp_path / "other", tmp_path / "cut"
    data = bytearray(packed.read_bytes())
    data[len(data) // 3] ^= 4
    damaged.write_bytes(data)
    other.write_text("Dear Sir or Madam,\n" * 99)
    cut.write_bytes(packed.read_bytes()[:-300])
    run("verify", damaged, code=1)
    run("verify", other, code=3)
    run("verify", tmp_path / "absent", code=4)
    run("verify", cut, code=4)
    run("verify", "--level", "thorough", packed, code=2)
    run("verify", code=2)


def test_the_worst_code_wins(packed: Path, tmp_path: Path) -> None:
    damaged, other = tmp_path / "damaged", tmp_path / "other"
    damaged.write_bytes(packed.read_bytes() + b"\0")
    other.write_text("hello")
    run("verify", packed, other, code=3)
    run("verify", packed, damaged, other, code=1)
    run("verify", tmp_path / "absent", damaged, code=4)


def test_strict_counts_what_was_not_looked_at(packed: Path) -> None:
    run("verify", "--level", "quick", packed)
    run("verify", "--level", "quick", "--strict", packed, code=1)
    run("verify", "--level", "full", "--strict", packed)


def test_json_and_jsonl(packed: Path, tmp_path: Path) -> None:
    value = json.loads(run("verify", "--format", "json", packed).stdout)
    assert value["verdicts"] == {"well-formed": "yes", "valid": "yes"}
    assert value["findings"] == []
    lines = run("verify", "--format", "jsonl", packed, packed).stdout.splitlines()
    assert [json.loads(line)["file"]["name"] for line in lines] == [str(packed)] * 2
    assert len(json.loads(run("verify", "--format", "json", packed, packed).stdout)) == 2


def test_stdout_carries_data_only(packed: Path, tmp_path: Path) -> None:
    result = run("verify", "--format", "json", packed)
    assert result.stderr == ""
    result = run("extract", tmp_path / "absent", code=4)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")


def test_plain_messages_for_what_is_no_llamafile(tmp_path: Path) -> None:
    lfs = tmp_path / "lfs.llamafile"
    lfs.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4000000000\n")
    page = tmp_path / "page.llamafile"
    page.write_text("<!DOCTYPE html><html><title>404</title></html>")
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(tiny_gguf())
    assert "LFS" in run("extract", lfs, code=3).stderr
    assert "HTML" in run("extract", page, code=3).stderr
    assert "GGUF" in run("extract", gguf, code=3).stderr
    assert "LF1001" in run("verify", lfs, code=3).stdout


def test_never_clobbers(packed: Path, tmp_path: Path) -> None:
    before = packed.read_bytes()
    model = tmp_path / "tiny.gguf"
    message = run("pack", "--prefix", "none", model, "-o", packed, code=2).stderr
    assert "--force" in message
    assert packed.read_bytes() == before
    run("pack", "--prefix", "none", model, "-o", packed, "--force")
    assert packed.read_bytes() != before
    run("extract", packed, "-C", tmp_path, code=2)


def test_disk_full_leaves_nothing(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the write fails, no file appears, the message says what to do."""
    model = tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf(values=1 << 20))
    out = tmp_path / "out"
    out.mkdir()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    result = run("pack", "--prefix", "none", model, "-o", out / "m.llamafile", code=4, preexec_fn=limit)
    assert "nothing was left" in result.stderr
    assert list(out.iterdir()) == []


def test_kill_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    with model.open("wb") as file:
        file.write(gguf_head("tiny", (300 << 20) // 4))
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    out = tmp_path / "m.llamafile"
    process = subprocess.Popen(
        [*CLI, "pack", "--prefix", "none", str(model), "-o", str(out)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".m.llamafile.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()


def test_unreadable_input(tmp_path: Path) -> None:
    run("pack", "--prefix", "none", tmp_path / "absent.gguf", "-o", tmp_path / "o", code=4)
    run("pack", "--prefix", "none", tmp_path, "-o", tmp_path / "o", code=4)
    assert not (tmp_path / "o").exists()


def test_usage_errors_say_what_to_do(packed: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf("other"))
    assert "--default" in run("pack", "--prefix", "none", model, other, "-o", tmp_path / "x", code=2).stderr
    run("pack", "--prefix", "none", model, other, "--default", "other.gguf", "-o", tmp_path / "x")
    assert "power of two" in run("pack", "--prefix", "none", model, "--align", 3, "-o", tmp_path / "y", code=2).stderr
    assert (
        "member name"
        in run("pack", "--prefix", "none", model, "--include", f"{model}=../x", "-o", tmp_path / "y", code=2).stderr
    )
    include = ["--include", f"{model}=x", "--role", "hero"]
    assert "role" in run("pack", "--prefix", "none", model, *include, "-o", tmp_path / "y", code=2).stderr
    assert "no member" in run("extract", packed, "nope", "-C", tmp_path / "z", code=2).stderr


def test_split_set_is_taken_whole(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.llamafile"
    run("pack", "--prefix", "none", shared_data / "gguf/split-00002-of-00002.gguf", "-o", out)
    listed = run("inspect", "--entries", out).stdout
    assert "split-00001-of-00002.gguf" in listed
    lonely = tmp_path / "a-00001-of-00002.gguf"
    lonely.write_bytes((shared_data / "gguf/split-00001-of-00002.gguf").read_bytes())
    assert "a-00002-of-00002.gguf" in run("pack", "--prefix", "none", lonely, "-o", tmp_path / "l", code=2).stderr


def test_merged_splits_have_the_tensors_of_the_unsplit_file(shared_data: Path, tmp_path: Path) -> None:
    import gguf

    out = tmp_path / "m.llamafile"
    shard = shared_data / "gguf/split-00001-of-00002.gguf"  # these shards name no architecture
    run("pack", "--prefix", "none", shard, "--merge-splits", "--force", "-o", out)
    run("extract", out, "split.gguf", "-C", tmp_path)
    merged = gguf.GGUFReader(str(tmp_path / "split.gguf"))
    whole = gguf.GGUFReader(str(shared_data / "gguf/split-unsplit.gguf"))
    assert {t.name: t.data.tobytes() for t in merged.tensors} == {t.name: t.data.tobytes() for t in whole.tensors}
    assert not [key for key in merged.fields if key.startswith("split.")]


def test_diff_and_rule(packed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.write_bytes(packed.read_bytes())
    assert run("diff", packed, again).stdout == ""
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf("other"))
    run("pack", "--prefix", "none", other, "-o", tmp_path / "o.llamafile", "--name", "x")
    shown = run("diff", packed, tmp_path / "o.llamafile", code=1).stdout
    assert "other.gguf" in shown
    assert "metadata" in shown
    assert "clause" in run("rule", "LF4001").stdout
    assert len(run("rule").stdout.splitlines()) > 200
    run("rule", "LF0000", code=2)


def test_closed_pipe_is_no_error(packed: Path) -> None:
    command = f"{sys.executable} -m llamafile_format rule | head -1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("llamafile-format 1.")
    shown = run("--help").stdout
    for command in ("pack", "inspect", "verify", "extract", "diff", "repack", "recover", "rule"):
        assert command in shown
        assert "--help" in run(command, "--help").stdout


def test_no_progress_when_piped(packed: Path) -> None:
    assert run("verify", packed).stderr == ""


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = tmp_path / "evil\x1b[2Jname.llamafile"
    evil.write_bytes(b"not one")
    for command in (["verify"], ["extract"], ["inspect"]):
        result = run(*command, evil, code=3)
        assert "\x1b" not in result.stdout + result.stderr


def test_engine_files_that_are_not_carried_over_are_told(tmp_path: Path) -> None:
    """A llamafile given as an engine: its weights stay dead bytes of the prefix, and the user hears of it."""
    import zipfile

    engine, model = tmp_path / "engine", tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf())
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    with zipfile.ZipFile(engine, "a") as archive:
        archive.writestr("www/index.html", "<p>hello</p>")
        archive.writestr("old.gguf", tiny_gguf("old"))
    result = run("pack", model, "--prefix", engine, "-o", tmp_path / "out")
    assert "old.gguf was not carried over" in result.stderr
    assert "index.html" not in result.stderr
    run("verify", "--level", "exhaustive", tmp_path / "out")


def test_every_command_refuses_a_file_with_an_unfinished_change(packed: Path, tmp_path: Path) -> None:
    """Exit code 4 and the journal's name; the file may be half changed, and writing over it would lose the way back."""
    good = tmp_path / "good.llamafile"
    good.write_bytes(packed.read_bytes())
    journal = unfinished(packed)
    before = packed.read_bytes()
    for command in (
        ["inspect", packed],
        ["verify", packed],
        ["view", packed, "--no-browser"],
        ["extract", packed, "-C", tmp_path / "out"],
        ["diff", good, packed],
        ["repack", packed, "--name", "x", "-o", tmp_path / "new"],
        ["repack", packed, "--name", "x", "--in-place"],
        ["repack", good, "--name", "x", "-o", packed, "--force"],
        ["pack", tmp_path / "tiny.gguf", "--prefix", "none", "-o", packed, "--force"],
    ):
        result = run(*command, code=4)
        assert journal.name in result.stdout + result.stderr, command
    assert packed.read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_arguments_from_a_file_that_is_no_text(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"--temp \xff\n")
    model = tmp_path / "tiny.gguf"
    for command in (["pack", model, "--prefix", "none"], ["repack", packed]):
        message = run(*command, "--args-file", tmp_path / "bad", "-o", tmp_path / "x", code=2).stderr
        assert message.startswith(f"error: {tmp_path / 'bad'} is no text: byte 7")
    (tmp_path / "vast").write_bytes(b" " * ((1 << 20) + 1))
    run("pack", model, "--prefix", "none", "--args-file", tmp_path / "vast", "-o", tmp_path / "x", code=2)
    assert not (tmp_path / "x").exists()
