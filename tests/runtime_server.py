"""Files that run: how the tests pack one, start it as its user would, talk to it and end it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import llamafile_format
from llamafile_format.engines import host, store
from llamafile_format.engines.pin import Build, Flavour, Pin

ROOT = Path(__file__).resolve().parent.parent
EXHIBIT = ROOT / "examples" / "exhibit" / "exhibit-f16.gguf"
TARGET = host.host_target() or "unknown"
ADDRESS = re.compile(r"chat at (http://\S+)")
ENGINE_SETTINGS = ("LLAMA_", "GGML_", "HF_")
DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION")


def native_build() -> tuple[Pin, Build]:
    """The newest pin and its native build for this machine; skips where this checkout has none."""
    if sys.platform != "linux":
        pytest.skip("these tests look into /proc, which only Linux has")
    for pin in store.pins():
        build = next((b for b in pin.builds if (b.target, b.flavour) == (TARGET, Flavour.NATIVE)), None)
        if pin.name == "llama.cpp" and build is not None and store.is_here(pin, build):
            return pin, build
    pytest.skip(f"this checkout carries no native build for {TARGET}")


def pack(out: Path, *files: Path, args: Sequence[str] = ("--temp", "0", "-c", "512", "..."), **options: Any) -> Path:
    """Pack ``files`` (the exhibit if there are none) with the native build for this machine alone, ready to start."""
    pin, build = native_build()
    chosen = {"runtime": f"{pin.key}:{build.target}", "flavour": "native", "args": list(args), "name": "exhibit"}
    return llamafile_format.pack(list(files or [EXHIBIT]), out, force=True, **(chosen | options)).path


def environment(cache: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without a desktop and without engine settings, and with a cache of its own."""
    kept = {
        key: value for key, value in os.environ.items() if key not in DESKTOP and not key.startswith(ENGINE_SETTINGS)
    }
    return kept | {"LFF_CACHE": os.fspath(cache)} | dict(changes or {})


def typed(file: Path, *arguments: str) -> list[str]:
    """The command that starts ``file`` as if ``./NAME ARGUMENTS`` were typed; run it in the file's folder."""
    return ["sh", "-c", 'exec "./$0" "$@"', file.name, *arguments]


def one_thread(arguments: Sequence[str]) -> tuple[str, ...]:
    """``arguments`` of a start that computes, with one thread unless they say how many.

    The exhibit is too small for two to help, and they wait for each other on a busy machine.
    """
    return tuple(arguments) if "-t" in arguments else (*arguments, "-t", "1")


def cache_of(file: Path) -> Path:
    """Where the tests let ``file`` unpack its programs."""
    folder = file.parent / "cache"
    folder.mkdir(exist_ok=True)
    return folder


def run(
    file: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
    stdin: str = "",
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Start ``file``, wait for its end."""
    return subprocess.run(
        [*wrapper, *typed(file, *arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment(cache_of(file), env),
        cwd=file.parent,
        timeout=timeout,
        check=False,
    )


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A started file that serves: ``address`` ends with a slash."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return urlsplit(self.address).port or 0

    @property
    def pid(self) -> int:
        """The runtime's process: the shell and the launcher became it. In newer builds it is the outer one."""
        return self.process.pid

    @property
    def engine(self) -> int:
        """The process that has the model: the inner one of builds that are two, else the only one."""
        inner = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(inner[0]) if inner else self.pid

    def output(self) -> str:
        """Everything that it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60
    ) -> Answer:
        """Send one request with exactly these headers (Host as usual unless it is among them)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {key.lower(): value for key, value in (headers or {}).items()}
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.putrequest(method, path, skip_host="host" in sent, skip_accept_encoding=True)
            if data is not None:
                sent = {"content-type": "application/json", "content-length": str(len(data))} | sent
            for key, value in sent.items():
                connection.putheader(key, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()

    def ask(self, content: Any, **more: Any) -> str:
        """The model's answer to one message of a user."""
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 48, "temperature": 0} | more
        answer = self.request("POST", "/v1/chat/completions", body)
        assert answer.status == 200, answer.body
        text = answer.json()["choices"][0]["message"]["content"]
        assert isinstance(text, str)
        return text


@contextmanager
def served(
    file: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
    wait: float = 90,
    own_threads: bool = False,
) -> Iterator[Server]:
    """Start ``file`` as a server, wait until it has printed its address, and end it and all that it started.

    It gets one thread unless ``arguments`` say how many, or ``own_threads`` leaves the choice to it.
    """
    log = file.parent / f"{file.name}.{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*wrapper, *typed(file, *(arguments if own_threads else one_thread(arguments)))],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(cache_of(file), env),
            cwd=file.parent,
            start_new_session=True,
        )
    try:
        yield Server(process, _address(process, log, wait), log)
    finally:
        end(process)


def _address(process: subprocess.Popen[bytes], log: Path, wait: float) -> str:
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        said = ADDRESS.search(log.read_text("utf-8", "replace"))
        if said:
            return said[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"no address; exit code {process.poll()}; it said:\n{log.read_text('utf-8', 'replace')}")


def open_links(pid: int) -> set[str]:
    """What the open descriptors of a process lead to; one that is closed while they are listed is not open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and whatever it left in that session."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
