"""Python code that others built: wheels read strictly, unpacked under checks, run shut in (spec/1, 14.10)."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llamafile_format.engines import confine, wheels
from llamafile_format.engines.cache_contents import ItemKind, contents, remove
from llamafile_format.engines.pin import Input, Kind, Library, Pin
from llamafile_format.engines.pin_reader import load_pin, read_pin
from llamafile_format.engines.private_folder import folder_path
from llamafile_format.engines.store import is_here, read_build
from llamafile_format.engines.wheels import read_wheel, runner_pin, unpacked_wheels, wheels_for
from llamafile_format.errors import FormatError, RuntimeFailure, SourceError
from llamafile_format.source import BytesSource
from llamafile_format.zip.contents import inflate as read
from tests.conftest import ROOT, CliRunner

FOLDER = ROOT / "runtimes" / "mlx" / "0.32.4"
TEXT = (FOLDER / "runtime.yaml").read_text("utf-8")
FILES = {"tiny/__init__.py": b"", "tiny/more.py": b"x = 1\n" * 999}
LINUX = sys.platform == "linux"


@pytest.fixture
def pin() -> Pin:
    return load_pin(FOLDER)


def wheel(files: dict[str, bytes], record: Callable[[list[str]], list[str]] = lambda lines: lines) -> bytes:
    """A wheel of ``files``; ``record`` changes the lines of its list."""
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    lines = record([*lines, "tiny-1.dist-info/RECORD,,"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny-1.dist-info/RECORD", "\n".join(lines) + "\n")
    return out.getvalue()


def test_the_build_is_the_text_that_the_pin_names(pin: Pin) -> None:
    assert pin.kind is Kind.PYTHON_WHEELS
    for build in pin.builds:
        assert is_here(pin, build)
        assert read_build(pin, build) == (FOLDER / "source" / "runner.py").read_bytes()
        assert (found := runner_pin(build.sha256)) is not None
        assert found.key == pin.key
    assert runner_pin("0" * 64) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: python-wheels\n", "kind: native-library\n"),
        ("kind: python-wheels\n", ""),
        ("  release: MLX", "  commit: fab30a4\n  release: MLX"),
        ("  input: mlx-cpu\n", "  input: mlx-lm\n"),
        ("  input: mlx-cpu\n", "  input: mlx-cpu\n  member: mlx/lib/libmlx.so\n"),
        ("- target: linux-x86_64\n  name: mlx_lm-", "- target: linux-x86_64\n  name: mlx_lm"),
    ],
)
def test_a_pin_that_contradicts_itself_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(FormatError):
        read_pin(TEXT.replace(old, new, 1), FOLDER / "runtime.yaml")


def test_each_python_gets_its_own_wheels(pin: Pin) -> None:
    for version in ((3, 11), (3, 12), (3, 13)):
        names = [one.name for one in wheels_for(pin, "linux-x86_64", version)]
        assert len(names) == 4
        assert f"mlx-0.32.4-cp3{version[1]}-cp3{version[1]}-manylinux_2_35_x86_64.whl" in names
    with pytest.raises(RuntimeFailure, match=r"no wheel of mlx for Python 3\.9"):
        wheels_for(pin, "linux-x86_64", (3, 9))


def test_a_wheel_is_read() -> None:
    assert read_wheel(BytesSource(wheel(FILES), "w")).keys() == FILES.keys()


@pytest.mark.parametrize(
    "data",
    [
        wheel({**FILES, "start.pth": b"import os\n"}),
        wheel({**FILES, "tiny-1.data/scripts/run": b"#!/bin/sh\n"}),
        wheel({**FILES, "../out.py": b""}),
        wheel({**FILES, "TINY/more.py": b""}),
        wheel(FILES, lambda lines: lines[1:]),
        wheel(FILES, lambda lines: [*lines, f"gone.py,sha256={'A' * 43},0"]),
        wheel(FILES, lambda lines: [lines[0], *lines]),
        wheel(FILES, lambda lines: [lines[0].replace("sha256=", "md5="), *lines[1:]]),
        wheel(FILES, lambda lines: [lines[0][:-1] + "7", *lines[1:]]),
        wheel(FILES)[:-1],
        wheel(FILES) + b"more",
        b"no archive",
    ],
)
def test_a_wheel_that_leaves_something_open_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_wheel(BytesSource(data, "w"))


@pytest.fixture
def tiny(pin: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Pin, bytes]:
    """The pin with one small wheel, and its bytes."""
    monkeypatch.setenv("LFF_CACHE", str(tmp_path))
    data = wheel(FILES)
    name, digest = "tiny-1-py3-none-any.whl", hashlib.sha256(data).hexdigest()
    source = Input("tiny", "tiny", "1", name, digest, len(data))
    library = Library("linux-x86_64", name, "tiny", "", digest, len(data))
    return replace(pin, inputs=(source,), libraries=(library,)), data


@pytest.mark.skipif(not LINUX, reason="engines of this kind are for Linux")
def test_what_was_changed_in_the_cache_is_unpacked_anew(tiny: tuple[Pin, bytes]) -> None:
    pin, data = tiny

    def placed() -> Path:
        return unpacked_wheels(pin, "linux-x86_64", lambda _: BytesSource(data, "w"))

    folder = placed()
    for change in (
        lambda: (folder / "tiny/more.py").write_bytes(b"x = 2\n" * 999),
        lambda: (folder / "tiny/other.py").write_bytes(b""),
        lambda: (folder / "tiny/more.py").unlink(),
        lambda: (folder / "tiny/more.py").chmod(0o666),
    ):
        change()
        assert placed() == folder
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.py")}
        assert found == FILES
    with pytest.raises(FormatError, match="is not tiny-1"):
        unpacked_wheels(pin, "linux-x86_64", lambda _: BytesSource(data[:-1] + b"!", "w"))


@pytest.mark.skipif(not LINUX, reason="engines of this kind are for Linux")
def test_an_unpacking_that_fails_leaves_nothing(tiny: tuple[Pin, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, say; and what a killed start left is swept by the next."""
    pin, data = tiny

    def full(*_: object) -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    def placed() -> Path:
        return unpacked_wheels(pin, "linux-x86_64", lambda _: BytesSource(data, "w"))

    with monkeypatch.context() as patch:
        patch.setattr(wheels, "blocks", full)
        patch.setattr(
            wheels, "inflate", lambda source, entry, exact: full() if "more" in entry.path else read(source, entry)
        )
        with pytest.raises(SourceError, match="No space left"):
            placed()
    home = folder_path("wheels")
    assert home is not None
    assert list(home.iterdir()) == []
    killed = home / f"{'0' * 64}.{platform.node() or 'host'}.{2**22 + 1}"  # no process has such a number
    (killed / "tiny").mkdir(parents=True)
    assert [(item.kind, item.path) for item in contents() if item.path.is_relative_to(home)] == [
        (ItemKind.LEFTOVER, killed)
    ]
    folder = placed()
    assert list(home.iterdir()) == [folder]
    (item,) = (item for item in contents() if item.path.is_relative_to(home))
    assert (item.kind, item.path) == (ItemKind.BUILD, folder)
    remove(item)
    assert not folder.exists()


HOSTILE = f"""
import ctypes, mmap, os, socket, sys, threading
def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False
def started_with():  # as the kernel lays them down: arguments, variables, and the program's path
    at = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "program_invocation_name").value
    for _ in range(len(sys.orig_argv) + 2):
        text = ctypes.string_at(at)
        at += len(text) + 1
        yield text
def main(container, plan, seal, words):
    def tried(what, act):
        try:
            act()
        except OSError:
            return
        print("DONE", what)
    for place in (plan["folder"], sys.path[-1]):
        tried("write", lambda: open(place + "/x", "w"))
        tried("remove", lambda: os.unlink(place + "/there"))
        tried("folder", lambda: os.mkdir(place + "/d"))
        tried("mode", lambda: os.chmod(place + "/there", 0o777))
    tried("read", lambda: open("/etc/passwd"))
    tried("list", lambda: os.listdir(plan["folder"]))
    for kind in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK):
        tried("socket", lambda: socket.socket(kind, socket.SOCK_DGRAM))
    tried("exec", lambda: os.execv("{sys.executable}", ["python", "-c", "print('DONE exec')"]))
    tried("fork", lambda: os.fork() or os._exit(0))
    tried("spawn", lambda: os.posix_spawn("{sys.executable}", ["python"], {{}}))
    tried("signal", lambda: os.kill(os.getppid(), 0))
    tried("memory of another", lambda: open("/proc/%d/mem" % os.getppid()))
    for process in ("self", "thread-self", "self/task/%d" % os.getpid(), os.getpid(), os.getppid(), 1):
        for what in ("environ", "mem", "maps", "cmdline"):
            tried("read %s of %s" % (what, process), lambda: open("/proc/%s/%s" % (process, what)))
    if b"SECRET" in b"".join(started_with()):
        print("DONE environment in memory")
    tried("file in memory", lambda: os.memfd_create("x"))
    tried("code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
    tried("write the container", lambda: os.pwrite(container, b"x", 0))
    if os.environ or len(list(filter(is_open, range(999)))) > 4:
        print("DONE inherit")
    thread = threading.Thread(target=seal)
    thread.start()
    thread.join()
    tried("library", lambda: mmap.mmap(container, 4096, prot=mmap.PROT_EXEC))
    print(os.pread(container, 5, 0).decode(), words)
    return 7
"""


def shut_in(text: str, tmp_path: Path, sha256: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``text`` as a runner on a file with a few bytes."""
    folder, program, file = tmp_path / "site", tmp_path / "runner", tmp_path / "file"
    folder.mkdir()
    for path, data in ((program, text), (file, "bytes" * 999), (folder / "there", ""), (tmp_path / "there", "")):
        path.write_text(data, encoding="utf-8")
    digest = sha256 or hashlib.sha256(text.encode()).hexdigest()
    plan = f'{{"folder": "{tmp_path}"}}'
    words = [sys.executable, "-I", "-S", "-B", confine.__file__, str(folder), str(program), digest, plan, "word"]
    environment = {"LFF_CONTAINER": str(file), "SECRET": "x"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)


def closes() -> bool:
    """Has this system what the sandbox needs?"""
    try:
        return LINUX and confine._call(confine._CREATE, 0, 0, 1) > 0
    except OSError:
        return False


@pytest.mark.skipif(not closes(), reason="no Landlock here")
def test_code_that_tries_what_it_must_not_do_fails_at_all_of_it(tmp_path: Path) -> None:
    done = shut_in(HOSTILE, tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("bytes ['word']\n", "", 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "runner", "site", "there"]
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["there"]


@pytest.mark.skipif(not LINUX, reason="starts a process of Linux")
def test_another_text_is_not_run(tmp_path: Path) -> None:
    done = shut_in("print('DONE')", tmp_path, "0" * 64)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "is not the program that was checked" in done.stderr


@pytest.mark.skipif(not LINUX, reason="about Linux")
def test_a_system_without_the_sandbox_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(confine.platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="x86-64 alone"):
        confine.close_sandbox(())
    monkeypatch.undo()
    monkeypatch.setattr(confine, "_call", nothing)
    monkeypatch.setattr(confine, "_LIBC", type("Libc", (), {"prctl": staticmethod(lambda *_: 0)}))
    monkeypatch.setattr(confine.resource, "setrlimit", lambda *_: None)
    with pytest.raises(OSError, match="cannot be closed: Landlock"):
        confine.close_sandbox(())


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")
def test_a_shell_that_is_given_the_runner_says_how_it_is_started() -> None:
    done = subprocess.run(["/bin/sh", FOLDER / "source" / "runner.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "llamafile-format complete" in done.stderr


def test_packing_without_the_wheels_says_how_to_get_them(run_cli: CliRunner, tmp_path: Path) -> None:
    from examples.mlx.export import export

    export(ROOT / "examples" / "exhibit" / "exhibit-f32.gguf", tmp_path / "mlx")
    out, empty = tmp_path / "a.llamafile", {"LFF_CACHE": str(tmp_path / "empty")}
    done = run_cli("pack", tmp_path / "mlx" / "model.safetensors", "--runtime", "mlx", "-o", out, env=empty)
    assert done.returncode == 4
    assert "runtimes fetch mlx@0.32.4" in done.stderr
    assert not out.exists()
