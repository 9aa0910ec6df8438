"""A server whose engine stands still, and one told to end while it does something: nobody is held for ever."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.boxed import pack_boxed
from tests.interop.test_two_processes import answered, inner_of
from tests.runtime_server import Server, cache_of, environment, served, typed

pytestmark = [pytest.mark.slow, pytest.mark.interop]

LONG = {"prompt": "a clock", "n_predict": 400, "ignore_eos": True}
SLOW_GRAMMAR = "root ::= " + " ".join('("a" | "b" | "c")?' for _ in range(60))
SLOW_TEMPLATE = "{% for i in range(4000) %}{{ i }}{% endfor %}"


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with the newest engine."""
    return pack_boxed(new_runtimes, tmp_path_factory.mktemp("stuck") / "x.llamafile")


def in_background(server: Server, path: str, body: dict[str, Any]) -> threading.Thread:
    """Ask and do not wait for the answer."""

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):
            server.request("POST", path, body, timeout=120)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def busy(server: Server) -> None:
    """Wait until the engine computes for somebody."""
    for _ in range(400):
        if any(slot["is_processing"] for slot in server.request("GET", "/slots").json()):
            return
        time.sleep(0.02)
    raise AssertionError("nothing is computed")


def test_an_engine_that_stands_still_is_ended_and_who_asked_is_refused(packed: Path) -> None:
    with served(packed, "--no-browser", "--context-shift", env={"LFF_WATCHDOG": "2"}) as server:
        endless = LONG | {"n_predict": 1_000_000}
        in_background(server, "/completion", endless)
        busy(server)
        engine = inner_of(server)
        os.kill(engine, signal.SIGSTOP)
        for _ in range(200):
            if "made no progress for 2 s and was ended" in server.output():
                break
            time.sleep(0.05)
        else:
            raise AssertionError(server.output())
        with suppress(OSError):
            turned_away = server.request("POST", "/completion", LONG, timeout=10)
            assert turned_away.status == 200 or turned_away.headers["Retry-After"]
        answered(server)
        assert inner_of(server) != engine
        again = server.request("POST", "/completion", endless)
        assert again.status == 400
        assert b"has stopped this server before" in again.body
        assert server.request("POST", "/completion", LONG | {"n_predict": 4}).status == 200
        told = server.output().partition("chat at")[2].splitlines()[1:]
        assert len([line for line in told if "no progress" in line]) == 1


def test_one_that_works_slowly_is_left_alone(packed: Path) -> None:
    """Longer than the patience, with progress all the time."""
    with served(packed, "--no-browser", "--context-shift", env={"LFF_WATCHDOG": "2"}) as server:
        engine = inner_of(server)
        in_background(server, "/completion", LONG | {"n_predict": 1_000_000})
        busy(server)
        time.sleep(6)
        assert inner_of(server) == engine
        assert "no progress" not in server.output()
        assert server.request("POST", "/completion", LONG | {"n_predict": 4}).status == 200


def nothing(_: Server) -> None:
    """An idle server."""


def decoding(server: Server) -> None:
    """One that computes an answer."""
    in_background(server, "/completion", LONG)
    busy(server)


def in_a_grammar(server: Server) -> None:
    """One that finds out which tokens a grammar allows."""
    for index in range(4):
        in_background(server, "/completion", {"prompt": f"a{index}", "n_predict": 200, "grammar": SLOW_GRAMMAR})
    time.sleep(0.5)


def in_a_template(server: Server) -> None:
    """One that renders a template."""
    for _ in range(4):
        in_background(server, "/apply-template", {"messages": [{"role": "user", "content": "hi"}]})
    time.sleep(0.2)


PHASES: dict[str, Callable[[Server], None]] = {
    "idle": nothing,
    "decode": decoding,
    "grammar": in_a_grammar,
    "template": in_a_template,
}


@pytest.mark.parametrize("phase", PHASES)
def test_one_signal_ends_it(packed: Path, phase: str) -> None:
    more = ("--jinja", "--chat-template", SLOW_TEMPLATE) if phase == "template" else ()
    with served(packed, "--no-browser", *more) as server:
        inner = inner_of(server)
        PHASES[phase](server)
        server.process.terminate()
        assert server.process.wait(15) in (0, -signal.SIGTERM)
        assert not Path(f"/proc/{inner}").exists()


def starts(packed: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts that are told to end after more and more of it."""
    for wait in (0.0, 0.02, 0.05, 0.1, 0.2):
        process = subprocess.Popen(
            typed(packed, "--no-browser", "-t", "1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(cache_of(packed)),
            cwd=packed.parent,
            start_new_session=True,
        )
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not (
            "runtime" in str(Path(f"/proc/{process.pid}/exe").readlink()) and children.read_text()
        ):
            time.sleep(0.01)
        time.sleep(wait)
        yield process


def test_one_signal_ends_it_while_it_loads(packed: Path) -> None:
    for process in starts(packed):
        process.terminate()
        assert process.wait(15) in (0, -signal.SIGTERM)


def test_the_time_of_a_request_is_told(packed: Path) -> None:
    with served(packed, "--no-browser", "--request-timeout", "7") as server:
        assert "a request has 7 s" in server.output()
    with served(packed, "--no-browser") as server:
        assert "a request has 600 s" in server.output()
