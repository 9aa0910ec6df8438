"""An engine that others built, in a file: ONNX Runtime answers, serves, is recorded and replayed (spec/1, 14.9)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.container import open_container
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.libraries import fetch_packages
from llamafile_format.engines.pin import Pin
from llamafile_format.engines.store import find_pin
from llamafile_format.errors import SourceError
from tests.conftest import ROOT, CliRunner
from tests.docs_pages import script_of
from tests.runtime_server import TARGET, cache_of, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]
GUIDE = ROOT / "examples" / "onnx"
LLAMAFILE = "A llamafile is one file that holds a language model and the program which runs it."
ENGINE = "Here ONNX Runtime computes; its library lies inside, named by digest."


@pytest.fixture(scope="module")
def pin() -> Pin:
    """The pin, its wheel fetched; skips where there is neither build nor index, but in CI, which has both."""
    found = find_pin("onnxruntime")
    if not any(build.target == TARGET for build in found.builds):
        pytest.skip(f"there is no build of {found.key} for {TARGET}")
    try:
        fetch_packages(found, TARGET, None, lambda _what, _done, _total: None)
    except SourceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the wheel cannot be had here: {error} ({error.hint})")
    return found


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
    ):
        done = run(guide, *arguments)
        assert done.returncode in (1, 2)
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


def test_the_server_keeps_its_bounds(guide: Path) -> None:
    with served(guide) as server:
        ask = "/v1/chat/completions"
        message = {"role": "user", "content": "engine"}
        assert server.request("GET", "/health", headers={"Host": "evil.example"}).status == 403
        assert server.request("GET", "/health", headers={"Origin": "http://evil.example"}).status == 403
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


def test_the_page_works(pin: Pin, tmp_path: Path) -> None:
    """The section of docs/exchange.md, typed; what it records is within tolerance, and replayed so."""
    page = (ROOT / "docs" / "exchange.md").read_text("utf-8")
    (section,) = (part for part in page.split("\n## ") if part.startswith("An ONNX model that answers"))
    for name in ("guide.onnx", "guide.onnx.data"):
        shutil.copy(GUIDE / name, tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(work_folder().parent),
    }
    words = ["bash", "-c", script_of(section).replace("linux-x86_64", TARGET)]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert LLAMAFILE in done.stdout
    assert ENGINE in done.stdout
    with open_container(tmp_path / "guide.llamafile") as container:
        (path,) = (member.path for member in container.members if member.role == "behaviour")
        record = read_record(container.read(path)).record
    assert record is not None
    assert (record.subject.runtime.engine, record.agreement) == ("onnxruntime", Agreement.NEAR)
    assert [part.path for part in record.subject.weights] == ["guide.onnx", "guide.onnx.data"]
