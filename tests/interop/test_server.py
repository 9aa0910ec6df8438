"""The server in a packed file: who may talk to it, whom it talks to, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import note
from tests.runtime_server import Server, cache_of, end, environment, native_build, open_links, pack, run, served, typed

PATIENCE = 120  # seconds: the engine's threads wait by spinning, and a busy machine makes each of their steps slow
pytestmark = [pytest.mark.slow, pytest.mark.interop]

HELLO = {"messages": [{"role": "user", "content": "Tell me about the clock."}], "max_tokens": 4, "temperature": 0}


@pytest.fixture(scope="module")
def exhibit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit, packed."""
    return pack(tmp_path_factory.mktemp("server") / "exhibit.llamafile")


@pytest.fixture(scope="module")
def server(exhibit: Path) -> Iterator[Server]:
    """The exhibit, served to all tests that leave it as it was."""
    with served(exhibit) as started:
        yield started


# Where it listens


def _listening(pid: int) -> list[tuple[str, int]]:
    """Address (hexadecimal, as the kernel writes it) and port of every TCP socket on which a process listens."""
    own = open_links(pid)
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                address, _, port = fields[1].partition(":")
                found.append((address, int(port, 16)))
    return found


def test_it_listens_on_this_machine_alone_where_it_says(server: Server) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/"
    assert _listening(server.pid) == [("0100007F", server.port)]


PORTS = textwrap.dedent("""\
    import socket, subprocess, sys
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    busy = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[2].split(",") if port]
    command = ["sh", "-c", 'exec "./$0" "$@"', sys.argv[1], *sys.argv[4:]]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(int(sys.argv[3]))]
    for process in started:
        print(next((line for line in process.stdout if "chat at" in line), "none").strip())
    for process in started:
        process.terminate()
        process.wait()
""")


def _ports(exhibit: Path, tool: Callable[[str], Path], busy: str, count: int, *arguments: str) -> list[int]:
    """Start the file ``count`` times at once in a network of its own where some ports are busy; the ports it took."""
    alone = [str(tool("unshare")), "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        note("blocked unshare: this machine does not let a test have a network of its own")
        pytest.skip("this machine does not let a test have a network of its own")
    tool("ip")
    program = [sys.executable, "-c", PORTS, exhibit.name, busy, str(count), *arguments]
    done = subprocess.run(
        [*alone, *program],
        capture_output=True,
        text=True,
        env=environment(cache_of(exhibit)) | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        cwd=exhibit.parent,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)/", done.stdout))


@pytest.mark.parametrize(("busy", "port"), [("", 8080), ("8080", 8081), ("8080,8081,8083", 8082)])
def test_it_takes_the_first_free_port(busy: str, port: int, exhibit: Path, tool: Callable[[str], Path]) -> None:
    assert _ports(exhibit, tool, busy, 1) == [port]


def test_started_at_once_each_takes_its_own_port(exhibit: Path, tool: Callable[[str], Path]) -> None:
    assert _ports(exhibit, tool, "8081", 6) == [8080, 8082, 8083, 8084, 8085, 8086]


def test_a_port_that_was_asked_for_is_taken_or_refused(server: Server, exhibit: Path) -> None:
    refused = run(exhibit, "--no-browser", "--port", str(server.port))
    assert refused.returncode != 0
    assert "chat at" not in refused.stdout


# Whom it answers

OWN_HOSTS = ("127.0.0.1:{port}", "localhost:{port}", "localhost", "127.0.0.1", "[::1]:{port}")
FOREIGN_HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil:{port}",
    "evil.localhost:{port}",
    "xlocalhost:{port}",
    "127.0.0.2:{port}",
    "0.0.0.0:{port}",
    "127.0.0.1@evil.example",
    "[::1].evil.example",
    "",
)
OWN_ORIGINS = ("http://127.0.0.1:{port}", "http://localhost:{port}")
FOREIGN_ORIGINS = (
    "null",
    "http://evil.example",
    "http://evil.example:{port}",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:{other}",
    "http://127.0.0.1:{port}.evil.example",
    "http://localhost.evil:{port}",
    "file://",
    "chrome-extension://abcdefghijklmnop",
)


def _at(text: str, server: Server) -> str:
    return text.format(port=server.port, other=server.port + 1)


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_it_answers_its_own_names(host: str, server: Server) -> None:
    assert server.request("GET", "/v1/models", headers={"Host": _at(host, server)}).status == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_it_refuses_a_foreign_host(host: str, server: Server) -> None:
    for method, path, body in (("GET", "/", None), ("GET", "/v1/models", None), ("POST", "/v1/completions", HELLO)):
        answer = server.request(method, path, body, {"Host": _at(host, server)})
        assert (answer.status, answer.json()["error"]["type"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", OWN_ORIGINS)
def test_it_answers_its_own_pages(origin: str, server: Server) -> None:
    origin = _at(origin, server)
    headers = {"Host": origin.removeprefix("http://"), "Origin": origin}
    assert server.request("POST", "/v1/chat/completions", HELLO, headers).status == 200


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_it_refuses_a_foreign_origin(origin: str, server: Server) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = server.request(method, "/v1/chat/completions", HELLO, {"Origin": _at(origin, server)})
        assert answer.status == 403
        assert not any(name.lower().startswith("access-control-") for name in answer.headers)


def test_a_page_under_another_of_its_names_is_foreign(server: Server) -> None:
    headers = {"Host": f"127.0.0.1:{server.port}", "Origin": f"http://localhost:{server.port}"}
    assert server.request("POST", "/v1/chat/completions", HELLO, headers).status == 403


# What it starts

OPENER = """#!/bin/sh
echo "$@" >>"$OPENED"
"""


@pytest.mark.parametrize(
    ("environ", "arguments", "opens"),
    [
        ({"DISPLAY": ":7"}, (), True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, (), True),
        ({"DISPLAY": ":7"}, ("--no-browser",), False),
        ({"DISPLAY": ":7", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, (), False),
        ({}, (), False),
    ],
    ids=["x11", "wayland", "no-browser", "ssh", "no-desktop"],
)
def test_it_opens_a_browser_on_a_desktop_only(
    environ: dict[str, str], arguments: Sequence[str], opens: bool, exhibit: Path, tmp_path: Path
) -> None:
    opener, opened = tmp_path / "xdg-open", tmp_path / "opened"
    opener.write_text(OPENER)
    opener.chmod(0o755)
    env = environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OPENED": str(opened)}
    with served(exhibit, *arguments, env=env) as server:
        until = time.monotonic() + (10 if opens else 0.5)
        while not opened.exists() and time.monotonic() < until:
            time.sleep(0.02)
        address = server.address
    assert (opened.read_text().split() if opened.exists() else []) == ([address] if opens else [])


INHERITED = {
    "LLAMA_ARG_PORT": "8999",
    "LLAMA_ARG_HOST": "0.0.0.0",
    "LLAMA_API_KEY": "secret",
    "LLAMA_ARG_MODEL": "/nonexistent.gguf",
    "LLAMA_ARG_ALIAS": "somebody-else",
    "LLAMA_ARG_CTX_SIZE": "64",
    "LLAMA_ARG_STATIC_PATH": "/etc",
    "LLAMA_ARG_HF_REPO": "nobody/nothing",
    "AIP_MODE": "PREDICTION",
    "AIP_HTTP_PORT": "8998",
    "HF_TOKEN": "secret",
    "GGML_DISABLE_VULKAN": "1",
}


def test_it_ignores_the_settings_that_it_inherits(exhibit: Path) -> None:
    with served(exhibit, env=INHERITED) as server:
        assert _listening(server.pid) == [("0100007F", server.port)]
        assert server.port not in (8998, 8999)
        models = server.request("GET", "/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["exhibit"]
        assert models[0]["meta"]["n_ctx"] == 512
        assert server.request("GET", "/passwd").status == 404
        assert server.ask("Tell me about the clock.")


FETCHING = (
    ("-hf", "nobody/nothing"),
    ("--hf-repo", "nobody/nothing"),
    ("--hf-repo=nobody/nothing",),
    ("-hff", "x.gguf"),
    ("-hfd", "nobody/nothing"),
    ("-mu", "http://127.0.0.1:9/x.gguf"),
    ("--model-url", "http://127.0.0.1:9/x.gguf"),
    ("--mmproj-url", "http://127.0.0.1:9/x.gguf"),
    ("-dr", "nothing"),
)


@pytest.mark.parametrize("option", FETCHING, ids=lambda option: option[0])
def test_it_refuses_to_fetch_a_model(option: Sequence[str], exhibit: Path) -> None:
    done = run(exhibit, "--no-browser", *option)
    assert done.returncode == 1
    asked = option[0].partition("=")[0]
    assert f"{asked} would fetch something" in done.stderr


def test_it_calls_nobody(exhibit: Path, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Every connection it makes, from start to end, is to itself: it asks whether it is ready."""
    trace = tmp_path / "calls"
    wrapper = [str(tool("strace")), "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
    wrapper += ["-o", str(trace)]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        note("blocked strace: this machine does not let a test trace a program")
        pytest.skip("this machine does not let a test trace a program")
    with served(exhibit, wrapper=wrapper) as server:
        assert server.request("GET", "/", headers={"Accept-Encoding": "gzip"}).status == 200
        assert server.ask("Tell me about the clock.")
        port = server.port
    calls = trace.read_text().splitlines()
    connects = [call for call in calls if " connect(" in call]
    assert connects
    assert {f"htons({port})" in call and '"127.0.0.1"' in call for call in connects} == {True}
    # What it sends goes into connections (no address given), never to somebody it names: no look-up of names either.
    assert not [call for call in calls if " send" in call and ("sa_family" in call or "sin_addr" in call)]


# How it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_it_ends_when_told(number: signal.Signals, exhibit: Path) -> None:
    with served(exhibit) as server:
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        with pytest.raises(ConnectionRefusedError):
            server.request("GET", "/health")


def test_a_signal_right_after_the_address_is_not_lost(exhibit: Path) -> None:
    for _ in range(6):
        with served(exhibit) as server:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("_", range(3))  # the moment decides: upstream would hang about one time in ten
def test_it_ends_in_the_middle_of_an_answer(exhibit: Path, _: int) -> None:
    with served(exhibit) as server:
        asker = subprocess.Popen(
            [sys.executable, "-c", ASK, server.address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert asker.stdout is not None
        asker.stdout.readline()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        asker.communicate(timeout=PATIENCE)


ASK = """
import sys, json, urllib.request
body = json.dumps({"prompt": "The", "max_tokens": 400, "stream": True, "ignore_eos": True}).encode()
request = urllib.request.Request(sys.argv[1] + "v1/completions", body, {"Content-Type": "application/json"})
for line in urllib.request.urlopen(request):
    print(len(line), flush=True)
"""


def _programs(cache: Path) -> list[Path]:
    """The programs that a later start would take from a cache."""
    return sorted(path for path in cache.rglob("runtime") if path.is_file())


def test_killed_at_any_moment_it_leaves_nothing_that_a_later_start_would_run(exhibit: Path, tmp_path: Path) -> None:
    _, build = native_build()
    shortest = 60.0
    for whole in (tmp_path / "whole-1", tmp_path / "whole-2"):
        begin = time.monotonic()
        assert _first_start(exhibit, whole, None) == 0
        shortest = min(shortest, time.monotonic() - begin)
        assert [_digest(path) for path in _programs(whole)] == [build.sha256]
    cut = 0
    for step in range(12):
        cache = tmp_path / f"cut-{step}"
        # At twelve moments; every third as soon as something has appeared in the cache.
        cut += _first_start(exhibit, cache, -1 if step % 3 == 2 else shortest * step / 12) != 0
        assert {_digest(path) for path in _programs(cache)} <= {build.sha256}
        assert _first_start(exhibit, cache, None) == 0
        assert [_digest(path) for path in _programs(cache)] == [build.sha256]
    assert cut >= 2


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first_start(exhibit: Path, cache: Path, killed_after: float | None) -> int:
    """Start with a cache of its own and print the version; the exit code.

    Everything is killed after so many seconds, if negative at the first sign of life in the cache, if None never.
    """
    cache.mkdir(exist_ok=True)
    process = subprocess.Popen(
        typed(exhibit, "--version"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment(cache),
        cwd=exhibit.parent,
        start_new_session=True,
    )
    if killed_after is not None:
        if killed_after < 0:
            while process.poll() is None and not any(path.is_file() for path in cache.rglob("*")):
                pass
        else:
            time.sleep(killed_after)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    code = process.wait(60)
    end(process)
    return code


def _gone(group: int) -> bool:
    """Whether a group of processes ends; the inner one does so by itself once the outer one has."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_server_that_was_killed_frees_its_port_and_leaves_no_process(exhibit: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        with served(exhibit, "--port", str(port)) as server:
            assert server.port == port
            assert server.request("GET", "/health").status == 200
            server.process.kill()
            assert server.process.wait(PATIENCE) == -signal.SIGKILL
            assert _gone(server.pid)
