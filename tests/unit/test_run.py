"""``run``, ``serve`` and ``complete``: verified first, started in place, and refused with the reason."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.engines.host import host_target
from llamafile_format.running.run import Selection, prepare
from tests.conftest import CliRunner
from tests.gguf_workbench import EXHIBIT
from tests.repack_samples import engine, gguf, legacy, write
from tests.runtime_samples import program, use, write_pin
from tests.split_samples import split

pytestmark = pytest.mark.skipif(
    host_target() != "linux-x86_64", reason="the tiny runtimes are scripts for linux-x86_64"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a container ``a.llamafile`` that carries both flavours."""
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    write(tmp_path / "model.gguf", gguf("m", 100_000))
    lf.pack([tmp_path / "model.gguf"], tmp_path / "a.llamafile", flavour="both", args="--temp 0 ...")
    return tmp_path


def handed(text: str) -> list[str]:
    """The lines of a runtime that says how it was started; whichever number the open file had is called DESCRIPTOR."""
    return re.sub(r"/proc/self/fd/[0-9]+", "DESCRIPTOR", text).splitlines()


def place_of(path: Path, member: str) -> tuple[int, int]:
    """(offset, size) of a member's data."""
    with lf.open(path) as container:
        return next((item.offset, item.size) for item in container.members if item.path == member)


def test_the_native_build_is_started_on_the_container_in_place(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    shown = run_cli("run", path, "--", "--port", "8 1", "it's", "", env={"LFF_CONTAINER": "/elsewhere"})
    offset, size = place_of(path, "model.gguf")
    assert shown.returncode == 0
    assert handed(shown.stdout) == [
        f"flavour=native container=DESCRIPTOR offset={offset} size={size}",
        "<--port>",
        "<8 1>",
        "<it's>",
        "<>",
    ]
    assert shown.stderr == ""


def test_serve_and_complete_name_their_mode(folder: Path, run_cli: CliRunner) -> None:
    served = run_cli("serve", folder / "a.llamafile", "--", "--port", "9")
    assert served.stdout.splitlines()[1:] == ["<--server>", "<--no-browser>", "<--port>", "<9>"]
    asked = ["-p", "-n", "-n", "3", "--temp", "0.5", "--seed", "7", "-t", "2", "--chat"]
    done = run_cli("complete", folder / "a.llamafile", *asked)
    words = [line[1:-1] for line in done.stdout.splitlines()[1:]]
    assert words == ["--complete", *asked]
    assert run_cli("complete", folder / "a.llamafile").returncode == 2
    assert run_cli("complete", folder / "a.llamafile", "-p", "a", "-f", "b").returncode == 2


def test_flavour_and_target_are_the_users_to_choose(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    assert "flavour=reference" in run_cli("run", path, "--flavour", "reference").stdout
    assert "flavour=reference" in run_cli("run", path, env={"LFF_FLAVOUR": "reference"}).stdout
    assert prepare(path, wanted=Selection(target="windows-x86_64")).build.target == "windows-x86_64"
    for options, word in (
        (("--target", "plan9-mips"), "plan9-mips"),
        (("--target", "wasm32-wasi"), "WebAssembly"),
        (("--runtime", "bitnet.cpp"), "bitnet.cpp"),
    ):
        refused = run_cli("run", path, *options)
        assert refused.returncode == 2
        assert word in refused.stderr
        assert refused.stdout == ""


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_policy_is_read_before_the_file_and_never_ignored(folder: Path, run_cli: CliRunner, command: str) -> None:
    for policy in ("nothing.yaml", __file__):
        refused = run_cli(command, folder / "a.llamafile", "--policy", policy)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: ")
        assert refused.stdout == ""


def test_what_nobody_trusted_signed_is_not_started(folder: Path, run_cli: CliRunner) -> None:
    path, key, other = folder / "a.llamafile", folder / "KEY", folder / "OTHER"
    for name in (key, other):
        assert run_cli("keygen", "--type", "p256", "--no-passphrase", "-o", name).returncode == 0
    refused = run_cli("run", path, "--key", f"{key}.pub")
    assert refused.returncode == 5
    assert "was not started" in refused.stderr
    assert refused.stdout == ""
    assert run_cli("sign", path, "--key", key).returncode == 0
    assert run_cli("run", path, "--key", f"{other}.pub").returncode == 5
    for command in (("run",), ("serve",), ("complete", "-p", "x")):
        started = run_cli(command[0], path, *command[1:], "--key", f"{key}.pub")
        assert started.returncode == 0, started.stderr
        assert started.stdout.startswith("flavour=native")
    assert run_cli("run", folder / "model.gguf", "--key", f"{key}.pub").returncode == 5


def test_what_a_policy_refuses_is_not_started(folder: Path, run_cli: CliRunner) -> None:
    path, policy = folder / "a.llamafile", folder / "p.yaml"
    policy.write_text("policy: 1\nname: mine\nunsigned: allow\nallow: {engines: [llama.cpp]}\n", encoding="utf-8")
    assert run_cli("run", path, "--policy", policy).returncode == 0
    policy.write_text("policy: 1\nname: mine\nunsigned: allow\nallow: {engines: [other]}\n", encoding="utf-8")
    refused = run_cli("run", path, "--policy", policy)
    assert refused.returncode == 1
    assert "LF8404" in refused.stderr
    assert refused.stdout == ""


def test_under_a_policy_every_byte_is_looked_at(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    assert run_cli("keygen", "--type", "p256", "--no-passphrase", "-o", folder / "KEY").returncode == 0
    assert run_cli("sign", path, "--key", folder / "KEY").returncode == 0
    offset, size = place_of(path, "model.gguf")
    data = bytearray(path.read_bytes())
    data[offset + size - 1] ^= 1
    path.write_bytes(data)
    assert run_cli("run", path, "--verify", "quick").returncode == 0  # a quick look sees no weights
    refused = run_cli("run", path, "--key", folder / "KEY.pub")
    assert refused.returncode == 1
    assert "was not started" in refused.stderr
    assert "LF4" in refused.stderr


def test_the_exit_status_is_the_runtimes(folder: Path, run_cli: CliRunner) -> None:
    assert run_cli("run", folder / "a.llamafile", "--", "--exit", "7").returncode == 7


def test_a_damaged_build_is_refused_even_if_the_cache_has_it(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    assert run_cli("run", path).returncode == 0
    offset, _ = place_of(path, "runtimes/llama.cpp/0.3.36/native/linux-x86_64")
    with path.open("r+b") as file:
        file.seek(offset + 60_000)
        file.write(b"x")
    for how in ("full", "quick"):
        refused = run_cli("run", path, "--verify", how)
        assert refused.returncode == 1
        assert "native/linux-x86_64 is damaged" in refused.stderr
        assert refused.stdout == ""
    assert "flavour=reference" in run_cli("run", path, "--verify", "quick", "--flavour", "reference").stdout


def test_a_file_that_is_not_well_formed_is_refused_with_the_finding(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    with path.open("ab") as file:
        file.write(b"\0")
    refused = run_cli("run", path)
    assert refused.returncode == 1
    assert "LF" in refused.stderr
    assert "was not started" in refused.stderr


def test_nothing_inside_is_taken_from_the_store(folder: Path, run_cli: CliRunner) -> None:
    lf.pack([folder / "model.gguf"], folder / "bare.llamafile", prefix="none")
    shown = run_cli("run", folder / "bare.llamafile")
    assert "container=DESCRIPTOR offset=65536" in handed(shown.stdout)[0]
    assert "llama.cpp@0.3.36 (native) of this installation" in shown.stderr
    shown = run_cli("run", folder / "model.gguf", "--flavour", "reference", "--", "-n", "1")
    assert shown.stdout.splitlines() == [
        "flavour=reference container= offset= size=",
        "<-m>",
        f"<{folder / 'model.gguf'}>",
        "<-n>",
        "<1>",
    ]


def test_a_legacy_llamafile_is_started_on_the_model_that_it_names(folder: Path, run_cli: CliRunner) -> None:
    members = [("a.gguf", gguf("a")), ("b.gguf", gguf("b")), (".args", b"-m\nb.gguf\n--nobrowser\n...\n")]
    old = write(folder / "old.llamafile", legacy(engine("old", 70_000, version="0.8.0"), members))
    refused = run_cli("run", old)
    assert refused.returncode == 1
    assert "--nobrowser" in refused.stderr
    assert "--accept-args" in refused.stderr
    assert refused.stdout == ""
    shown = run_cli("run", old, "--accept-args", "--nobrowser")
    offset, size = place_of(old, "b.gguf")
    assert handed(shown.stdout) == [
        f"flavour=native container=DESCRIPTOR offset={offset} size={size}",
        "<-m>",
        "</zip/b.gguf>",
    ]
    assert "another engine" in shown.stderr


def test_compressed_weights_are_refused_with_advice(folder: Path, run_cli: CliRunner) -> None:
    data = legacy(engine("old", 70_000), [("m.gguf", gguf("m"))], deflate=["m.gguf"])
    refused = run_cli("run", write(folder / "old.llamafile", data))
    assert refused.returncode == 1
    assert "repack" in refused.stderr
    lf.repack(folder / "old.llamafile", folder / "new.llamafile", prefix="launcher")
    assert run_cli("run", folder / "new.llamafile").returncode == 0


def test_a_shard_stands_for_its_set(folder: Path, run_cli: CliRunner) -> None:
    write(folder / "m.gguf", EXHIBIT.read_bytes())
    _, second = split(folder / "m.gguf", folder, 2)
    assert f"<{folder / 'm-00001-of-00002.gguf'}>" in run_cli("run", second).stdout
    (folder / "m-00001-of-00002.gguf").unlink()
    refused = run_cli("run", second)
    assert refused.returncode == 2
    assert "m-00001-of-00002.gguf" in refused.stderr


def test_what_the_store_does_not_know_is_said_before(folder: Path, run_cli: CliRunner) -> None:
    write(folder / "odd.gguf", gguf("odd", architecture="nobody-knows"))
    assert "nobody-knows" in run_cli("run", folder / "odd.gguf").stderr


def test_weights_in_another_format_are_not_handed_to_an_engine_of_this_installation(
    folder: Path, run_cli: CliRunner
) -> None:
    weights = write(folder / "m.safetensors", b"\x02\0\0\0\0\0\0\0{}")
    lf.pack([weights], folder / "m.llamafile", prefix="none")
    refused = run_cli("run", folder / "m.llamafile")
    assert refused.returncode == 1
    assert "m.safetensors" in refused.stderr
    assert "LF3303" in refused.stderr


def test_something_else_is_not_started(folder: Path, run_cli: CliRunner) -> None:
    assert run_cli("run", write(folder / "page", b"<!DOCTYPE html><html></html>")).returncode == 3
    assert run_cli("run", folder / "absent").returncode == 4


def test_the_newest_version_inside_is_started(folder: Path, run_cli: CliRunner) -> None:
    new = {("native", "linux-x86_64"): program("newer", "linux-x86_64")}
    shutil.rmtree(folder / "pins")
    write_pin(folder / "more", "0.10.0", new)
    write_pin(folder / "pins", "0.10.0", new)
    write_pin(folder / "pins")
    include = [lf.Include(folder / "more" / "plain", "runtimes/llama.cpp/0.10.0/native/linux-x86_64")]
    write(folder / "more" / "plain", new["native", "linux-x86_64"])
    lf.repack(folder / "a.llamafile", folder / "b.llamafile", include=include)
    assert "flavour=newer" in run_cli("run", folder / "b.llamafile").stdout
    assert "flavour=native" in run_cli("run", folder / "b.llamafile", "--runtime", "llama.cpp@0.3.36").stdout


def test_signals_reach_the_program_because_the_command_became_it(folder: Path) -> None:
    script = b"#!/bin/sh\ntrap 'echo stopped; exit 3' TERM\necho $$\nwhile :; do sleep 0.05; done\n"
    write_pin(folder / "waits", builds={("native", "linux-x86_64"): script})
    command = [sys.executable, "-m", "llamafile_format", "run", str(folder / "model.gguf")]
    environment = os.environ | {"LFF_RUNTIMES": str(folder / "waits"), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        assert int(process.stdout.readline()) == process.pid
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 3
        assert process.stdout.read() == "stopped\n"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def test_the_program_that_was_checked_starts_whatever_has_its_name_by_then(folder: Path) -> None:
    """Clause 14.3.2: by its descriptor, so exchanging the file in the cache comes too late."""
    script = (
        "import sys; from pathlib import Path; from llamafile_format.running.run import prepare, start;"
        "begin = prepare(sys.argv[1]); path = Path(begin.program); path.unlink();"
        "path.write_text('#!/bin/sh\\necho evil\\n'); path.chmod(0o700); start(begin)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, str(folder / "a.llamafile")]
    shown = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert shown.stdout.startswith("flavour=native "), shown.stderr


def test_a_broken_pipe_ends_the_program_as_it_ends_any_other(folder: Path) -> None:
    """Python ignores SIGPIPE; what it starts must not inherit that."""
    script = b"#!/bin/sh\nwhile echo y; do :; done 2>/dev/null\necho survived >&2\n"
    write_pin(folder / "talks", builds={("native", "linux-x86_64"): script})
    line = f"'{sys.executable}' -m llamafile_format run model.gguf | head -1"
    environment = os.environ | {"LFF_RUNTIMES": str(folder / "talks"), "PYTHONPATH": str(Path(__file__).parents[2])}
    shown = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, env=environment, cwd=folder, check=True, timeout=60
    )
    assert shown.stdout == "y\n"
    assert "survived" not in shown.stderr
