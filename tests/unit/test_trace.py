"""Starting a runtime and reading what it says: lies, crashes, floods and silence each get a plain sentence."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.engines.ask import request_bytes, trace
from llamafile_format.engines.behaviour import texts
from llamafile_format.engines.launch import HERE, Via, parse_via
from llamafile_format.engines.trace import Message, Prompt, Request, Trace, logit_value
from llamafile_format.engines.trace_reader import read_trace
from llamafile_format.errors import RuntimeFailure, UsageError
from tests.behaviour_samples import Fake
from tests.conftest import ROOT

REQUEST = Request((Prompt("a", text="Once", max_tokens=2, top=2),), likelihood=texts()["alice-1865"])


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def ask(fake: Fake, folder: Path, request: Request = REQUEST, **options: Any) -> Trace:
    container = folder / "with space & ü.llamafile"
    container.touch()
    return trace(fake.program, container, request, **options)


def refused(fake: Fake, folder: Path, words: str, **options: Any) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        ask(fake, folder, **options)
    assert words in str(caught.value)
    assert caught.value.exit_code == 4


def test_answer(fake: Fake, tmp_path: Path) -> None:
    answer = ask(fake, tmp_path)
    (prompt,) = answer.prompts
    assert prompt.rendered == b"Once"
    assert prompt.tokens == tuple(byte % 16 for byte in b"Once")
    assert [step.top[0][0] for step in prompt.steps] == list(prompt.generated)
    assert prompt.output == bytes(97 + token for token in prompt.generated)
    assert answer.likelihood is not None
    assert answer.likelihood.value == 100.0


def test_request_is_plain_json() -> None:
    chat = Prompt("b", messages=(Message("user", "Grüße 👋"),))
    data = request_bytes(Request((*REQUEST.prompts, chat), threads=3))
    value = json.loads(data.decode("ascii"))
    assert value["prompts"][1] == {
        "id": "b",
        "max_tokens": 24,
        "top": 5,
        "messages": [{"role": "user", "content": "Grüße 👋"}],
    }
    assert value["threads"] == 3
    assert "nll" not in value


def test_runtime_sees_nothing_of_the_user(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMA_ARG_THREADS", "LLAMA_LOG_FILE", "LD_PRELOAD_NOT", "GGML_X", "LFF_VERIFY"):
        monkeypatch.setenv(name, "7")
    seen = tmp_path / "seen.json"
    fake.tell(environment=str(seen))
    ask(fake, tmp_path, weights=(65536, 100), model="x.gguf")
    value = json.loads(seen.read_text())
    environment = value["environment"]
    assert environment.pop("LFF_CONTAINER") == str((tmp_path / "with space & ü.llamafile").resolve())
    assert (environment.pop("LFF_WEIGHTS_OFFSET"), environment.pop("LFF_WEIGHTS_SIZE")) == ("65536", "100")
    assert environment.pop("LFF_GPU") == "off"
    assert set(environment) <= {"HOME", "TMPDIR", "LC_ALL", "LC_CTYPE"}
    assert environment["HOME"] == environment["TMPDIR"] == value["cwd"]
    assert not Path(value["cwd"]).exists()
    assert value["argv"] == ["--trace", "-m", "/zip/x.gguf"]


# Lies

GOOD_STEP = {"token": 0, "piece": "61", "logits": "0" * 64, "top": [[0, "3f800000"], [1, "00000000"]]}
LIES: list[tuple[str, dict[str, Any], str]] = [
    ("runtime", {"engine": "x" * 200}, "engine"),
    ("runtime", {"version": 3}, "version"),
    ("runtime", {"vocabulary": 0}, "vocabulary"),
    ("runtime", {"vocabulary": 1 << 40}, "vocabulary"),
    ("runtime", {"vocabulary": True}, "vocabulary"),
    ("runtime", {"context": 4096}, "a context of 4096 tokens where 512"),
    ("runtime", {"batch": 64}, "a batch of 64 tokens where 512"),
    ("runtime", {"device": "Vulkan0"}, "computed on 'Vulkan0': what is recorded is computed on the CPU"),
    ("runtime", {"threads": 64}, "threads"),
    ("prompt", {"id": "b"}, "speaks of prompt 'b' where a was due"),
    ("prompt", {"rendered": "zz"}, "rendered"),
    ("prompt", {"rendered": "ABCD"}, "rendered"),
    ("prompt", {"rendered": "abc"}, "rendered"),
    ("prompt", {"tokens": [16]}, "is not one of 16 tokens"),
    ("prompt", {"tokens": [-1]}, "is not one of 16 tokens"),
    ("prompt", {"tokens": [1.0]}, "is not one of 16 tokens"),
    ("prompt", {"tokens": "1"}, "no list"),
    ("step", {"step": 1}, "step 0 of prompt a is numbered 1"),
    ("step", {"step": 2}, "step is '2'"),
    ("step", {"token": 99}, "token is '99'"),
    ("step", {"logits": "0" * 63}, "logits"),
    ("step", {"logits": "F" * 64}, "logits"),
    ("step", {**GOOD_STEP, "top": []}, "does not have its 2 highest logits"),
    ("step", {**GOOD_STEP, "top": [[0, "3f800000"], [0, "00000000"]]}, "out of order"),
    ("step", {**GOOD_STEP, "top": [[0, "00000000"], [1, "3f800000"]]}, "out of order"),
    ("step", {**GOOD_STEP, "top": [[1, "3f800000"], [0, "3f800000"]]}, "out of order"),
    ("step", {**GOOD_STEP, "token": 1}, "token 1 was chosen, but 0 has the highest logit"),
    ("step", {**GOOD_STEP, "top": [[0, "7fc00000"], [1, "00000000"]]}, "is not a number"),
    ("step", {**GOOD_STEP, "top": [[0, 1.0], [1, 0.0]]}, "is not a token and its logit"),
    ("step", {**GOOD_STEP, "top": [0, 1]}, "is not a token and its logit"),
    ("step", {"piece": "61" * 5000}, "piece"),
    ("end", {"reason": "boredom"}, "ended for no known reason"),
    ("nll", {"count": 0}, "count"),
    ("nll", {"count": 10**6}, "count"),
    ("nll", {"bits": "7ff0000000000000"}, "negative log-likelihood is inf"),
    ("nll", {"bits": "bff0000000000000"}, "negative log-likelihood is -1.0"),
    ("nll", {"bits": "12"}, "bits"),
]


@pytest.mark.parametrize(("event", "lie", "words"), LIES, ids=lambda item: str(item)[:40])
def test_lies(fake: Fake, tmp_path: Path, event: str, lie: dict[str, Any], words: str) -> None:
    fake.tell(lie={event: lie})
    refused(fake, tmp_path, words)


@pytest.mark.parametrize("event", ["runtime", "prompt", "end", "nll", "done"])
def test_events_left_out(fake: Fake, tmp_path: Path, event: str) -> None:
    fake.tell(leave_out=[event])
    refused(fake, tmp_path, f"{event}" if event != "done" else "stopped before it said done")


def test_too_few_steps(fake: Fake, tmp_path: Path) -> None:
    fake.tell(stop=1, reason="length")
    refused(fake, tmp_path, "ended after 1 of 2 tokens, for length")


def test_talks_on(fake: Fake, tmp_path: Path) -> None:
    fake.tell(after="one more thing\n")
    refused(fake, tmp_path, "went on after it was done")


def test_error_of_the_runtime(fake: Fake, tmp_path: Path) -> None:
    fake.tell(lie={"prompt": {"event": "error", "message": "no chat template"}})
    refused(fake, tmp_path, "the runtime says: no chat template")


@pytest.mark.parametrize(
    "line", [b"\xff\n", b"{\n", b"[]\n", b'"x"\n', b'{"event": NaN}\n', b"[" * 100000 + b"\n", b"\n"]
)
def test_lines_that_are_no_events(line: bytes) -> None:
    with pytest.raises(RuntimeFailure):
        read_trace(iter([line]), REQUEST)


def test_numbers_of_any_length() -> None:
    with pytest.raises(RuntimeFailure):
        read_trace(iter([b'{"event":"runtime","vocabulary":' + b"9" * 100000 + b"}\n"]), REQUEST)


# Ends


def test_bad_end_behind_good_answers(fake: Fake, tmp_path: Path) -> None:
    fake.tell(code=3)
    refused(fake, tmp_path, "gave all answers and ended with code 3")


def test_crash(fake: Fake, tmp_path: Path) -> None:
    fake.tell(die_after="step", complain="out of memory\x1b[2J")
    refused(fake, tmp_path, "was ended by SIGABRT; its last words: out of memory")


def test_silence_is_not_waited_for(fake: Fake, tmp_path: Path) -> None:
    fake.tell(hang_after="step")
    begin = time.monotonic()
    refused(fake, tmp_path, "took more than 1 seconds", timeout=1.0)
    assert time.monotonic() - begin < 30


def test_flood(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamafile_format.engines.launch.MAX_ANSWER", 1 << 20)
    fake.tell(flood_after="runtime")
    refused(fake, tmp_path, "is not JSON")
    fake.tell(flood_after="done")
    refused(fake, tmp_path, "went on")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look into")
def test_nothing_is_left_running(fake: Fake, tmp_path: Path) -> None:
    fake.tell(hang_after="step")
    refused(fake, tmp_path, "took more than", timeout=1.0)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert str(fake.program).encode() not in path.read_bytes()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look into")
def test_runtime_does_not_outlive_a_command_that_is_told_to_end(fake: Fake, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    fake.tell(hang_after="step", environment=str(seen))
    code = (
        "from pathlib import Path; from llamafile_format.engines.ask import trace;"
        "from llamafile_format.engines.trace import Prompt, Request;"
        f"trace(Path({str(fake.program)!r}), Path({str(tmp_path)!r}), Request((Prompt('a', text='x'),)))"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        while not seen.exists():
            assert command.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        command.terminate()
        assert command.wait(30) == -15
    finally:
        command.kill()
        command.wait()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert str(fake.program).encode() not in path.read_bytes()


def test_not_a_program(tmp_path: Path) -> None:
    program, container = tmp_path / "program", tmp_path / "c"
    container.touch()
    with pytest.raises(RuntimeFailure, match="cannot be started"):
        trace(program, container, REQUEST)
    program.write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(44))
    program.chmod(0o700)
    with pytest.raises(RuntimeFailure, match="cannot be started") as caught:
        trace(program, container, REQUEST)
    assert "--via" in caught.value.hint


# Ways


def test_ways() -> None:
    assert parse_via("") == HERE
    assert parse_via("qemu:Nehalem") == Via("qemu", "Nehalem")
    assert str(parse_via("qemu:Nehalem")) == "qemu:Nehalem"
    for text in ("docker", "wine:x", "qemu:", ":x", "wasmtime:"):
        with pytest.raises(UsageError):
            parse_via(text)


def test_qemu_runs_linux_programs_only(tmp_path: Path) -> None:
    program, container = tmp_path / "program", tmp_path / "c"
    container.touch()
    program.write_bytes(b"MZ" + bytes(100))
    with pytest.raises(RuntimeFailure, match="is not a Linux program"):
        trace(program, container, REQUEST, via=Via("qemu"))


def test_emulator_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, container = tmp_path / "program", tmp_path / "c"
    container.touch()
    program.write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(44))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeFailure, match="qemu-aarch64-static is not installed"):
        trace(program, container, REQUEST, via=Via("qemu"))


def test_wasm_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("wasmtime")
    program, container = tmp_path / "program", tmp_path / "c"
    container.touch()
    program.write_bytes(b"no module")
    with pytest.raises(RuntimeFailure, match="wasmtime"):
        trace(program, container, REQUEST, via=Via("wasmtime"))


def test_wasm_sees_its_folder_and_cannot_write(tmp_path: Path) -> None:
    """A module in text form that says whether it could open a file for writing and one outside of its folder."""
    pytest.importorskip("wasmtime")
    import wasmtime

    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "c").write_text("x")
    (tmp_path / "secret").write_text("y")
    module = tmp_path / "probe.wasm"
    module.write_bytes(wasmtime.wat2wasm(_PROBE))
    with pytest.raises(RuntimeFailure) as caught:
        trace(module, folder / "c", REQUEST, via=Via("wasmtime"))
    assert "r=y w=n o=n" in str(caught.value)


_PROBE = r"""
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "c")
  (data (i32.const 16) "../secret")
  (data (i32.const 64) "r=y w=y o=y\n")
  (func $mark (param $place i32) (i32.store8 (local.get $place) (i32.const 110)))
  (func (export "_start")
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128)) (then (call $mark (i32.const 66))))
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)
          (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 128)) (then (call $mark (i32.const 70))))
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128)) (then (call $mark (i32.const 74))))
    (i32.store (i32.const 200) (i32.const 64))
    (i32.store (i32.const 204) (i32.const 12))
    (drop (call $write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))))
"""


def test_values_of_bits() -> None:
    assert logit_value(0x3F800000) == 1.0
    assert logit_value(0x80000000) == 0.0
    assert logit_value(0xFF800000) == float("-inf")
