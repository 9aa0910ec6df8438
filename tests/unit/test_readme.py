"""The README tells the truth: the demo prints what it shows, its commands and files exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def demo_output(folder: Path) -> str:
    """What ``make demo`` prints, with paths as they are when it runs in ``demo/`` of the repository."""
    command = [sys.executable, str(ROOT / "examples/demo.py"), str(folder / "demo")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    shown = re.sub(r"(\.\./)+[^ ]*?examples/exhibit/", "../examples/exhibit/", shown)
    return shown.replace(str(folder / "demo"), "demo").strip()


def steady(shown: str) -> str:
    """``shown`` without what differs from run to run: the new key, the length of its signature, and the time."""
    for key in set(re.findall(r"^key id +([0-9a-f]{64})", shown, re.MULTILINE)):
        shown = shown.replace(key, "KEY").replace(key[:12], "KEY")
    shown = re.sub(r"^(\S+ +)\d+(?= bytes .*\nsigned )", r"\1SIZE", shown, flags=re.MULTILINE)
    return re.sub(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", shown)


def test_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    block = README.split("<!-- demo output", 1)[1].split("```text\n", 1)[1].split("\n```", 1)[0]
    assert steady(demo_output(tmp_path)) == steady(block)


def test_relative_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.usefixtures("tiny_runtimes")
def test_python_block_runs(tmp_path: Path) -> None:
    from llamafile_format.signing.keys.key_files import generate, write_keys
    from tests.laws.containers import tiny_gguf

    (tmp_path / "model.gguf").write_bytes(tiny_gguf())
    write_keys(tmp_path / "archive.key", generate("p384"), passphrase=None)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
    assert (tmp_path / "model.llamafile").exists()


def answer(folder: Path) -> None:
    """What an authority answers to ``question.tsq``: a stamp on the signature that is in ``model.llamafile``."""
    from datetime import UTC, datetime

    import llamafile_format
    from tests.authorities import Authority, stamp

    root = Authority.create("Clock")
    (folder / "authority.pem").write_bytes(root.pem)
    with llamafile_format.open(folder / "model.llamafile") as container:
        record = container.read("META-LLAMAFILE/signatures/0001.oms.json")
    (folder / "answer.tsr").write_bytes(stamp(root.tsa(), record, datetime.now(UTC).replace(microsecond=0)))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_runtimes")
def test_recipes_work_as_printed(tmp_path: Path) -> None:
    """Every ``llamafile-format`` line, typed in order in one folder with stand-ins for the files that it names."""
    import zipfile

    from tests.laws.containers import tiny_gguf

    (tmp_path / "model.gguf").write_bytes(tiny_gguf())
    (tmp_path / "LICENSE").write_text("Apache License\n")
    (tmp_path / "README.md").write_text("# A model\n")
    for name in ("llamafile-0.9.3", "llamafile-0.10.7"):
        (tmp_path / name).write_bytes(b"#!/bin/sh\nexit 0\n# " + name.replace("-", " v").encode() + b"\n")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with zipfile.ZipFile(tmp_path / "old-legacy.llamafile", "w") as archive:
        archive.writestr("model.gguf", tiny_gguf())
    signers = "signers:\n- {id: archive, roles: [archive], keys: [archive.key.pub]}\n"
    (tmp_path / "policy.yaml").write_text(
        f"policy: 1\nname: mine\n{signers}require:\n- {{role: archive, threshold: 1}}\n"
    )
    section = README.split("## Recipes", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^llamafile-format .*$", section, re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        command = shlex.split(line)[1:]
        if command[0] in ("serve", "record", "replay") or "exact.llamafile" in command:
            continue  # tests/interop: test_server.py serves, test_run_real.py records and replays
        if "--url" in command or "--as-of" in command:
            continue  # tests/interop/test_openssl_ts.py asks authorities; ages are in tests/unit/test_trust.py
        if command[:2] == ["timestamp", "attach"]:
            answer(tmp_path)
        if command[0] == "keygen":
            command.append("--no-passphrase")  # who types it is asked twice
        if "-o" in command:
            (tmp_path / command[command.index("-o") + 1]).unlink(missing_ok=True)
        run = [sys.executable, "-m", "llamafile_format", *command]
        result = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert result.returncode == (1 if command[0] == "diff" else 0), (line, result.stdout, result.stderr)


def test_limits_are_told() -> None:
    limits = README.split("## Limits", 1)[1].split("\n## ", 1)[0]
    for word in ("Signatures", "Running", "APE", "macOS", "undetermined", "DROID"):
        assert word in limits
