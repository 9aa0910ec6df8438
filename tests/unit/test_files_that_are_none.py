"""What is no readable file gets one line and exit code 4 from every command that takes one, and hangs none."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from llamafile_format.cli.main import COMMANDS, cli, run
from llamafile_format.signing.keys.key_files import generate, write_keys
from tests.laws.containers import small_container

TAILS: dict[str, list[str]] = {
    "pack": ["--prefix", "none", "-o", "out"],
    "extract": ["-C", "out"],
    "complete": ["-p", "hello"],
    "repack": ["--name", "x", "-o", "out"],
    "convert": ["--to", "polyglot", "-o", "out"],
    "record": ["-o", "out"],
    "sign": ["--key", "a.key", "-o", "out"],
    "renew": ["--url", "http://127.0.0.1:9", "-o", "out"],
    "import-oms": ["bundle", "-o", "out"],
    "export-oms": ["-o", "out"],
    "timestamp fetch": ["--url", "http://127.0.0.1:9", "-o", "out"],
    "timestamp request": ["-o", "out"],
    "timestamp attach": ["answer", "-o", "out"],
}
"""What a command needs besides FILE."""


def takes_a_file() -> list[str]:
    """Every command, and every command of a group, whose first argument is a file."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        each = (
            {f"{name} {sub}": sub_command for sub, sub_command in command.commands.items()}
            if isinstance(command, click.Group)
            else {name: command}
        )
        for words, one in each.items():
            first = next((parameter for parameter in one.params if isinstance(parameter, click.Argument)), None)
            if first is not None and first.name in ("file", "files", "a"):
                found.append(words)
    return found


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    """Nothing is there."""


KINDS = [loop, fifo, device, folder, absent]


@pytest.fixture
def companions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with what commands need besides FILE."""
    monkeypatch.chdir(tmp_path)
    write_keys(tmp_path / "a.key", generate("ed25519"), passphrase=None)
    for name in ("answer", "bundle"):
        (tmp_path / name).write_text("{}")
    return small_container(tmp_path)


def typed(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and all that is shown, of the command typed here and now; an alarm ends what waits for ever."""
    monkeypatch.setattr(sys, "argv", ["llamafile-format", *words])
    signal.alarm(60)
    try:
        code = run()
    finally:
        signal.alarm(0)
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def check(words: str, path: Path, code: int, shown: str) -> None:
    lines = [line for line in shown.splitlines() if not line.startswith("hint: ")]
    assert code == 4, (words, path.name, shown)
    assert any(path.name in line for line in lines), (words, path.name, shown)
    assert words == "verify" or len(lines) == 1, shown
    assert not Path("out").exists()


@pytest.mark.parametrize("words", takes_a_file())
def test_one_line_and_code_4(
    words: str, companions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tail = [str(companions)] if words == "diff" else TAILS.get(words, [])
    for make in KINDS:
        if make is folder and words == "verify":  # means what is in it
            continue
        path = Path(f"{make.__name__}.gguf")
        make(path)
        check(words, path, *typed([*words.split(), str(path), *tail], monkeypatch, capsys))


@pytest.mark.parametrize("words", takes_a_file())
def test_a_file_that_may_not_be_read(
    words: str, companions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system says no, also to a superuser."""
    path = Path("secret.gguf")
    path.write_bytes(companions.read_bytes())
    genuine, access = os.open, os.access

    def refuse(name: Any, *arguments: Any, **options: Any) -> int:
        if not isinstance(name, int) and os.fspath(name).endswith(path.name):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return genuine(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda name, *a, **o: name != str(path) and access(name, *a, **o))
    tail = [str(companions)] if words == "diff" else TAILS.get(words, [])
    check(words, path, *typed([*words.split(), str(path), *tail], monkeypatch, capsys))
