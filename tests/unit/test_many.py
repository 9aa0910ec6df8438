"""Several files at once: one line each, a summary, the worst exit code; lists of JSON; members on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llamafile_format.container import open_container
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder: two good files (one below, one under another name), a damaged one, a pointer, and what is none."""
    folder = tmp_path / "shelf"
    (folder / "below").mkdir(parents=True)
    good = small_container(tmp_path).read_bytes()
    (folder / "below/good.llamafile").write_bytes(good)
    (folder / "named-otherwise").write_bytes(good)
    damaged = bytearray(good)
    damaged[len(good) // 3] ^= 1
    (folder / "damaged.llamafile").write_bytes(damaged)
    (folder / "pointer.llamafile").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "README").write_text("hello")
    (folder / "plain.gguf").write_bytes(tiny_gguf())
    (folder / ".hidden.0123456789ab.partial").write_bytes(good)
    (folder / "link.llamafile").symlink_to("damaged.llamafile")
    (folder / "round").symlink_to(".")
    return folder


def test_a_folder(shelf: Path, run_cli: CliRunner) -> None:
    result = run_cli("verify", shelf)
    assert result.returncode == 1
    *lines, summary = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["yes", "no", "yes", "other format"]
    assert "LF4001" in lines[1]
    assert "LF1001" in lines[3]
    assert summary == "4 files: 2 yes, 1 no, 1 other format; 2 other files passed over; exit code 1"


def test_quiet_says_only_what_is_wrong(shelf: Path, run_cli: CliRunner) -> None:
    result = run_cli("verify", "-q", shelf)
    assert result.returncode == 1
    assert [Path(line.split("LF")[0].split("  ")[-2].strip()).name for line in result.stdout.splitlines()] == [
        "damaged.llamafile",
        "pointer.llamafile",
    ]
    silent = run_cli("verify", "-q", shelf / "below/good.llamafile")
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


def test_the_worst_code_over_all(shelf: Path, run_cli: CliRunner) -> None:
    good, bad, other, absent = (shelf / name for name in ("named-otherwise", "damaged.llamafile", "README", "absent"))
    assert run_cli("verify", good, good).returncode == 0
    assert run_cli("verify", good, other).returncode == 3
    assert run_cli("verify", other, bad, good).returncode == 1
    assert run_cli("verify", bad, absent).returncode == 4
    assert run_cli("verify", good, good, "--require-signature").returncode == 5
    assert run_cli("verify", bad, good, "--require-signature").returncode == 1


def test_nothing_to_verify_is_no_success(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "empty").mkdir()
    assert run_cli("verify", tmp_path / "empty").returncode == 3
    assert json.loads(run_cli("verify", tmp_path / "empty", "--format", "json").stdout) == []


def test_verbose_gives_whole_reports(shelf: Path, run_cli: CliRunner) -> None:
    shown = run_cli("verify", "-v", shelf).stdout
    assert shown.count("well-formed") >= 3
    assert "-> " in shown


def test_json_is_an_object_for_one_file_and_a_list_wherever_it_could_be_more(shelf: Path, run_cli: CliRunner) -> None:
    good = shelf / "named-otherwise"
    one = json.loads(run_cli("verify", "--format", "json", good).stdout)
    two = json.loads(run_cli("verify", "--format", "json", good, good).stdout)
    folder = json.loads(run_cli("verify", "--format", "json", shelf / "below").stdout)
    assert isinstance(one, dict)
    assert [value["verdicts"] for value in two] == [one["verdicts"]] * 2
    assert [Path(value["file"]["name"]).name for value in folder] == ["good.llamafile"]
    lines = run_cli("verify", "--format", "jsonl", shelf).stdout.splitlines()
    assert len([json.loads(line) for line in lines]) == 4


def test_inspect_several(shelf: Path, run_cli: CliRunner) -> None:
    good, model, none = shelf / "named-otherwise", shelf / "plain.gguf", shelf / "README"
    values = json.loads(run_cli("inspect", "--json", good, model).stdout)
    assert [value["file"]["kind"] for value in values] == ["llamafile 1", "gguf"]
    shown = run_cli("inspect", good, none, model)
    assert shown.returncode == 3
    assert "README" in shown.stderr
    assert "named-otherwise" in shown.stdout
    assert "plain.gguf" in shown.stdout
    fields = run_cli("inspect", good, model, "--field", "file.kind").stdout.splitlines()
    assert fields == [f"{good}:", "llamafile 1", f"{model}:", "gguf"]
    assert run_cli("inspect", good, model, "--raw-manifest").returncode == 2


def test_a_member_on_standard_output(shelf: Path, run_cli: CliRunner) -> None:
    good = run_cli("extract", shelf / "named-otherwise", "--stdout", "LICENSE.txt")
    assert (good.returncode, good.stdout, good.stderr) == (0, "CC0-1.0\n", "")
    with open_container(shelf / "named-otherwise") as container:
        at = next(member.offset for member in container.members if member.path == "tiny.gguf")
    broken = bytearray((shelf / "named-otherwise").read_bytes())
    broken[at + 60] ^= 1
    (shelf / "broken").write_bytes(broken)
    bad = run_cli("extract", shelf / "broken", "--stdout", "tiny.gguf")
    assert bad.returncode == 1
    assert "damaged" in bad.stderr
    assert run_cli("extract", shelf / "named-otherwise", "--stdout").returncode == 2
    assert run_cli("extract", shelf / "named-otherwise", "--stdout", "a", "b").returncode == 2
