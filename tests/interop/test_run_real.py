"""``complete`` with the real runtime: the same text from every form in which a model can come, weights in place."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from tests.conftest import CliRunner
from tests.repack_samples import engine, legacy, write
from tests.runtime_server import EXHIBIT, cache_of, native_build, pack
from tests.split_samples import split

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.interop]
PROMPT = "Visitor: a brass astrolabe\nLabel:"


@pytest.fixture
def say(tmp_path: Path, run_cli: CliRunner) -> object:
    """``say(FILE, ...)``: what the exhibit answers through ``complete``."""
    native_build()

    def complete(file: Path, *options: str) -> str:
        asked = ("-p", PROMPT, "-n", "16", "-t", "1", "-c", "512")
        done = run_cli("complete", file, *asked, *options, env={"LFF_CACHE": str(cache_of(tmp_path / "x"))})
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    return complete


def test_every_form_says_the_same(tmp_path: Path, say: object) -> None:
    assert callable(say)
    text = say(EXHIBIT)
    assert len(text) > 10
    shards = split(EXHIBIT, tmp_path)
    assert say(shards[1]) == text
    assert say(pack(tmp_path / "whole.llamafile")) == text
    assert say(pack(tmp_path / "split.llamafile", *shards)) == text
    lf.pack(shards, tmp_path / "data.llamafile", prefix="none")
    assert say(tmp_path / "data.llamafile") == text
    old = legacy(engine("old", 70_000, version="0.8.0"), [("m.gguf", EXHIBIT.read_bytes()), (".args", b"-m\nm.gguf\n")])
    assert say(write(tmp_path / "legacy.llamafile", old)) == text


def test_compressed_weights_run_after_a_repack(tmp_path: Path, say: object) -> None:
    assert callable(say)
    with zipfile.ZipFile(tmp_path / "old.llamafile", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(EXHIBIT, "m.gguf")
    pin, build = native_build()
    lf.repack(
        tmp_path / "old.llamafile", tmp_path / "new.llamafile", prefix="launcher", runtime=f"{pin.key}:{build.target}"
    )
    assert say(tmp_path / "new.llamafile") == say(EXHIBIT)


def test_recorded_here_and_replayed_as_another_machines_build(
    tmp_path: Path, run_cli: CliRunner, tool: Callable[[str], str]
) -> None:
    """Pack, record, replay here and as a RISC-V machine's build, and verify."""
    native_build()
    tool("qemu-riscv64-static")
    shutil.copyfile(EXHIBIT, tmp_path / "model.gguf")
    shutil.copyfile(ROOT / "examples/exhibit/prompts.yaml", tmp_path / "prompts.yaml")
    for line in (
        "pack model.gguf --flavour both -o exact.llamafile",
        "record exact.llamafile --prompts prompts.yaml --in-place",
        "replay exact.llamafile",
        "replay exact.llamafile --via qemu --target linux-riscv64",
        "verify --level behaviour exact.llamafile",
    ):
        done = run_cli(*line.split(), cwd=tmp_path, timeout=300)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
