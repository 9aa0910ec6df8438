"""``inspect`` as a command: flags, exit codes, streams, colours."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, CliRunner
from tests.unit.inspect_samples import EVIL, container, legacy, many_members, model_gguf


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return container(tmp_path)


def test_the_screen(run_cli: CliRunner, packed: Path) -> None:
    done = run_cli("inspect", packed)
    assert (done.returncode, done.stderr) == (0, "")
    labels = [line[:13].rstrip() for line in done.stdout.splitlines()]  # rows of members are indented
    order = ["file", "manifest", "quick check", "prefix", "contents", "model", "quantised", "template", "licence"]
    order += ["memory", "signatures", "arguments"]
    assert [label for label in labels if label in order] == order
    assert "\x1b" not in done.stdout
    assert "LF6001" in done.stdout


def test_the_screen_cuts_long_lists(run_cli: CliRunner, tmp_path: Path) -> None:
    done = run_cli("inspect", many_members(tmp_path, 50))
    assert "and 48 more: --entries" in done.stdout


def test_json(run_cli: CliRunner, packed: Path) -> None:
    value = json.loads(run_cli("inspect", packed, "--json").stdout)
    assert value["$schema"] == "urn:llamafile-format:schema:1.0:inspect"
    assert "tensors" not in value["models"][0]
    value = json.loads(run_cli("inspect", packed, "--json", "--tensors", "--kv").stdout)
    assert len(value["models"][0]["tensors"]) == 4
    assert value["models"][0]["kv"][0]["key"] == "general.architecture"


def test_lists(run_cli: CliRunner, packed: Path) -> None:
    size = packed.stat().st_size
    done = run_cli("inspect", packed, "--map")
    assert f"equal to the file size {size:,}" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    assert sum(int(row[1]) for row in rows) == size
    done = run_cli("inspect", packed, "--entries", "--tensors", "--kv")
    assert "META-LLAMAFILE/manifest.json" in done.stdout
    assert "blk.2.attn_q.weight" in done.stdout
    assert (
        'string[9]          tokenizer.ggml.tokens = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", ...]'
        in done.stdout
    )


def test_field(run_cli: CliRunner, packed: Path) -> None:
    assert run_cli("inspect", packed, "--field", "models[0].facts.layers").stdout == "3\n"
    assert run_cli("inspect", packed, "--field", "models[0].tensors[1].name").stdout == "blk.0.attn_q.weight\n"
    assert run_cli("inspect", packed, "--field", "models[0].kv[0].value").stdout == "llama\n"
    done = run_cli("inspect", packed, "--field", "models[0].nothing")
    assert done.returncode == 2
    assert "there is no field models[0].nothing" in done.stderr
    assert done.stdout == ""
    assert "it has 1 item\n" in run_cli("inspect", packed, "--field", "models[1]").stderr


def test_raw_manifest(packed: Path) -> None:
    command = [sys.executable, "-m", "llamafile_format", "inspect", str(packed)]
    raw = subprocess.run([*command, "--raw-manifest"], capture_output=True, check=True, cwd=ROOT).stdout
    named = subprocess.run([*command, "--field", "file.manifest_sha256"], capture_output=True, check=True, cwd=ROOT)
    assert hashlib.sha256(raw).hexdigest() == named.stdout.decode().strip()


def test_no_manifest(run_cli: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "old.llamafile").write_bytes(legacy())
    done = run_cli("inspect", "old.llamafile", "--raw-manifest")
    assert done.returncode == 1
    assert "no manifest" in done.stderr


def test_what_is_not_a_llamafile(run_cli: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "page.llamafile").write_bytes(b"<html>sign in</html>")
    (tmp_path / "model.gguf").write_bytes(model_gguf())
    done = run_cli("inspect", "page.llamafile")
    assert (done.returncode, done.stdout) == (3, "")
    assert "HTML page" in done.stderr
    done = run_cli("inspect", "model.gguf")
    assert done.returncode == 0
    assert "not a llamafile: make one of it with `llamafile-format pack`" in done.stdout
    assert run_cli("inspect", "absent.llamafile").returncode in (2, 4)


def test_contradictions(run_cli: CliRunner, packed: Path) -> None:
    for flags in (
        ["--json", "--field", "file"],
        ["--raw-manifest", "--map"],
        ["--force"],
        ["--json", "--raw-manifest"],
    ):
        assert run_cli("inspect", packed, *flags).returncode == 2, flags


def test_the_page(run_cli: CliRunner, packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = run_cli("inspect", packed, "--html", out)
    assert (done.returncode, done.stdout) == (0, "")
    first = out.read_bytes()
    assert first.startswith(b"<!DOCTYPE html>")
    assert run_cli("inspect", packed, "--html", out).returncode == 2
    assert run_cli("inspect", packed, "--html", out, "--force").returncode == 0
    assert out.read_bytes() == first


def on_a_terminal(*args: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Exit code and output of our command in a pseudo terminal."""
    leader, follower = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "CI")}
    environment |= {
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        **env,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "llamafile_format", *args],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    data = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:
            break
        if not block:
            break
        data += block
    os.close(leader)
    return child.wait(timeout=60), data.decode()


def test_colours_on_a_terminal(packed: Path) -> None:
    code, text = on_a_terminal("inspect", str(packed))
    assert code == 0
    assert "\x1b[" in text
    assert "█" in text
    assert len(text.splitlines()) <= 39


def test_no_color(packed: Path) -> None:
    code, text = on_a_terminal("inspect", str(packed), NO_COLOR="1")
    assert code == 0
    assert "\x1b[3" not in text  # no foreground colour
    assert max(map(len, text.splitlines())) < 80 or "\x1b[" in text


def test_hostile_texts_on_a_terminal(tmp_path: Path) -> None:
    path = container(tmp_path, evil=EVIL)
    code, text = on_a_terminal("inspect", str(path), NO_COLOR="1", TERM="dumb")
    assert code == 0
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\u202eevil" in text
    assert "[red]bold[/red]" in (text + on_a_terminal("inspect", str(path), "--kv")[1])  # shown, not obeyed


def test_an_encoding_that_lacks_letters(run_cli: CliRunner, tmp_path: Path) -> None:
    path = container(tmp_path, evil=" Modèle 模型")
    for flags in ([], ["--kv"], ["--field", "file.title"]):
        done = run_cli("inspect", path, *flags, env={"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert "\\xe8" in done.stdout
