"""The commands repack and recover: options, output, warnings, exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repack_samples import contents, engine, gguf, write
from tests.unit.test_repack_in_place import kill_at
from tests.unit.test_repack_new_file import with_record

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    import llamafile_format as lf

    write(tmp_path / "model.gguf", gguf("m"))
    write(tmp_path / "engine", engine("e", 70_000))
    lf.pack([tmp_path / "model.gguf"], tmp_path / "a", prefix=tmp_path / "engine", args="-m model.gguf")
    return tmp_path / "a"


def test_all_options(sample: Path, tmp_path: Path, run_cli: Run) -> None:
    write(tmp_path / "card.md", b"# card")
    write(tmp_path / "args", b"-m tiny.gguf --temp 0")
    done = run_cli(
        *("repack", sample, "-o", "b", "--prefix", "none", "--args-file", "args", "--rename", "model.gguf=tiny.gguf"),
        *("--include", "card.md=docs/card.md", "--role", "docs/card.md=document", "--profile", "archive"),
        *("--align", "4096", "--name", "Tiny", "--license", "CC0-1.0", "--source", "here"),
        *("--created", "2026-11-20T00:00:00Z", "--json"),
    )
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["changed"]
    assert value["path"] == "b"
    found = contents(tmp_path / "b")
    assert found["docs/card.md"] == b"# card"
    assert b"/zip/tiny.gguf" in found[".args"]


def test_text_output_and_same_bytes(sample: Path, tmp_path: Path, run_cli: Run) -> None:
    done = run_cli("repack", sample, "-o", "b", "--name", "Tiny")
    assert done.returncode == 0
    assert "manifest sha256:" in done.stdout
    assert "name changed from nothing to Tiny" in done.stdout
    again = run_cli("repack", "b", "-o", "c", "--name", "Tiny")
    assert "the bytes are the same" in again.stdout


def test_a_lost_signature_is_said_loudly(sample: Path, tmp_path: Path, run_cli: Run) -> None:
    signed = write(tmp_path / "signed", with_record(sample))
    done = run_cli("repack", signed, "-o", "b", "--name", "Tiny")
    assert done.returncode == 0
    assert "is NOT signed" in done.stderr
    refused = run_cli("repack", signed, "--in-place", "--name", "Tiny")
    assert refused.returncode == 2
    assert "--force" in refused.stderr


def test_legacy_and_split(sample: Path, tmp_path: Path, run_cli: Run) -> None:
    done = run_cli("repack", sample, "-o", "legacy", "--to", "legacy")
    assert done.returncode == 0
    assert "no manifest" in done.stdout
    (tmp_path / "w").mkdir()
    done = run_cli("repack", "legacy", "-o", "w/a.exe", "--split-weights")
    assert done.returncode == 0, done.stderr
    assert "model.gguf" in done.stdout
    assert "start the program from there" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "options", [("--rename", "x"), ("--rename", "model.gguf=a", "--rename", "model.gguf=b"), ("--to", "2"), ()]
)
def test_usage_errors(sample: Path, run_cli: Run, options: tuple[str, ...]) -> None:
    done = run_cli("repack", sample, *options, *(["-o", "b"] if options else []))
    assert done.returncode == 2


def test_recover(sample: Path, run_cli: Run) -> None:
    import llamafile_format as lf

    old = sample.read_bytes()
    kill_at(3, lambda: lf.repack(sample, in_place=True, name="Tiny"))
    blocked = run_cli("repack", sample, "-o", "b", "--name", "x")
    assert blocked.returncode == 4
    assert f"{sample}.journal" in blocked.stderr
    done = run_cli("recover", sample, "--back")
    assert (done.returncode, sample.read_bytes()) == (0, old)
    assert "rolled back" in done.stdout
    again = run_cli("recover", sample, "--json")
    assert json.loads(again.stdout)["outcome"] == "nothing to do"
