"""Every example runs, on a real small model, as a user would start it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.laws.containers import small_container, tiny_gguf

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _run(name: str, *arguments: object, code: int = 0) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    return result.stdout


@pytest.mark.usefixtures("tiny_runtimes")
def test_archivist(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf())
    assert "sha256:" in _run("archivist_pack.py", model, tmp_path / "m.llamafile")


def test_archivist_signs(tmp_path: Path) -> None:
    from llamafile_format.signing.keys.key_files import generate, write_keys

    write_keys(tmp_path / "key", generate("p384"), passphrase=None)
    shown = _run("archivist_sign.py", small_container(tmp_path), tmp_path / "key", tmp_path / "key.pub")
    assert "0001.oms.json" in shown
    assert "authentic: yes" in shown
    assert "trusted, because you named this key" in shown


def test_curator(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    size = path.stat().st_size
    assert f"{size} of {size} bytes" in _run("curator_inspect.py", path)


def test_hub(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    _run("hub_gate.py", path)
    bad = tmp_path / "bad"
    bad.write_bytes(path.read_bytes() + b"\0")
    assert "LF2011" in _run("hub_gate.py", path, bad, code=1)
    _run("hub_gate.py", tmp_path / "nothing", code=1)


def test_engineer(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    assert "no weights changed" in _run("engineer_repack.py", small_container(tmp_path), engine, tmp_path / "out")


def test_researcher(tmp_path: Path) -> None:
    assert "magic b'GGUF'" in _run("researcher_window.py", small_container(tmp_path))


def test_every_example_has_a_test() -> None:
    here = Path(__file__).read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        if path.name not in (
            "demo.py",
            "demo_real.py",
            "genuine.py",
            "page_in_browser.py",
        ):  # the demo's, and tests/interop
            assert f'"{path.name}"' in here, path.name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_say_how_to_run_them(path: Path) -> None:
    assert f"python examples/{path.name}" in path.read_text("utf-8")
