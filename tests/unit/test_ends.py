"""How the command ends from outside: signals, readers that leave, terminals that cannot draw."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, CliRunner
from tests.laws.containers import gguf_head, small_container, tiny_gguf

CLI = [sys.executable, "-m", "llamafile_format"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that takes long enough to pack that a signal meets the writing."""
    model = tmp_path_factory.mktemp("large") / "m.gguf"
    with model.open("wb") as file:
        file.write(gguf_head("tiny", (240 << 20) // 4))
        for _ in range(60):
            file.write(os.urandom(4 << 20))
    yield model
    model.unlink()


def _signals_by_default() -> None:
    """As in a terminal: under nohup a hang-up would be ignored, which the command rightly leaves so."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def begun(command: list[str], folder: Path, **options: object) -> subprocess.Popen[str]:
    """The process of ``command`` once its unfinished file is there and has bytes, so that the process holds its lock;
    signals end it, whatever these tests ignore."""
    options = {"preexec_fn": _signals_by_default} | options
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while not _written(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert _written(folder), process.communicate()
    return process


def _written(folder: Path) -> bool:
    """Has an unfinished file got bytes? One that vanishes meanwhile has not."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_size for path in partials(folder))
    return False


def partials(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_process_as_that_signal_and_leaves_nothing(
    number: signal.Signals, large: Path, tmp_path: Path
) -> None:
    process = begun([*CLI, "pack", "--prefix", "none", str(large), "-o", "m.llamafile"], tmp_path)
    asked = time.monotonic()
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == -number
    assert complaint == "interrupted; nothing was left half-written\n"
    assert time.monotonic() - asked < 20
    assert not partials(tmp_path)
    assert not (tmp_path / "m.llamafile").exists()


def test_the_shell_sees_the_interrupt(large: Path, tmp_path: Path) -> None:
    """A loop in a shell ends with the command that Ctrl-C ended: it does so only for one that died of the signal."""
    line = f"{' '.join(CLI)} pack --prefix none {large} -o m.llamafile; echo after $?"
    process = begun(["bash", "-c", line], tmp_path, stdout=subprocess.PIPE, start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "after" not in shown


def test_nohup_stays_what_it_is(large: Path, tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = begun([*CLI, "pack", "--prefix", "none", str(large), "-o", "o"], tmp_path, preexec_fn=ignore)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (tmp_path / "o").exists()


def test_what_a_killed_run_left_is_named_by_the_next(large: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    process = begun([*CLI, "pack", "--prefix", "none", str(large), "-o", "m.llamafile"], tmp_path)
    process.send_signal(signal.SIGSTOP)
    (left,) = partials(tmp_path)
    small = tmp_path / "small.gguf"
    small.write_bytes(tiny_gguf())
    during = run_cli("pack", "--prefix", "none", small, "-o", tmp_path / "a")
    assert during.stderr == "", "somebody is at work on it"
    process.kill()
    process.communicate()
    after = run_cli("pack", "--prefix", "none", small, "-o", tmp_path / "b")
    assert after.returncode == 0
    assert after.stderr.count(left.name) == 1
    assert "killed" in after.stderr
    assert left.exists(), "it is named, not removed"
    assert left.name in run_cli("extract", tmp_path / "b", "small.gguf", "-C", tmp_path / ".", "--force").stderr


def test_long_names_are_no_obstacle(tmp_path: Path, run_cli: CliRunner) -> None:
    """Of a name of 255 bytes a temporary one and a journal would be longer than a name can be."""
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    for name in ("n" * 255, "名" * 85):
        assert run_cli("pack", "m.gguf", "--prefix", "none", "-o", name).returncode == 0
        assert run_cli("verify", name).returncode == 0
        inside = run_cli("repack", name, "--name", "x", "--in-place")
        assert inside.returncode == 4
        assert "too long" in inside.stderr
        assert run_cli("repack", name, "--name", "x", "-o", f"{name[:-1]}x").returncode == 0


@pytest.mark.parametrize("words", [["rule"], ["--help"], ["verify", "--help"], ["verify", "--format", "json"]])
def test_a_reader_that_leaves_ends_it_without_a_word(words: list[str], tmp_path: Path) -> None:
    """As of any Unix program: it dies of SIGPIPE, and says nothing."""
    if words[-1] == "json":
        words = [*words, *[str(small_container(tmp_path))] * 60]
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*CLI, *words], stdout=write, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT)
    os.close(write)
    assert (process.returncode, process.stderr) == (-signal.SIGPIPE, b"")


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        process = subprocess.run([*CLI, "rule"], stdout=full, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT)
    assert process.returncode == 4
    assert process.stderr == b"error: No space left on device\n"


def test_closed_streams_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    line = f"{' '.join(CLI)} pack m.gguf --prefix none -o m.llamafile >&- 2>&- <&-"
    subprocess.run(["bash", "-c", line], check=True, cwd=tmp_path, env=ENVIRONMENT)
    subprocess.run([*CLI, "verify", "m.llamafile"], check=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True)


def on_a_terminal(words: list[str], folder: Path, **environment: str) -> str:
    """What the command draws on a terminal of 80 columns."""
    import fcntl
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    clean = {key: value for key, value in ENVIRONMENT.items() if key not in ("NO_COLOR", "COLUMNS", "TERM")}
    process = subprocess.Popen(
        [*CLI, *words], stdin=child, stdout=child, stderr=child, cwd=folder, env={**clean, **environment}
    )
    os.close(child)
    shown = b""
    while True:
        try:
            block = os.read(parent, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(parent)
    assert process.wait() == 0
    return shown.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("words", [["inspect"], ["verify"], ["explain"]])
def test_colours_only_where_they_are_wanted_and_can_be_drawn(words: list[str], tmp_path: Path) -> None:
    words = [*words, small_container(tmp_path).name]
    assert "\x1b[" in on_a_terminal(words, tmp_path, TERM="xterm")
    assert "\x1b" not in on_a_terminal(words, tmp_path, TERM="dumb")
    assert "\x1b[3" not in on_a_terminal(words, tmp_path, TERM="xterm", NO_COLOR="1")
    plain = on_a_terminal(words, tmp_path, TERM="dumb")
    assert max(map(len, plain.splitlines())) <= 80 or words[0] == "explain"  # commands are not broken


def test_no_progress_on_a_dumb_terminal(large: Path, tmp_path: Path) -> None:
    words = ["pack", "--prefix", "none", str(large), "--force", "-o"]
    assert "\x1b[2K" in on_a_terminal([*words, "a"], tmp_path, TERM="xterm")
    assert "\x1b" not in on_a_terminal([*words, "b"], tmp_path, TERM="dumb")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["verfy", "x"], "did you mean verify?"),
        (["timestamp", "atach"], "did you mean attach?"),
        (["verify", "--lvel", "quick"], "--level"),
        (["rule", "LF40001"], "LF4001"),
        (["extract", "FILE", "tiny.guff"], "did you mean tiny.gguf?"),
    ],
)
def test_did_you_mean(words: list[str], answer: str, tmp_path: Path, run_cli: CliRunner) -> None:
    words = [str(small_container(tmp_path)) if word == "FILE" else word for word in words]
    result = run_cli(*words)
    assert result.returncode == 2
    assert answer in result.stderr
