"""The runtime's two processes: signals, terminal and exit status pass through; the port outlives the engine."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.boxed import SOURCE, compiled, pack_boxed
from tests.interop.test_loaders import REFUSED
from tests.runtime_server import EXHIBIT, Server, cache_of, environment, open_links, run, served, typed

pytestmark = [pytest.mark.slow, pytest.mark.interop]
ASKED = ("--complete", "-p", "hi", "-t", "1")


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with the newest engine."""
    return pack_boxed(new_runtimes, tmp_path_factory.mktemp("box") / "x.llamafile")


def inner_of(server: Server) -> int:
    """The process that a server's outer one has started, waited for."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    for _ in range(600):
        found = children.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError(server.output())


def answered(server: Server, tries: int = 600) -> None:
    """Wait until the server is healthy again."""
    for _ in range(tries):
        with suppress(OSError):
            if server.request("GET", "/health", timeout=5).status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(server.output())


def test_killed_it_is_started_again_and_the_port_stays(packed: Path) -> None:
    with served(packed, "--no-browser") as server:
        first = server.ask("a brass astrolabe")
        gaps = []
        for _ in range(2):
            before = inner_of(server)
            os.kill(before, signal.SIGKILL)
            time.sleep(0.2)
            turned_away = server.request("POST", "/v1/chat/completions", {"messages": []}, timeout=5)
            assert (turned_away.status, turned_away.headers["Retry-After"]) == (503, "2")
            assert turned_away.json()["error"]["code"] == 503
            answered(server)
            assert inner_of(server) != before
            gaps.append(float(re.findall(r"started again in ([\d.]+) s", server.output())[-1]))
        assert gaps[1] > gaps[0]
        assert server.ask("a brass astrolabe") == first
        told = [line for line in server.output().splitlines() if "was killed" in line]
        assert len(told) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_the_server(packed: Path, number: signal.Signals) -> None:
    with served(packed, "--no-browser") as server:
        inner = inner_of(server)
        os.kill(server.pid, number)
        assert server.process.wait(10) == 0
        assert not Path(f"/proc/{inner}").exists()


def test_a_signal_to_the_whole_group_counts_once(packed: Path) -> None:
    with served(packed, "--no-browser") as server:
        os.killpg(server.pid, signal.SIGINT)
        assert server.process.wait(10) == 0
        assert "second interrupt" not in server.output()


def test_an_engine_that_does_not_listen_is_ended(packed: Path) -> None:
    with served(packed, "--no-browser") as server:
        inner = inner_of(server)
        os.kill(inner, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGTERM)
        assert server.process.wait(20) == -signal.SIGTERM
        assert not Path(f"/proc/{inner}").exists()


def test_the_engine_ends_with_what_started_it(packed: Path) -> None:
    with served(packed, "--no-browser") as server:
        inner = inner_of(server)
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(10)
        for _ in range(100):
            if not Path(f"/proc/{inner}").exists():
                return
            time.sleep(0.05)
        raise AssertionError("the inner process lives on")


def test_exit_status_and_signals_of_a_completion(packed: Path) -> None:
    assert run(packed, *ASKED, "-n", "1").returncode == 0
    assert run(packed, "--complete", "-p", "hi", "-n", "x").returncode == 1
    assert run(packed, "--trace", "--complete").returncode == 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = subprocess.Popen(
            typed(packed, "--complete", "-f", "-"),
            stdin=subprocess.PIPE,
            env=environment(cache_of(packed)),
            cwd=packed.parent,
            start_new_session=True,
        )
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not ("runtime" in str(Path(f"/proc/{process.pid}/exe").readlink()) and children.read_text()):
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(10) == -number
        assert process.stdin
        process.stdin.close()


def test_a_terminal_is_the_engines_own(packed: Path) -> None:
    """The prompt is typed at a terminal, and Ctrl+C typed there ends both."""
    control, terminal = pty.openpty()
    for typed_text, expected in ((b"hi\n\x04", 0), (b"\x03", -signal.SIGINT)):
        process = subprocess.Popen(
            ["setsid", "-c", "-w", *typed(packed, "--complete", "-f", "-", "-n", "2", "-t", "1")],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(cache_of(packed)),
            cwd=packed.parent,
        )
        time.sleep(2)
        os.write(control, typed_text)
        out, err = process.communicate(timeout=20)
        assert not err
        assert (process.returncode == 0) == (expected == 0)
        assert bool(out) == (expected == 0)
    os.close(control)
    os.close(terminal)


@pytest.mark.parametrize("fault", sorted(REFUSED))
def test_what_the_engine_refuses_is_one_line(packed: Path, tmp_path: Path, fault: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(REFUSED[fault][1])
    debugger = tmp_path / "gdb"
    debugger.write_text(f"#!/bin/sh\ntouch {tmp_path}/debugged\n")
    debugger.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(packed, *ASKED, "-n", "1", "-m", str(tmp_path / "bad.gguf"), env={"PATH": path})
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert done.stderr.startswith("llamafile: ")
    assert not (tmp_path / "debugged").exists()


def test_a_server_that_cannot_load_ends(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(REFUSED["epsilon below 0"][1])
    done = run(packed, "--no-browser", "-m", str(tmp_path / "bad.gguf"))
    assert (done.returncode, done.stdout) == (1, "")


def test_a_trace_that_the_engine_gives_up_ends_with_the_event(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(REFUSED["epsilon below 0"][1])
    request = {"version": 1, "prompts": [{"id": "a", "text": "hi", "max_tokens": 1}]}
    done = run(packed, "--trace", "-m", str(tmp_path / "bad.gguf"), stdin=json.dumps(request))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "error"


def test_a_file_that_is_shortened_while_it_runs(packed: Path) -> None:
    file = packed.with_name("short.llamafile")
    shutil.copyfile(packed, file)
    file.chmod(0o755)
    with served(file, "--no-browser") as server:
        os.truncate(file, file.stat().st_size - EXHIBIT.stat().st_size // 2 - 100_000)
        with suppress(OSError):
            server.ask("hi")
        assert server.process.wait(20) == 1
        told = server.output().partition("chat at")[2].splitlines()[1:]
        assert len(told) == 1
        assert "shortened" in told[0]


def test_too_little_memory(packed: Path) -> None:
    """Less and less, for both: one line and exit status 1, or it was enough."""
    ends = set()
    for limit in (40_000, 55_000, 60_000, 70_000, 90_000):
        small = ["sh", "-c", f'ulimit -v {limit}; exec "$@"', "sh"]
        done = run(packed, *ASKED, "-n", "1", "-c", "512", wrapper=small)
        ends.add(done.returncode)
        assert done.returncode == 0 or (done.returncode == 1 and done.stderr.count("\n") == 1), done
    assert 1 in ends


def test_what_a_shell_hands_over_is_read_and_nothing_else_is_inherited(packed: Path) -> None:
    """A prompt by ``<(...)`` is a descriptor that the command line names; others are closed in the inner process."""
    script = 'exec "./$0" --complete -f <(printf hi) -n 2 -t 1'
    done = subprocess.run(
        ["bash", "-c", script, packed.name],
        capture_output=True,
        text=True,
        env=environment(cache_of(packed)),
        cwd=packed.parent,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, run(packed, *ASKED, "-n", "2").stdout)
    secret = packed.with_name("secret")
    leaving_open = ["sh", "-c", f'exec 9<>"{secret}"; exec "$@"', "sh"]
    with served(packed, "--no-browser", wrapper=leaving_open) as server:
        assert str(secret) in open_links(server.pid)
        assert str(secret) not in open_links(server.engine)
    refused = run(packed, "--no-browser", env={"LFF_WATCHDOG": "soon"})
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


def test_the_watch_judges_progress_and_not_duration(new_runtimes: Path, tmp_path: Path) -> None:
    program = compiled(tmp_path, Path(__file__).with_name("watched.cpp"), SOURCE / "watch.cpp")
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=True)
    yes = {name for name, _, how in (line.partition(" ") for line in done.stdout.splitlines()) if how == "yes"}
    judged = {"standing-still-ends", "refused-after", "late-standing-still-ends"}
    blamed = {"one-who-waits-is-to-blame", "of-several-none-at-once", "of-several-who-was-there-twice"}
    assert yes == judged | blamed
    assert done.stdout.count("\n") == 13
