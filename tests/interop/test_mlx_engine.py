"""MLX in a file: the exhibit, exported, gives llama.cpp's text, shut in; recorded and replayed (spec/1, 14.10)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llamafile_format
from examples.mlx.export import export
from llamafile_format.container import open_container
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.pin import Pin
from llamafile_format.packing import Include
from tests.conftest import ROOT, CliRunner
from tests.prebuilt_engines import fetched, record_in, typed_section
from tests.runtime_server import TARGET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(TARGET != "linux-x86_64" or sys.version_info >= (3, 14), reason="no wheels for this"),
]
EXHIBIT = ROOT / "examples" / "exhibit" / "exhibit-f32.gguf"
PROMPT = "This home computer"


@pytest.fixture(scope="module")
def pin() -> Pin:
    return fetched("mlx")


@pytest.fixture(scope="module")
def exhibit(pin: Pin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit in MLX's form, packed with the engine."""
    folder = tmp_path_factory.mktemp("mlx")
    export(EXHIBIT, folder)
    beside = [Include(folder / name) for name in ("config.json", "tokenizer.json")]
    out = folder / "exhibit.llamafile"
    return llamafile_format.pack([folder / "model.safetensors"], out, include=beside, runtime=pin.key).path


def test_the_text_is_that_of_llama_cpp(exhibit: Path, run_cli: CliRunner) -> None:
    asked = ("-p", PROMPT, "-n", "32")
    here, there = run_cli("complete", exhibit, *asked), run_cli("complete", EXHIBIT, *asked)
    assert here.returncode == 0, here.stderr
    assert here.stdout == there.stdout
    assert len(here.stdout) > 50


def test_the_file_does_not_start_it(exhibit: Path, run_cli: CliRunner) -> None:
    done = subprocess.run(["sh", exhibit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "llamafile-format complete" in done.stderr
    assert "on 1 system, by commands only" in run_cli("inspect", exhibit).stdout
    with open_container(exhibit) as container:
        told = container.read("META-LLAMAFILE/README.txt").decode()
    assert "This file starts nothing by itself" in told
    assert "chmod +x" not in told


def test_a_repack_tells_how_it_is_run_now(exhibit: Path, run_cli: CliRunner, tmp_path: Path) -> None:
    """The text in the file follows the engines in it."""
    bare, again = tmp_path / "bare.llamafile", tmp_path / "again.llamafile"
    for out, words, said in (
        (bare, (exhibit, "--runtime", "none", "--prefix", "none"), "This file has no engine of its own"),
        (again, (bare, "--runtime", "mlx"), "This file starts nothing by itself"),
    ):
        done = run_cli("repack", *words, "-o", out)
        assert done.returncode == 0, done.stderr
        with open_container(out) as container:
            assert said in container.read("META-LLAMAFILE/README.txt").decode()


def test_the_page_works(pin: Pin, tmp_path: Path) -> None:
    """The section of docs/exchange.md, typed; what it records is within tolerance, and replayed so."""
    assert "was made in Upper Wend" in typed_section("An MLX model that answers", tmp_path)
    record = record_in(tmp_path / "exchange" / "exhibit-mlx.llamafile")
    assert (record.subject.runtime.engine, record.agreement) == ("mlx", Agreement.NEAR)


def test_what_cannot_be_done_is_said(exhibit: Path, run_cli: CliRunner) -> None:
    for words, reason in (
        (("run", exhibit), "no server"),
        (("serve", exhibit), "no server"),
        (("complete", exhibit, "--chat", "-p", "x"), "--chat is nothing"),
        (("complete", exhibit, "-p", "x " * 600), "the context is one of 512"),
    ):
        done = run_cli(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert reason in done.stderr


def test_a_model_without_its_texts_is_not_packed(exhibit: Path, run_cli: CliRunner, tmp_path: Path) -> None:
    model = exhibit.parent / "model.safetensors"
    refused = run_cli("pack", model, "--runtime", "mlx", "-o", tmp_path / "a")
    assert refused.returncode == 1
    assert not (tmp_path / "a").exists()
    words = [f"--include {model.parent / name}" for name in ("config.json", "tokenizer.json")]
    assert " ".join(words) in refused.stderr
    assert run_cli("pack", model, *" ".join(words).split(), "--runtime", "mlx", "-o", tmp_path / "a").returncode == 0
    assert run_cli("pack", model, "--runtime", "mlx", "-o", tmp_path / "b", "--force").returncode == 0
    again = run_cli("repack", tmp_path / "b", "-o", tmp_path / "c", "--runtime", "mlx", "--name", "x")
    assert again.returncode == 0, again.stderr  # it brought in nothing new
    assert run_cli("pack", model, "--runtime", "none", "-o", tmp_path / "d").returncode == 0
    assert run_cli("repack", tmp_path / "d", "-o", tmp_path / "e", "--runtime", "mlx").returncode == 1
