"""An engine that others built, in a file: ONNX Runtime answers, serves, is recorded and replayed (spec/1, 14.9)."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.container import open_container
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.pin import Pin
from tests.conftest import ROOT, CliRunner, ToolFinder
from tests.gguf_workbench import exhibit as workbench
from tests.prebuilt_engines import fetched, record_in, typed_section
from tests.runtime_server import EXHIBIT, TARGET, cache_of, environment, pack, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]
GUIDE = ROOT / "examples" / "onnx"
LLAMAFILE = "A llamafile is one file that holds a language model and the program which runs it."
ENGINE = "Here ONNX Runtime computes; its library lies inside, named by digest."
PROMPTS = (
    "Visitor: Tell me about the clock.\nLabel:",
    "Visitor: a brass astrolabe\nLabel:",
    "This home computer",
    "café 12 — ünïcode <s>x</s> y  z",  # characters that are no pieces, control tokens as text, two blanks
    "Schoolteachers extraordinary lighthouses' 1,865!\n\n  abc",
)


@pytest.fixture(scope="module")
def pin() -> Pin:
    return fetched("onnxruntime")


@pytest.fixture(scope="module")
def guide(pin: Pin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the example, packed with the engine."""
    out = tmp_path_factory.mktemp("onnx") / "guide.llamafile"
    files = [GUIDE / "guide.onnx", GUIDE / "guide.onnx.data"]
    return llamafile_format.pack(files, out, runtime=f"{pin.key}:{TARGET}", name="guide").path


def test_the_file_answers_in_its_sandbox(guide: Path) -> None:
    done = run(guide, "--complete", "--chat", "-p", "What is a llamafile?", env={"LFF_SANDBOX": "require"})
    assert (done.returncode, done.stdout, done.stderr) == (0, LLAMAFILE + "\n", "")
    assert run(guide, "-p", "<user>engine<bot>", "-t", "3").stdout == ENGINE + "\n"
    assert run(guide, "-p", "<user>engine<bot>", "-n", "2").stdout == "Here ONNX\n"
    assert "1.32.0" in run(guide, "--version").stdout


def test_what_cannot_be_done_is_one_line(guide: Path) -> None:
    for arguments, words in (
        (("--lora", "x"), "nothing that this engine knows"),
        (("-m", "/zip/README.txt", "-p", "x"), "no"),
        (("-c", "3", "-p", "a long prompt"), "make it larger with -c"),
        (("--host", "0.0.0.0"), "127.0.0.1 alone"),
        (("-p", "x", "--temp", "warm"), "wants a number"),
        (("--list-devices",), "--list-devices is nothing that this engine knows"),
        (("--nonsense", "x", "-p", "x"), "--nonsense is nothing that this engine knows"),
        (("--port", "99999"), "from 0 to 65535, not '99999'"),
        (("--port", "http"), "from 0 to 65535, not 'http'"),
        (("-p", "x", "-t", "many"), "-t wants a whole number from 1 to 1024"),
        (("-p", "x", "-n", "-5"), "-n wants a whole number"),
        (("-p", "x", "--seed", "1.5"), "--seed wants a whole number"),
        (("-p", "x", "--port", "8080"), "--port is of no use in this mode"),
        (("--temp", "1"), "--temp is of no use in this mode"),
        (("--server", "-c"), "wants a value"),
    ):
        done = run(guide, *arguments)
        assert done.returncode in (1, 2)
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert words in done.stderr


def test_the_library_is_kept_by_its_digest_and_hashed_at_every_start(guide: Path, pin: Pin) -> None:
    (library,) = pin.libraries_for(TARGET)
    kept = cache_of(guide) / "llamafile-format" / "rt" / library.sha256 / library.name
    assert run(guide, "-p", "<user>engine<bot>").returncode == 0
    assert kept.stat().st_size == library.size
    with kept.open("r+b") as file:  # somebody of this user's changes it
        file.seek(library.size // 2)
        file.write(b"changed!")
    assert run(guide, "-p", "<user>engine<bot>").stdout == ENGINE + "\n"
    with kept.open("rb") as file:
        file.seek(library.size // 2)
        assert file.read(8) != b"changed!"


def test_another_library_in_the_file_is_not_loaded(guide: Path, pin: Pin, tmp_path: Path, run_cli: CliRunner) -> None:
    bad = tmp_path / "bad.llamafile"
    shutil.copy(guide, bad)
    path = f"runtimes/{pin.name}/{pin.version}/{pin.libraries_for(TARGET)[0].path}"
    with open_container(guide) as container:
        (place,) = (member.offset for member in container.members if member.path == path)
    with bad.open("r+b") as file:
        file.seek(place + 4096)
        file.write(b"changed!")
    done = run(bad, "-p", "x")
    assert done.returncode == 1
    assert "is not the library that this program was built for" in done.stderr
    assert run_cli("complete", bad, "-p", "x").returncode == 1


def test_verify_and_inspect_tell_the_class(guide: Path, run_cli: CliRunner) -> None:
    verified = run_cli("verify", guide)
    assert verified.returncode == 0, verified.stdout
    assert "LF3334" in verified.stdout
    assert "prebuilt by others, not rebuilt" in run_cli("inspect", guide, env={"COLUMNS": "300"}).stdout
    with open_container(guide) as container:
        told = container.read("META-LLAMAFILE/README.txt").decode()
    assert "There is no page." in told
    assert "a page to chat on" not in told


def test_the_library_writes_no_reports(guide: Path, tmp_path: Path) -> None:
    """14.9.7: whoever starts it, and whatever the environment says."""
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "ORT_DISABLE_TELEMETRY": "0"}
    assert run(guide, "--no-sandbox", "-p", "<user>engine<bot>", env=places).stdout == ENGINE + "\n"
    assert not list(tmp_path.iterdir())


def test_the_library_asks_nothing_of_the_environment(guide: Path, tmp_path: Path) -> None:
    """14.9.8: it would look for the model's data in the folder that its user stands in."""
    (tmp_path / "guide.onnx.data").write_bytes(bytes((GUIDE / "guide.onnx.data").stat().st_size))
    settings = environment(cache_of(guide), {"ORT_LOAD_CONFIG_FROM_MODEL": "1", "ORT_INTRA_OP_NUM_THREADS": "3"})
    for more in ((), ("--no-sandbox",)):
        done = subprocess.run(
            ["sh", "-c", 'exec "$0" "$@"', guide, "-p", "<user>engine<bot>", *more],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.stdout, done.stderr) == (ENGINE + "\n", "")


def test_a_place_that_runs_no_code_is_passed_over(guide: Path, tmp_path: Path) -> None:
    """14.2.8: a mount can forbid it."""
    place = tmp_path / "noexec"
    place.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=700", "none", place], check=False).returncode:
        pytest.skip("this machine lets a test mount nothing")
    try:
        places = {"LFF_CACHE": str(place), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = run(guide, "-p", "<user>engine<bot>", env=places)
    finally:
        subprocess.run(["umount", place], check=True)
    assert (done.stdout, done.stderr) == (ENGINE + "\n", "")


def test_the_library_sends_no_reports(guide: Path, tool: ToolFinder, tmp_path: Path) -> None:
    """14.9.7, where no sandbox refuses a connection. It would look for its makers ten seconds after its start."""
    calls = tmp_path / "calls"
    wrapper = [
        str(tool("strace")),
        "-D",
        "-f",
        "-qq",
        "-e",
        "signal=none",
        "-e",
        "trace=socket,bind,connect",
        "-o",
        str(calls),
    ]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test trace a program")
    places = {"HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"}
    with served(guide, "--no-sandbox", wrapper=wrapper, env=places):
        time.sleep(13)
    lines = calls.read_text().splitlines()  # one to listen on, and one for each port in front of it that is taken
    own = [line for line in lines if "socket(AF_INET, SOCK_STREAM" in line]
    bound = [line for line in lines if "bind(" in line and 'inet_addr("127.0.0.1")' in line]
    assert len(own) == len(bound) == len(lines) // 2 > 0


def test_openais_client_gets_answers(guide: Path) -> None:
    openai = pytest.importorskip("openai")
    with served(guide) as server:
        client = openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60)
        assert [model.id for model in client.models.list().data] == ["guide"]
        question = [{"role": "user", "content": "Which engine runs?"}]
        answer = client.chat.completions.create(model="guide", messages=question, temperature=0)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (ENGINE, "stop")
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        pieces = client.chat.completions.create(model="guide", messages=question, temperature=0, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == ENGINE
        text = client.completions.create(model="guide", prompt="<user>engine<bot>", max_tokens=2, temperature=0)
        assert (text.choices[0].text, text.choices[0].finish_reason) == ("Here ONNX", "length")


def test_each_server_has_a_port_of_its_own(guide: Path) -> None:
    with served(guide) as one, served(guide) as other:
        assert one.address != other.address
        assert [server.ask("llamafile") for server in (one, other)] == [LLAMAFILE] * 2
        port = one.address.rstrip("/").rpartition(":")[2]
        taken = run(guide, "--port", port)
        assert (taken.returncode, taken.stdout) == (1, "")
        assert f"no free port from {port}" in taken.stderr


def test_the_server_keeps_its_bounds(guide: Path) -> None:
    with served(guide) as server:
        ask = "/v1/chat/completions"
        message = {"role": "user", "content": "engine"}
        assert server.request("GET", "/health", headers={"Host": "evil.example"}).status == 403
        assert server.request("GET", "/health", headers={"Origin": "http://evil.example"}).status == 403
        nowhere = server.request("POST", "/v1/embeddings", {"input": "x"})
        assert (nowhere.status, nowhere.json()["error"]["message"]) == (404, "there is nothing at this address")
        for body in (
            [],
            {},
            {"messages": []},
            {"messages": [message] * 1025},
            {"messages": [message], "tools": [{}]},
            {"messages": [message], "n": 2},
            {"messages": [message], "max_tokens": -1},
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            {"messages": [{"role": "user", "content": "x" * 5000}]},
        ):
            answer = server.request("POST", ask, body)
            assert (answer.status, "message" in answer.json()["error"]) == (400, True), body
        assert server.request("POST", ask, {"messages": [{"role": "user", "content": "x" * (1 << 20)}]}).status == 413
        assert server.ask("llamafile") == LLAMAFILE


@pytest.fixture(scope="module")
def exhibits(pin: Pin, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The exhibit by two engines: as it is by llama.cpp, exported by ONNX Runtime."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("exhibits")
    command = [sys.executable, GUIDE / "from_gguf.py", EXHIBIT, folder / "exhibit.onnx"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=120)
    files = [folder / "exhibit.onnx", folder / "exhibit.onnx.data"]
    out = llamafile_format.pack(files, folder / "onnx.llamafile", runtime=f"{pin.key}:{TARGET}", name="exhibit").path
    return pack(folder / "gguf.llamafile"), out


def test_the_exhibit_in_onnx_says_what_llama_cpp_says(exhibits: tuple[Path, Path], run_cli: CliRunner) -> None:
    """To the letter: 32 tokens, the likeliest each time. The tokenizer's rule stands in the graph."""
    for prompt in PROMPTS[:3]:
        words = ("-p", prompt, "-n", "32", "--temp", "0")
        told, found = (run_cli("complete", file, *words) for file in exhibits)
        assert (told.returncode, found.returncode) == (0, 0), told.stderr + found.stderr
        assert len(told.stdout) > 60
        assert found.stdout == told.stdout
    prompts = [{"id": f"{at}", "text": text, "max_tokens": 32, "top": 1} for at, text in enumerate(PROMPTS)]
    request = json.dumps({"version": 1, "prompts": prompts})
    told, found = (traced(run(file, "--trace", stdin=request).stdout) for file in exhibits)
    assert [piece for piece, _ in found] == [piece for piece, _ in told]
    assert len(told) > 100
    assert max(abs(one - other) for (_, one), (_, other) in zip(told, found, strict=True)) < 0.05


def traced(lines: str) -> list[tuple[str, float]]:
    """Each step's piece, in hex, and the logit of its token."""
    steps = [event for line in lines.splitlines() if (event := json.loads(line))["event"] == "step"]
    return [(step["piece"], struct.unpack(">f", bytes.fromhex(step["top"][0][1]))[0]) for step in steps]


def test_what_the_exporter_does_not_know_it_refuses(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    for key, word in (("general.architecture", "gemma3"), ("tokenizer.ggml.model", "gpt2")):
        (tmp_path / "m.gguf").write_bytes(workbench().with_entry(key, 8, word).build())
        command = [sys.executable, GUIDE / "from_gguf.py", tmp_path / "m.gguf", tmp_path / "m.onnx"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert word in done.stderr
        assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("title", ["An ONNX model that answers", "One model, two engines"])
def test_the_page_works(pin: Pin, tmp_path: Path, title: str) -> None:
    """The sections of docs/exchange.md, typed; what is recorded is within tolerance, and replayed so."""
    printed = typed_section(title, tmp_path)
    if title != "An ONNX model that answers":
        return
    assert LLAMAFILE in printed
    assert ENGINE in printed
    record = record_in(tmp_path / "exchange" / "guide.llamafile")
    assert (record.subject.runtime.engine, record.agreement) == ("onnxruntime", Agreement.NEAR)
    assert [part.path for part in record.subject.weights] == ["guide.onnx", "guide.onnx.data"]
