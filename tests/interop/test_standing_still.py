"""Whatever stands still ends in one line, in every mode; who only waits does not stand still (spec/1, 14.6.13)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from spec.vectors.generate.gguf_builder import STRING
from tests.gguf_workbench import exhibit
from tests.interop.test_two_processes import inner_of
from tests.runtime_server import Server, cache_of, environment, pack, run, served, typed

pytestmark = [pytest.mark.slow, pytest.mark.interop]

IMPATIENT = {"LFF_WATCHDOG": "0.2"}
MODES = {
    "server": ["--no-browser"],
    "completion": ["--complete", "-p", "a"],
    "trace": ["--trace"],
}
REQUEST = json.dumps({"version": 1, "prompts": []})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("still") / "x.llamafile")


@pytest.fixture(scope="module")
def server(packed: Path) -> Iterator[Server]:
    with served(packed, "--no-browser", env={"LFF_WATCHDOG": "3"}) as started:
        yield started


@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_never_comes_is_not_waited_for(packed: Path, tmp_path: Path, mode: str) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    ended = run(packed, *MODES[mode], "-m", str(tmp_path / "m.gguf"), env=IMPATIENT, stdin=REQUEST, timeout=30)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "progress" in line]
    assert lines == ["llamafile: loading made no progress for 1 s and was ended"]
    assert mode != "trace" or json.loads(ended.stdout.splitlines()[-1])["event"] == "error"


def test_a_completion_that_stands_still_is_ended(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "long").write_text("a b " * 7_000)
    process = subprocess.Popen(
        typed(packed, "--complete", "-f", str(tmp_path / "long"), "-n", "1", "-c", "32768", "-t", "1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(cache_of(packed), {"LFF_WATCHDOG": "1"}),
        cwd=packed.parent,
        start_new_session=True,
    )
    try:
        inner = one_that_computes(process.pid)
        for _ in range(10):  # between two batches nothing is computed, and nothing stands still
            os.kill(inner, signal.SIGSTOP)
            try:
                process.wait(4)
                break
            except subprocess.TimeoutExpired:
                os.kill(inner, signal.SIGCONT)
        assert process.wait(1) == 1
        assert process.stderr is not None
        assert b"llamafile: the engine made no progress for 1 s and was ended\n" in process.stderr.read()
    finally:
        process.kill()


def one_that_computes(outer: int) -> int:
    """The child of ``outer`` that has read the model and is busy with the prompt; not one that starts it."""
    while True:
        for child in Path(f"/proc/{outer}/task/{outer}/children").read_text().split():
            with suppress(FileNotFoundError):
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                if int(fields[11]) / os.sysconf("SC_CLK_TCK") > 0.3:
                    return int(child)
        time.sleep(0.01)


def test_a_template_counts_no_further_in_a_completion(packed: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    template = "{% for i in range(2000000000) %}{% endfor %}a"
    model.write_bytes(exhibit().with_entry("tokenizer.chat_template", STRING, template).build())
    ended = run(packed, "--complete", "--chat", "-p", "a", "-m", str(model), timeout=60)
    assert ended.returncode == 1
    assert "needs more work" in ended.stderr


def test_who_reads_slowly_holds_up_nobody(server: Server) -> None:
    """One that takes nothing of a long answer for longer than the watch's patience."""
    engine = inner_of(server)
    body = json.dumps({"content": "a b " * 200_000, "with_pieces": True}).encode()
    head = b"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", server.port))
        reader.sendall(head % len(body) + body)
        reader.settimeout(60)
        assert reader.recv(12) == b"HTTP/1.1 200"
        time.sleep(6)
        assert inner_of(server) == engine
        assert server.request("GET", "/health").status == 200


BIG = ["9" * 20, "-" + "9" * 19, "-" + "9" * 40, "1" * 30, "9" * 100_000, "0." + "9" * 5000]


@pytest.mark.parametrize("number", BIG, ids=lambda number: f"{number[:3]}…{len(number)}")
def test_a_number_of_any_length_is_read(server: Server, number: str) -> None:
    engine = inner_of(server)
    text = '{"prompt": "a", "n_predict": 1, "x": NUMBER}'.replace("NUMBER", number).encode()
    status, _ = post(server, "/completion", text)
    assert status in (200, 400)
    call = {"type": "function", "id": "x", "function": {"name": "f", "arguments": f'{{"a": {number}}}'}}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    status, _ = post(server, "/v1/chat/completions", json.dumps({"messages": messages, "max_tokens": 1}).encode())
    assert status in (200, 400)
    assert inner_of(server) == engine


def post(server: Server, path: str, body: bytes) -> tuple[int, bytes]:
    """The answer to these very bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = connection.makefile("rb").read()
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found, answer[:200]
    return int(found[1]), answer
