"""The sandbox of the runtime: what a hostile program can do in it, and that it is closed in every mode."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boxed import SOURCE, compiled, pack_boxed
from tests.runtime_server import EXHIBIT, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with the newest engine."""
    return pack_boxed(new_runtimes, tmp_path_factory.mktemp("box") / "x.llamafile")


@pytest.fixture(scope="module")
def hostile(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile program, compiled with the pinned compiler from the runtime's own sandbox."""
    sandbox = sorted(SOURCE.glob("sandbox*.cpp"))
    return compiled(tmp_path_factory.mktemp("hostile"), Path(__file__).with_name("hostile.cpp"), *sandbox)


def attempts(program: Path, *arguments: object) -> dict[str, str]:
    """What the hostile program reports: a name, and how it went."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return {name: how for name, _, how in (line.partition(" ") for line in done.stdout.splitlines())}


def victims(folder: Path) -> dict[str, Path]:
    """A container, a secret of the user's, a cached build and a remembered verdict."""
    cache = folder / "llamafile-format"
    paths = {
        "granted": folder / "container",
        "secret": folder / "secret",
        "build": cache / "rt" / "0" / "runtime",
        "verdict": cache / "verified" / "0.json",
    }
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return paths


@pytest.mark.parametrize("closed", ["attack", "calls"])
def test_a_hostile_program_fails_at_everything(hostile: Path, tmp_path: Path, closed: str) -> None:
    paths = victims(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        tried = attempts(hostile, closed, *paths.values(), listener.getsockname()[1])
        with pytest.raises(TimeoutError):
            listener.accept()
    may = {name for name in tried if name.startswith("may-")}
    reached = {name for name, how in tried.items() if not how.startswith("denied")} - {"closed"}
    assert len(may) == 4
    assert len(tried) > 50
    # Without Landlock what may be read by the user can be read; nothing can be changed, started or reached.
    assert reached == may | ({"read-secret"} if closed == "calls" else set())
    assert tried.get("closed", "everything") == "everything"
    assert {name: path.read_text() for name, path in paths.items()} == {name: name for name in paths}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["container", "llamafile-format", "secret"]


def test_only_what_was_named_can_be_written(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "other").write_text("other")
    tried = attempts(hostile, "write", tmp_path / "named", tmp_path / "slots", tmp_path / "other")
    reached = {name for name, how in tried.items() if how == "DONE"}
    assert reached == {"may-write-named", "may-make-in-named-folder"}
    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "named.other").exists()


def test_what_it_costs(hostile: Path) -> None:
    """Median of many, fork and end of the process included: 2 ms at most; noise of a busy machine is not counted."""
    best = min(int(next(iter(attempts(hostile, "time", 200).values()))) for _ in range(3))
    assert best <= 2000


def status(pid: int) -> dict[str, str]:
    """``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_server_is_shut_in_and_what_holds_its_port_parses_nothing(packed: Path) -> None:
    with served(packed, "--no-browser") as server:
        inner = server.engine
        assert server.ask("a brass astrolabe")
        inside, outside = status(inner), status(server.pid)
        assert (inside["NoNewPrivs"], inside["Seccomp"]) == ("1", "2")
        assert (outside["NoNewPrivs"], outside["Threads"]) == ("0", "1")
        assert "sandboxed: files (Landlock" in server.output()
        mapped = Path(f"/proc/{server.pid}/maps").read_text()
        assert packed.name not in mapped  # no weights in the outer one
        assert packed.name in Path(f"/proc/{inner}/maps").read_text()


MODES = {
    "complete": (("--complete", "-p", "hi", "-n", "2"), ""),
    "a prompt that is typed": (("--complete", "-f", "-", "-n", "2"), "hi"),
    "chat": (("--complete", "--chat", "-p", "hi", "-n", "2"), ""),
    "a named model": (("--complete", "-m", str(EXHIBIT), "-p", "hi", "-n", "2"), ""),
    "trace": (("--trace",), json.dumps({"version": 1, "prompts": [{"id": "a", "text": "hi", "max_tokens": 1}]})),
    "inspect": (("--inspect",), ""),
    "what will run": (("--what-will-run",), ""),
}
UNOPENED = ("inspect", "what will run")
SERVERS = {"server": (), "embeddings": ("--embeddings",), "system prompt": ("--system-prompt", "Be brief.")}


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in UNOPENED])
def test_the_sandbox_is_closed_when_the_model_is_opened(
    packed: Path, tmp_path: Path, tool: Callable[[str], str], mode: str
) -> None:
    arguments, stdin = MODES[mode]
    calls = traced(packed, tmp_path, tool, arguments, stdin)
    check_order(calls, EXHIBIT if mode == "a named model" else packed)


@pytest.mark.parametrize("mode", SERVERS)
def test_the_sandbox_is_closed_when_the_server_opens_the_model(
    packed: Path, tmp_path: Path, tool: Callable[[str], str], mode: str
) -> None:
    log = tmp_path / "strace"
    with served(packed, "--no-browser", *SERVERS[mode], wrapper=[tool("strace"), "-f", "-y", "-o", str(log)]) as server:
        assert server.request("GET", "/health").status == 200
    calls = log.read_text("utf-8", "replace").splitlines()
    check_order(calls, packed)
    inner = shut_in(calls)[0]
    made = [line for line in calls if line.startswith(f"{inner} ")]
    assert not [line for line in made if re.search(r" (connect|bind|socket|execve|fork)\(", line)]


@pytest.mark.parametrize("mode", UNOPENED)
def test_modes_without_a_model_are_shut_in_too(
    packed: Path, tmp_path: Path, tool: Callable[[str], str], mode: str
) -> None:
    arguments, stdin = MODES[mode]
    assert shut_in(traced(packed, tmp_path, tool, arguments, stdin))


def traced(file: Path, folder: Path, tool: Callable[[str], str], arguments: tuple[str, ...], stdin: str) -> list[str]:
    """The system calls of a start, one a line, with the process in front."""
    log = folder / "strace"
    done = run(file, *arguments, wrapper=[tool("strace"), "-f", "-y", "-o", str(log)], stdin=stdin)
    assert done.returncode == 0, done.stderr
    return log.read_text("utf-8", "replace").splitlines()


def shut_in(calls: list[str]) -> tuple[str, int]:
    """Which process closed the sandbox, and at which line it was done."""
    closing = ("PR_SET_SECCOMP", "SECCOMP_SET_MODE_FILTER")  # by prctl(), or by a call of its own for all threads
    place = next(i for i, line in enumerate(calls) if any(word in line for word in closing))
    process = calls[place].split()[0]
    before = [line for line in calls[:place] if line.startswith(f"{process} ")]
    assert any("PR_SET_NO_NEW_PRIVS, 1" in line for line in before)
    assert any("landlock_restrict_self" in line and line.endswith("= 0") for line in before)
    return process, place


def check_order(calls: list[str], file: Path) -> None:
    """Weights are mapped by the process in the sandbox, after it was closed, and by no other."""
    process, place = shut_in(calls)
    maps = [(i, line) for i, line in enumerate(calls) if " mmap(" in line and f"{file.name}>" in line]
    assert maps, "no weights were mapped"
    assert all(i > place and line.split()[0] == process for i, line in maps)


def test_what_the_user_says_counts(packed: Path) -> None:
    asked = ("--complete", "-p", "hi", "-n", "1", "-t", "1")
    assert run(packed, *asked, env={"LFF_SANDBOX": "require"}).returncode == 0
    assert run(packed, *asked, env={"LFF_SANDBOX": "yes"}).returncode == 2
    both = run(packed, *asked, "--no-sandbox", env={"LFF_SANDBOX": "require"})
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    assert run(packed, *asked, "--no-sandbox").returncode == 0
    with served(packed, "--no-browser", "--no-sandbox") as server:
        assert "no sandbox" in server.output()


def test_the_cache_and_the_container_are_never_written(packed: Path) -> None:
    cache = packed.parent / "cache"
    for named in (cache, cache / "llamafile-format" / "rt", packed.parent):
        done = run(packed, "--no-browser", "--slot-save-path", str(named))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is not written" in done.stderr
    done = run(packed, "--no-browser", "--log_file", str(packed))
    assert done.returncode == 1
    assert "is not written" in done.stderr


def test_a_named_log_is_written(packed: Path, tmp_path: Path) -> None:
    with served(packed, "--no-browser", "--log-file", str(tmp_path / "log"), "-lv", "4") as server:
        assert server.ask("a brass astrolabe")
    assert (tmp_path / "log").stat().st_size > 100


def test_a_model_that_the_user_names_is_read(packed: Path, tmp_path: Path) -> None:
    shutil.copyfile(EXHIBIT, tmp_path / "other.gguf")
    asked = ("--complete", "-p", "hi", "-n", "2", "-t", "1")
    assert run(packed, *asked, "-m", str(tmp_path / "other.gguf")).stdout == run(packed, *asked).stdout
