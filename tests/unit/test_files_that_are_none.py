"""What is no readable file gets one line and exit code 4 from every command that takes one, and hangs none."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import llamafile_format
from llamafile_format.cli.main import COMMANDS, cli, run
from llamafile_format.errors import SourceError
from llamafile_format.signing.keys.key_files import generate, write_keys
from llamafile_format.source import read_small
from tests.laws.containers import small_container

TAILS: dict[str, list[str]] = {
    "pack": ["--prefix", "none", "-o", "out"],
    "extract": ["-C", "out"],
    "complete": ["-p", "hello"],
    "repack": ["--name", "x", "-o", "out"],
    "convert": ["--to", "polyglot", "-o", "out"],
    "record": ["-o", "out"],
    "sign": ["--key", "a.key", "-o", "out"],
    "attest": ["--report", "report.json", "--key", "a.key", "-o", "out"],
    "renew": ["--url", "http://127.0.0.1:9", "-o", "out"],
    "import-oms": ["bundle", "-o", "out"],
    "export-oms": ["-o", "out"],
    "export": ["--premis", "out"],
    "freeze": ["-o", "out"],
    "thaw": ["-o", "out"],
    "push": ["127.0.0.1:9/models/tiny:v1"],
    "update": ["--from", "http://127.0.0.1:9/model.llamafile"],
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
    for name in ("answer", "bundle", "report.json"):
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


def check(words: str, path: Path, code: int, shown: str, wanted: int = 4) -> None:
    lines = [line for line in shown.splitlines() if not line.startswith("hint: ")]
    assert code == wanted, (words, path.name, shown)
    assert any(path.name in line for line in lines), (words, path.name, shown)
    assert words.startswith("verify") or len(lines) == 1, shown
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


OPTIONS: dict[str, list[str]] = {
    "verify --policy": ["verify", "FILE", "--policy", "ODD"],
    "verify --key": ["verify", "FILE", "--key", "ODD"],
    "verify --signature": ["verify", "FILE", "--key", "a.key.pub", "--signature", "ODD"],
    "run --policy": ["run", "FILE", "--policy", "ODD"],
    "run --key": ["run", "FILE", "--key", "ODD"],
    "pack --args-file": ["pack", "FILE", "--args-file", "ODD", "-o", "out"],
    "sign --key": ["sign", "FILE", "--key", "ODD", "-o", "out"],
    "sign --certificate": ["sign", "FILE", "--key", "a.key", "--certificate", "ODD", "-o", "out"],
    "sign --attest": ["sign", "FILE", "--key", "a.key", "--attest", "ODD", "--predicate-type", "t", "-o", "out"],
    "keygen --passphrase-file": ["keygen", "-o", "out", "--passphrase-file", "ODD"],
    "import-oms": ["import-oms", "FILE", "ODD", "-o", "out"],
    "timestamp attach": ["timestamp", "attach", "FILE", "ODD", "-o", "out"],
}
"""Where a small file is named."""
TRUST = ("--policy", "verify --key", "run --key")
"""What says whom to trust is a demand: one that cannot be read ends the run with 2 (spec/1, 16.1.3)."""


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("make", KINDS)
def test_a_small_file_that_is_none(
    option: str,
    make: Callable[[Path], None],
    companions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = Path(f"{make.__name__}.odd")
    make(odd)
    words = [{"FILE": str(companions), "ODD": str(odd)}.get(word, word) for word in OPTIONS[option]]
    check(option, odd, *typed(words, monkeypatch, capsys), wanted=2 if option.endswith(TRUST) else 4)


def test_pipes_are_read_to_their_end(tmp_path: Path) -> None:
    """Of the shell's: a writer that is slow, one that has left, one that says nothing, one that never ends."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    os.write(keeper, b"first ")
    late = threading.Timer(0.3, lambda: (os.write(keeper, b"second"), os.close(keeper)))
    late.start()
    assert read_small(path, 100) == b"first second"
    late.join()
    for written, most, read in ((b"left", 100, b"left"), (b"too long", 3, b"too ")):
        ours, theirs = os.pipe()
        os.write(theirs, written)
        os.close(theirs)
        assert read_small(f"/dev/fd/{ours}", most) == read
        os.close(ours)
    for silent in (path, "zero\0byte"):
        with pytest.raises(SourceError, match="cannot read"):
            read_small(silent, 100)


def test_one_function_opens_what_users_name() -> None:
    """Another ``open`` where commands and keys are read would be another way to hang."""
    package = Path(llamafile_format.__file__).parent
    rooms = [package / room for room in ("cli", "vouching", "signing")]
    allowed = {
        "config.py",
        "ending.py",
        "inspect.py",
        "key_files.py",
        "ask_authority.py",
        "profiles.py",
    }  # own files, and written ones
    opens = re.compile(r"(?<![.\w])open\(|\b(?:os|path|Path\(\w+\))\.open\(|\.read_(?:bytes|text)\(")
    sources = [path for room in rooms for path in room.rglob("*.py")]
    found = {path.name for path in sources if opens.search(path.read_text("utf-8"))}
    assert found <= allowed, found - allowed
